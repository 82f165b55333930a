"""Copy trained models between docs/cifar100 and a results folder."""

import shutil
from pathlib import Path

import numpy as np
from examples import COPIED, MEMORIZED
from studies import FOLDER, ROOT, complete_trials, processors

from memaudit.study.study import Study


def restore(study: Study, source: Path, results: Path) -> None:
    """Copy the models that the next run takes over."""
    import torch

    from memaudit.models.device import describe

    on_gpu = study.config.training.device != "cpu" and torch.cuda.is_available()
    here = describe(torch.device("cuda" if on_gpu else "cpu"))
    complete = complete_trials(study, source)
    for trial in range(study.config.trials):
        for path, device in processors(study, source, trial).items():
            target = results / path.relative_to(source)
            if target.exists():
                continue
            if trial >= complete and device != here:
                print(f"left out {path}: trained on {device}, not on {here}")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def collect(study: Study, results: Path, folder: Path) -> None:
    """Copy finished models, and the files that the removals follow from."""
    for trial in range(study.config.trials):
        for path in processors(study, results, trial):
            target = folder / path.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for name in COPIED:
        if (results / name).exists():
            shutil.copyfile(results / name, FOLDER / name)
    (FOLDER / "removals").mkdir(exist_ok=True)
    for path in sorted((results / "removals").glob("*.txt")):
        shutil.copyfile(path, FOLDER / "removals" / path.name)
    if (scores := ROOT / str(study.published_memorization)).exists():
        chosen = np.load(scores) >= study.config.selection.memorization
        np.save(FOLDER / MEMORIZED, np.packbits(chosen))
