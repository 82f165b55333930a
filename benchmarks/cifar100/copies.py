"""Copy trained models between docs/cifar100 and a results folder."""

import filecmp
import shutil
import sys
from pathlib import Path

import numpy as np
from examples import COPIED, MEMORIZED, Examples, load_array
from studies import FOLDER, ROOT, complete_trials, origin, processors, shard

from memaudit import store
from memaudit.models.shards import read_shards
from memaudit.study.study import Study


def restore(study: Study, source: Path, results: Path) -> None:
    """Copy the models that the next run takes over; files that are there stay."""
    import torch

    from memaudit.models.device import describe

    on_gpu = study.config.training.device != "cpu" and torch.cuda.is_available()
    here = describe(torch.device("cuda" if on_gpu else "cpu"))
    complete = complete_trials(study, source)
    copied, kept = 0, 0
    for trial in range(study.config.trials):
        for path, device in processors(study, source, trial).items():
            target = results / path.relative_to(source)
            if target.exists():
                kept += 1
            elif trial >= complete and device != here:
                print(f"left out {path}: trained on {device}, not on {here}")
            else:
                copied += 1
                copy(path, target)
    print(f"{results}: {copied} models copied, {kept} were there")


def collect(study: Study, results: Path, folder: Path) -> None:
    """Copy finished models once all are checked; exit if a published trial has another one."""
    removed, found = Examples.read(FOLDER).removed, []
    complete = complete_trials(study, folder)
    for trial in range(study.config.trials):
        own, there = (processors(study, place, trial) for place in (results, folder))
        for arm, path in ((arm, shard(results, arm, trial)) for arm in study.arms):
            if path not in own:
                continue
            target = folder / path.relative_to(results)
            trained = origin(study, arm, removed)
            read_shards([path], range(trial, trial + 1), ["test_correct"], trained)
            is_same = target.exists() and filecmp.cmp(path, target, shallow=False)
            if target.exists() and not is_same and trial < complete:
                sys.exit(f"{path}: differs from the published model {target}; delete one of them")
            there.pop(target, None)
            found.append((path, target))
        if own and len(kinds := {*own.values(), *there.values()}) > 1:
            sys.exit(f"{results}: the models of trial {trial} are from {' and '.join(kinds)}")
    if not found:
        sys.exit(f"{results}: no trained models; name the results folder by --results")
    for path, target in found:
        copy(path, target)
    print(f"{folder}: {len(found)} models of {results}")


def collect_lists(study: Study, results: Path) -> None:
    """Copy the lists of examples; models that were trained without others are then refused."""
    scores = load_array(ROOT / str(study.published_memorization))
    chosen = scores >= study.config.selection.memorization
    for path in [*map(results.joinpath, COPIED), *sorted((results / "removals").glob("*.txt"))]:
        copy(path, FOLDER / path.relative_to(results))
    with store.atomic_write(FOLDER / MEMORIZED) as temporary, open(temporary, "wb") as out:
        np.save(out, np.packbits(chosen))


def copy(path: Path, target: Path) -> None:
    with store.atomic_write(target) as temporary:
        shutil.copyfile(path, temporary)
