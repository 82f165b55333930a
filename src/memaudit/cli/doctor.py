"""`memaudit doctor`: check the machine and the installation, one line per finding."""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from memaudit.cli.machine import Finding, findings
from memaudit.errors import require
from memaudit.models import gpus
from memaudit.study.home import home


def main(arguments: list[str]) -> int:
    """Run all checks; returns 1 if one of them found a problem."""
    parser = argparse.ArgumentParser(
        prog="memaudit doctor",
        description="Check Python, packages, hardware, disk and Slurm. Exits with status 1 if "
        "there is a problem; run it in the folder of the study.",
    )
    for kind, name in (("gpu", "a GPU"), ("cpu", "one core of the CPU")):
        parser.add_argument(
            f"--{kind}",
            dest="kinds",
            action="append_const",
            const=kind,
            help=f"also train the networks of the study on {name} for some seconds, and write the "
            "rates for `memaudit plan` (data/rates.json)",
        )
    parser.add_argument(
        "--configfile", nargs="+", type=Path, default=[], help="the study, as for `memaudit run`"
    )
    options = parser.parse_args(arguments)
    counts = {"ok": 0, "warning": 0, "problem": 0}
    for finding in itertools.chain(findings(), _measured(options.kinds or [], options.configfile)):
        counts[finding.status] += 1
        print(f"{finding.status:<8} {finding.subject:<10} {finding.found}", flush=True)
        if finding.remedy:
            print(f"{'':<19} -> {finding.remedy}", flush=True)
    found = (f"{counts[one]} {one}{'s' * (counts[one] != 1)}" for one in ("problem", "warning"))
    print(f"\n{', '.join(found)}")
    return int(counts["problem"] > 0)


def _measured(kinds: list[Literal["cpu", "gpu"]], files: list[Path]) -> Iterator[Finding]:
    """Check the configured device, and measure on each kind of device that can be used."""
    seen = gpus.visible_gpus() if kinds or files else None
    if "gpu" in kinds and seen and not seen.usable:
        reason, _, remedy = seen.reason.partition("; ")
        if not gpus.may_have_gpu() and "hides" not in reason:
            remedy = "run this on the machine, or in a job, that has the GPU"
        yield Finding("rates", "problem", f"no GPU to measure: {reason}", remedy)
        kinds = [kind for kind in kinds if kind != "gpu"]
    if seen:
        for module, extra in (("torch", "train"), ("pydantic", "workflow"), ("yaml", "workflow")):
            require(module, extra)
        from memaudit.cli import measure

        own = Path("config/config.yaml")
        base = [own] if own.exists() else []
        study = measure.configured([*base, *files] or [home() / own])
        if files and (refused := gpus.refusal(study.config.training.device, seen)):
            yield Finding("study", "problem", *refused.split("; ", 1))
        for kind in dict.fromkeys(kinds):
            yield from measure.findings(kind, study)
