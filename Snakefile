"""The study on one page: images -> subset models -> scores -> buckets -> removals -> Table 2."""

from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")


CONFIG = "config/config.yaml"  # of the working folder, or the shipped one


configfile: CONFIG if Path(CONFIG).exists() else Path(workflow.basedir) / CONFIG


# the front page of --report
report: "workflow/report/workflow.rst"


# used with --software-deployment-method apptainer only
container: "envs/memaudit.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/buckets.smk"
include: "workflow/rules/review.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/run.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        f"{RESULTS}/table2.csv",
        f"{RESULTS}/table2.md",
        f"{RESULTS}/summary.md",
        f"{RESULTS}/report/table2.html",
        f"{RESULTS}/scores/{SCORED}_fz.npz" if SOURCE == "estimate" else [],
        ALL_PAIRS,
        expand(f"{RESULTS}/figures/{{name}}.png", name=FIGURES + EXAMPLES + CHECKS),
        f"{RESULTS}/reliability.csv" if SOURCE == "estimate" else [],
        f"{RESULTS}/affected.csv",
        f"{RESULTS}/figures/learning_curves.png",
        f"{RESULTS}/review/index.html",
        PLANTED,
        f"{RESULTS}/agreement.csv" if CIFAIR else [],


onstart:
    refuse_foreign_results()
    refuse_wrong_files()
    refuse_if_too_long()
    progress.watch(shards_to_train)


onsuccess:
    print(closing_words())


onerror:
    print(what_failed())
