"""Train the models of a study and write them to the files that the workflow expects.

Subset models and models on all examples are trained first. The workflow then computes the removals
from them (the script prints the command), and the models without these examples follow. With
--config the script needs the packages of the extra `workflow` and writes OUT/study.json; without
it, it reads that file, so `--minutes 0` on another machine prepares the study. Every finished model
is saved, and the model in training when the minutes are over.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"config", "dataset", "seed", "fraction", "margins", "recipes", "training", "removals"}


def prepare(given: argparse.Namespace) -> dict:
    """Return the study that `--config` describes, in the form of OUT/study.json."""
    import yaml

    from memaudit.study import plan
    from memaudit.study.checks import check_files
    from memaudit.study.study import Study

    check_files([given.config])
    try:
        own = yaml.safe_load(given.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        sys.exit(f"--config {given.config}: cannot read it ({error})")
    if not isinstance(own, dict):
        sys.exit(f"--config {given.config}: no keys found; see config/demo.yaml for an example")
    study = Study(own)
    plan.size_jobs(study, plan.Machine("gpu", 1))
    config = study.settings
    return {
        "config": str(given.config),
        "dataset": config["dataset"]["name"],
        "seed": config["seed"],
        "fraction": config["memorization"]["subset_fraction"],
        "margins": config["memorization"]["store_margins"],
        "recipes": config["recipes"],
        "training": config["training"],
        "removals": config["removals"],
        "shards": sorted(
            ([*arm, Path(shard).stem] for arm in study.models for shard in study.shards(*arm)),
            key=lambda shard: (shard[1] != "subset", shard[2]),  # trial after trial
        ),
    }


def study(given: argparse.Namespace) -> None:
    """Train models of the study until the minutes are over."""
    from memaudit import store
    from memaudit.errors import AuditError

    note = given.output / "study.json"
    try:
        if given.config:
            text = json.dumps(prepare(given), indent=1)
            with store.atomic_write(note) as temporary:
                temporary.write_text(text, encoding="utf-8")
        if not note.exists():
            sys.exit(f"{note} not found; create it with --config, here or elsewhere")
        try:
            plan = json.loads(note.read_text(encoding="utf-8"))
            shards = plan["shards"]
            if not set(plan) >= KEYS:
                raise KeyError
        except (OSError, ValueError, KeyError, TypeError):
            sys.exit(f"{note}: damaged or not written by this script; rewrite it with --config")
        if given.minutes <= 0:
            print(f"{note}: {len(shards)} shards to train; none are trained with --minutes 0")
            return
        data = given.data / f"{plan['dataset']}.h5"
        if not data.exists():
            sys.exit(f"{data} not found; `snakemake data/{data.name}` creates it")
        train_study(plan, given)
    except AuditError as error:
        sys.exit(f"error: {error}")


def train_study(plan: dict, given: argparse.Namespace) -> None:
    """Train every `processes`-th shard until SIGTERM or the end of the minutes."""
    from memaudit.data.dataset import load
    from memaudit.errors import Stopped
    from memaudit.models.checkpoint import until_sigterm
    from memaudit.models.job import ShardJob, TrainingOptions, train_shard
    from memaudit.models.recipe import Recipe
    from memaudit.models.removals import read_examples, training_mask

    others = []
    if given.part is None and given.processes > 1:
        command = [sys.executable, *sys.argv]
        parts = range(1, given.processes)
        others = [subprocess.Popen([*command, "--part", str(part)]) for part in parts]
    settings = plan["training"]
    options = TrainingOptions(
        device=settings["device"],
        loader=settings["loader"],
        beton=given.data / f"{plan['dataset']}.beton",
        test_every=settings["test_every"],
        checkpoint_minutes=settings["checkpoint_minutes"],
        cuda_graphs=settings["cuda_graphs"],
        processes_per_gpu=given.processes,
    )
    data = load(given.data / f"{plan['dataset']}.h5")
    end = threading.Timer(60 * given.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    end.daemon = True
    with until_sigterm() as stopping:
        end.start()
        for recipe, removal, chunk in plan["shards"][given.part or 0 :: given.processes]:
            path, listed = files(plan, given.output, recipe, removal, chunk)
            if stopping():
                break
            if path.exists() or (listed and not listed.exists()):
                continue
            examples = read_examples(listed, data.n_train) if listed else None
            first, last = map(int, chunk.split("-"))
            masks = {
                trial: training_mask(
                    removal,
                    trial,
                    data.train_labels,
                    plan["seed"],
                    examples=examples,
                    fraction=plan["fraction"],
                )
                for trial in range(first, last + 1)
            }
            try:
                shard = ShardJob(
                    path=path,
                    recipe_name=recipe,
                    recipe=Recipe.of(plan["recipes"][recipe]),
                    removal=removal,
                    masks=masks,
                    seed=plan["seed"],
                    subset_fraction=plan["fraction"],
                    margins=plan["margins"] and removal == "subset",
                    needs_margins=plan["margins"] and removal == "subset",
                )
                train_shard(data, shard, options, lambda line: print(line, flush=True))
            except Stopped as stopped:
                print(stopped, flush=True)
        end.cancel()
        for process in others:
            if stopping():
                process.terminate()
            process.wait()
    if given.part is None:
        print(remaining(plan, given.output))


def files(
    plan: dict, output: Path, recipe: str, removal: str, chunk: str
) -> tuple[Path, Path | None]:
    """Return the path of a shard, and that of the list of its removed examples if it needs one."""
    from memaudit.models.removals import CONTROL

    path = output / "models" / recipe / removal / f"{chunk}.h5"
    name = removal.removeprefix(CONTROL)
    if name in ("none", "subset"):
        return path, None
    return path, Path(plan["removals"].get(name, output / "removals" / f"{name}.txt"))


def remaining(plan: dict, output: Path) -> str:
    """Return what is left to train and what to do next."""
    found = [files(plan, output, *shard) for shard in plan["shards"]]
    lists = [listed for path, listed in found if not path.exists()]
    waiting = dict.fromkeys(str(listed) for listed in lists if listed and not listed.exists())
    text = []
    if can := sum(not listed or listed.exists() for listed in lists):
        text.append(f"{can} shards can be trained: run the command again")
    if waiting:
        text.append(
            f"{len(lists) - can} shards wait for their removals: "
            f"snakemake --configfile {plan['config']} -- {' '.join(waiting)}"
        )
    return "\n".join(text) or "all models are trained"
