"""The checked configuration, and the names that several rules share."""

import re
import sys
import time
from pathlib import Path

try:
    from memaudit.data.fetch import fetch as fetch_file
    from memaudit.data.fetch import read_sources
    from memaudit.errors import AuditError
    from memaudit.models.removals import CONTROL
    from memaudit.study import config as settings
    from memaudit.study import checks, endings, plan, progress, sweeps
except ImportError as error:
    raise WorkflowError(
        f"The package memaudit is not installed in this environment ({error}). Run `make .venv` and "
        "use .venv/bin/snakemake, or `pip install -e .` here."
    )

try:
    checks.check_files(workflow.configfiles)
    checks.check(config, Path(workflow.basedir) / "config" / "schema.yaml")
except AuditError as error:
    raise WorkflowError(str(error))


STARTED = time.time()
RESULTS = config["results"].rstrip("/")
DATASET = f"data/{config['dataset']['name']}.h5"
DIGEST = f"data/{config['dataset']['name']}.sha256"
MACHINE = plan.this_machine(config["training"]["device"])
if MACHINE.kind == "gpu" and not workflow.resource_settings.nodes:
    # here, not on a cluster: so many training jobs at a time on each GPU (--resources gpu=N: N in all)
    if "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", MACHINE.workers * config["training"]["processes_per_gpu"])
KIND = config["dataset"]["kind"]
IS_GENERATED = KIND == "longtail"
IS_CIFAR = KIND in ("cifar10", "cifar100")

# data/sources.yaml of the working folder, if it has one, else ours
SOURCES = (
    next(
        p for p in (Path("data"), Path(workflow.basedir) / "data") if (p / "sources.yaml").exists()
    )
    / "sources.yaml"
)
SOURCE_NAMES = {source.file: name for name, source in read_sources(SOURCES).items()}


def sourced(name):
    """Where the remote file `name` of data/sources.yaml lies once it is fetched."""
    return next(f"data/{file}" for file, known in SOURCE_NAMES.items() if known == name)


SOURCE = config["memorization"]["source"]
# The scores by which examples are selected; F&Z's published pairs come selected, without scores.
SCORED = config["memorization"]["recipe"] if SOURCE == "estimate" else SOURCE
SCORES = [] if SOURCE == "published" else f"{RESULTS}/scores/{SCORED}.h5"
ALL_PAIRS = (
    f"{RESULTS}/scores/{SCORED}_all_pairs.h5"
    if config["memorization"]["influence"] == "all_pairs"
    else []
)
CIFAIR = (
    sourced(KIND.replace("cifar", "cifair")) if IS_CIFAR and config["duplicates"]["cifair"] else []
)
PLANTED = [f"{RESULTS}/planted.csv"] if IS_GENERATED else []
FIGURES = ("most_memorized", "memorization", "drops", "similarity")
CHECKS = ("affected", *(["reliability"] if SOURCE == "estimate" else []))
EXAMPLES = ("exact_duplicates", "near_duplicates", "subpopulations")
OWN_REMOVALS = config.get("removals", {})
DECISIONS = config["review"]["decisions"] or []

NEEDED_FILES = [
    *([sourced(KIND)] if IS_CIFAR else []),
    *([sourced("fz_pairs")] if SOURCE == "published" else []),
    *(
        [sourced("fz_matrix")]
        if SOURCE == "published_matrix" and not config["memorization"].get("path")
        else []
    ),
    *([CIFAIR] if CIFAIR else []),
]


# those of config["recipes"], and those of the sweep over weight decay
ALL_RECIPES = sweeps.recipes(config)


wildcard_constraints:
    recipe="|".join(map(re.escape, ALL_RECIPES)),
    removal=r"[A-Za-z0-9_.]+",
    chunk=r"\d{6}-\d{6}",


def shards(recipe, removal):
    """The shards of all models of one recipe and removal."""
    models = settings.models_of(config, recipe, removal)
    chunks = settings.chunks(models, config["training"]["models_per_job"])
    return [f"{RESULTS}/models/{recipe}/{removal}/{chunk}.h5" for chunk in chunks]


def shards_of(arms):
    """The shards of several arms (recipe, removal)."""
    return [path for recipe, removal in arms for path in shards(recipe, removal)]


ROWS = settings.arms(config)
ARMS = settings.table2_arms(config)
RECIPES = list(dict.fromkeys(recipe for recipe, _ in ARMS))


# The models that the summary counts, by "recipe/removal".
SUMMED_UP = {
    f"{recipe}/{removal}": shards(recipe, removal)
    for recipe, removal in ([(SCORED, "subset")] if SOURCE == "estimate" else []) + ARMS
}


def train_machine():
    """Where training jobs run: on this machine, or on the nodes of a cluster."""
    if not workflow.non_local_exec:
        return MACHINE
    return plan.Machine("cpu" if config["training"]["device"] == "cpu" else "gpu", 1)


def train_gpus(wildcards):
    """GPUs of a training job: one, where it is to train on one."""
    return 1 if train_machine().kind == "gpu" else 0


def train_cost(wildcards):
    """Minutes and memory to ask for, for a training job."""
    models = len(settings.trials_of(wildcards.chunk))
    return plan.job_cost(config, train_machine().kind, wildcards.recipe, wildcards.removal, models)


def list_of(removal):
    """The list of examples that a removal, or the control of one, goes by; none for the others."""
    name = removal.removeprefix(CONTROL)
    if name in ("none", "subset"):
        return []
    return OWN_REMOVALS.get(name, f"{RESULTS}/removals/{name}.txt")


def lists_of(arms):
    """The lists that several arms go by."""
    return sorted({list_of(removal) for _, removal in arms if removal != "none"})


def gathered(arms):
    """What the rule that gathers the accuracies of some arms must know of them."""
    return {
        "arms": [(*arm, settings.models_of(config, *arm)) for arm in arms],
        "shards": {f"{recipe}/{removal}": shards(recipe, removal) for recipe, removal in arms},
        "lists": {removal: list_of(removal) for _, removal in arms},
        "recipes": {recipe: ALL_RECIPES[recipe] for recipe, _ in arms},
        "seed": config["seed"],
    }


def removal_list(wildcards):
    """The same as an input function."""
    return list_of(wildcards.removal)


LACKING = sweeps.lacking(config)


def needed(sweep, files):
    """`files` as the input of a sweep; an error where the source of the scores does not allow it."""

    def check(wildcards):
        if sweep in LACKING:
            raise WorkflowError(
                f"{sweep}: with memorization.source = {SOURCE!r} it lacks {LACKING[sweep]}"
            )
        return files

    return check
