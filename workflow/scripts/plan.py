"""Say what the configured study costs, and which of it would be made anew."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from memaudit.study import models_needed, plan
from memaudit.study.jobs import job


def to_be_made(config: dict, targets: list[str]) -> str:
    """What a dry run says of the targets: the rules that would run and how often."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakemake.params.snakefile]
        command += ["--dry-run", "--nolock", "--quiet", "reason", *targets]
        done = subprocess.run(
            [*command, "--configfile", file.name], capture_output=True, text=True, check=False
        )
    if "Nothing to be done" in done.stdout + done.stderr:
        return "nothing, all is up to date"
    return done.stdout.partition("Job stats:")[2].partition("\n\n")[0].strip() or done.stderr


with job(snakemake.log[0]):
    config = snakemake.config
    machine = plan.this_machine(config["training"]["device"])
    parts = plan.estimate(config, machine, plan.whole_study(config))
    print(plan.words(config, machine, parts))
    print(plan.sweep_words(config, machine))
    for source in snakemake.params.sources:
        path = Path("data", source["file"])
        size = path.stat().st_size if path.exists() else source["size"]
        state = "is there" if path.exists() else "to be fetched"
        print(f"{path}: {state}, {f'{size / 1e6:.3g} MB' if size else 'of unknown size'}")
    print(f"\n{models_needed.words(config)}")
    print(f"\nWhat `snakemake` would make now:\n{to_be_made(config, [])}")
    results = Path(snakemake.params.results)
    if there := [name for name in snakemake.params.sweeps if (results / f"{name}.csv").exists()]:
        targets = " ".join(there)
        print(f"\nWhat `snakemake {targets}` would make now:\n{to_be_made(config, there)}")
