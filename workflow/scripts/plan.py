"""Print what the configured study costs, and which of its jobs are out of date."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from memaudit.study import models_needed, plan
from memaudit.study.home import home
from memaudit.study.jobs import job
from memaudit.study.study import Study


def out_of_date(config: dict, targets: list[str]) -> str:
    """Return what a dry run of the targets prints: the rules that would run, with counts."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(home() / "Snakefile")]
        command += ["--dry-run", "--nolock", "--quiet", "reason", *targets]
        done = subprocess.run(
            [*command, "--configfile", file.name], capture_output=True, text=True, check=False
        )
    if "Nothing to be done" in done.stdout + done.stderr:
        return "none"
    return done.stdout.partition("Job stats:")[2].partition("\n\n")[0].strip() or done.stderr


with job(snakemake.log[0]):
    config = snakemake.params.config
    study = Study(config)
    machine = plan.this_machine(study.config.training.device)
    print(plan.render_cost(study, machine))
    print(plan.render_extras(study, machine))
    print(models_needed.render_needed(study))
    print(f"Jobs that are out of date:\n{out_of_date(config, [])}")
    results = Path(study.results)
    if made := [name for name in study.possible_sweeps if (results / f"{name}.csv").exists()]:
        print(f"\nJobs of {', '.join(made)} that are out of date:\n{out_of_date(config, made)}")
