"""Measure Snakemake's overhead with as many jobs as a study has: jobs per minute, memory, files.

    python benchmarks/scale.py 5000                          trivial jobs on local cores
    python benchmarks/scale.py 300 --profile profiles/slurm  the same on a cluster
    python benchmarks/scale.py --slurm 200                   on a Slurm started here
    python benchmarks/scale.py --plan                        dry run of the paper's complete study
    python benchmarks/scale.py 200 --csv FILE                compared with Snakemake's defaults

The workflow has the structure of the study: one job, then many jobs of one rule that each write a
small file, then one job that reads all of them. It runs in a temporary folder with the settings of
profiles/default and prints one row of a Markdown table.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import shared

ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]
SNAKEFILE = """
rule all:
    input: "gathered.txt"
checkpoint list:
    output: "list.txt"
    log: "logs/list.log"
    script: "write.py"
rule train:
    input: "list.txt"
    output: update("models/original/subset/{chunk}.h5")
    log: "logs/train/{chunk}.log"
    benchmark: "benchmarks/train/{chunk}.tsv"
    resources: mem_mb=100, runtime=5
    params: seed=0
    script: "write.py"
rule gather:
    input: expand("models/original/subset/{chunk:06d}.h5", chunk=range(JOBS))
    output: "gathered.txt"
    log: "logs/gather.log"
    script: "write.py"
"""
SCRIPT = 'from pathlib import Path\nPath(snakemake.output[0]).write_text("x")\n'


def peak_mb(pid: int) -> float:
    """Return the peak resident memory of a process in MB; 0 after it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(x.split()[1]) / 1024 for x in status.splitlines() if "VmHWM" in x), 0.0)


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return (seconds, peak MB of the process itself, without its jobs)."""
    started, peak = time.monotonic(), 0.0
    with open(folder / "run.log", "w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.2)
    if process.returncode:
        sys.exit((folder / "run.log").read_text()[-3000:])
    return time.monotonic() - started, peak


def files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def jobs_per_minute(jobs: int, profile: bool) -> float:
    """Return jobs per minute on local cores, with profiles/default or Snakemake's defaults."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = study(Path(name), jobs, profile)
        base = [sys.executable, "-m", "snakemake", *([] if profile else ["--cores", "all"])]
        return 60 * jobs / run(base, folder)[0]


@contextlib.contextmanager
def slurm():
    """Run a Slurm of two nodes as the tests do (Debian, as root)."""
    command = ROOT / "tests" / "slurm" / "cluster"
    cores = os.environ | {"CPUS": str(os.cpu_count())}
    with tempfile.TemporaryDirectory() as state:
        try:
            subprocess.run([command, "up", state], check=True, env=cores)
            yield
        finally:
            subprocess.run([command, "down", state], check=True)


def study(folder: Path, jobs: int, profile: bool = True) -> Path:
    """Write the workflow, and optionally profiles/default, to `folder` and return it."""
    (folder / "Snakefile").write_text(f"JOBS = {jobs}\n{SNAKEFILE}")
    (folder / "write.py").write_text(SCRIPT)
    if profile:
        shutil.copytree(ROOT / "profiles" / "default", folder / "profiles" / "default")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("jobs", type=int, nargs="?", default=5000)
    parser.add_argument("--profile", type=Path, help="a profile, such as profiles/slurm")
    parser.add_argument(
        "--slurm", action="store_true", help="use profiles/slurm with a Slurm started here"
    )
    parser.add_argument("--plan", action="store_true", help="dry run of the paper's complete study")
    parser.add_argument("--csv", type=Path, help="write the speed-up over Snakemake's defaults")
    given = parser.parse_args()
    if given.csv:
        ratios = []
        for number in range(ROUNDS):
            ours, theirs = (jobs_per_minute(given.jobs, profile) for profile in (True, False))
            ratios.append(ours / theirs)
            print(f"round {number + 1}, jobs per minute: {ours:.0f}, {theirs:.0f}", flush=True)
        what = f"{given.jobs} jobs, with profiles/default"
        rows = [shared.row("Snakemake", what, "Snakemake's default settings", ratios)]
        shared.write_rows(rows, given.csv)
        return
    base = [sys.executable, "-m", "snakemake"]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        if given.plan:
            shutil.copytree(ROOT / "config", folder / "config")
            (folder / "full.yaml").write_text("memorization: {source: estimate}\n")
            command = [*base, "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--quiet"]
            command += ["rules", "reason", "--configfile", "full.yaml"]
            seconds, peak = run(command, folder)
            print(f"| dry run, 4,000 + 1,000 models | {seconds:.0f} s | | {peak:.0f} MB | |")
            return
        study(folder, given.jobs)
        profile = ROOT / "profiles" / "slurm" if given.slurm else given.profile
        if profile:
            base += ["--profile", str(profile.resolve())]
        before = os.getloadavg()[0]
        with slurm() if given.slurm else contextlib.nullcontext():
            seconds, peak = run(base, folder)
        bookkeeping = files(folder / ".snakemake")
        where = profile.name if profile else "local cores"
        after = os.getloadavg()[0]
        print(f"load average before {before:.1f}, after {after:.1f}", file=sys.stderr)
        print(
            f"| {given.jobs:,} jobs, {where} | {seconds:.0f} s | {60 * given.jobs / seconds:.0f} | "
            f"{peak:.0f} MB | {files(folder) - bookkeeping:,} + {bookkeeping:,} |"
        )


if __name__ == "__main__":
    main()
