"""Estimate how many models the study's questions need, from those trained so far."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.models.removals import CONTROL
from memaudit.models.shards import Origin, read_shards, trials_of
from memaudit.results import power
from memaudit.results.statistics import Arm, accuracy_drop
from memaudit.study.images import known
from memaudit.study.study import Study
from memaudit.templates import render

# Before anything is trained, for CIFAR-100's 10,000 test images, in pp: SD of the test accuracy
# over models (F&Z: 0.25 to 0.28), and SE that test-set sampling adds to a drop (computed from F&Z's
# 888 test images, each predicted correctly 27% less often). Both scale as 1 / sqrt(test images).
STATED_SD, STATED_IMAGES, STATED_FOR = 0.3, 0.1, 10_000
STATED_DROP = 2.54  # F&Z's drop, which STATED_IMAGES belongs to


@dataclass(frozen=True)
class Row:
    """What is known about the excess drop of a row of Table 2, in pp.

    `sd` is that of the difference within a trial; `images` what test-set sampling adds to the
    excess drop `excess`, (variance, degrees of freedom) as in `memaudit.results.power`; `models`
    the trained models per arm, None if the values are stated.
    """

    recipe: str
    removal: str
    sd: float
    excess: float
    images: tuple[float, float]
    models: tuple[int, int] | None


@dataclass(frozen=True)
class Needed:
    """Models per arm that the questions about a row need; None if no number is enough.

    `now` is the half-width of the CI with the configured trials, `floor` that with any number of
    models, which only more test images reduce.
    """

    row: Row
    now: float
    half_width: int | None
    detect: int | None
    verdict: int | None
    equivalence: int | None
    floor: float


@dataclass(frozen=True)
class ScoresNeeded:
    """Subset models that memorization scores of the wanted precision need.

    `largest` for the least precise score possible of the estimator `difference`; `measured` by the
    scores at hand: (group of examples, models for half of it, models for 95% of it); `now` is the
    largest half-width of `difference` with the configured models.
    """

    largest: int
    now: float
    scored: int
    measured: list[tuple[str, int, int]]


def trained(study: Study, recipe: str, removal: str) -> Arm | None:
    """Return the models of an arm trained so far as configured; None if fewer than two.

    Skips shards that are damaged or of models trained otherwise.
    """
    folder = Path(study.results) / "models" / recipe / removal
    origin = Origin(removal, study.recipes[recipe], study.config.seed)
    correct: dict[int, np.ndarray] = {}
    for path in sorted(folder.glob("*.h5")):
        trials = trials_of(path.stem)
        try:
            found = read_shards([path], trials, ["test_correct"], origin)["test_correct"]
        except AuditError:
            continue
        correct |= dict(zip(trials, found, strict=True))
    correct = {trial: correct[trial] for trial in sorted(correct) if trial < study.config.trials}
    if len(correct) < 2:
        return None
    return Arm(np.array(list(correct)), np.stack(list(correct.values())))


def rows(study: Study) -> list[Row]:
    """Return the rows of Table 2 except the controls, measured if both arms have two models."""
    found = []
    for recipe, removal in study.rows:
        if removal.startswith(CONTROL):
            continue
        control, reduced = (trained(study, recipe, name) for name in (CONTROL + removal, removal))
        if control is None or reduced is None:
            scale = float(np.sqrt(STATED_FOR / n_test(study)))
            images = (STATED_IMAGES * scale) ** 2, n_test(study) - 1
            sd = float(np.sqrt(2)) * STATED_SD * scale
            found.append(Row(recipe, removal, sd, STATED_DROP, images, None))
            continue
        excess, of_images = accuracy_drop(control, reduced), power.images_of(control, reduced)
        models = len(control.trials), len(reduced.trials)
        found.append(Row(recipe, removal, excess.sd, excess.value, of_images, models))
    return found


def n_test(study: Study) -> int:
    """Return the number of test images; CIFAR's for synthetic images not generated yet."""
    return max(2, known(study.dataset, study.config.dataset).test or STATED_FOR)


def needed(study: Study) -> list[Needed]:
    """Return the models that `plan.drop` and `statistics.margin` need, for each row of Table 2."""
    drop, n_images = study.config.plan.drop, n_test(study)
    known = rows(study)
    return [
        Needed(
            row,
            power.half_width(row.sd, study.config.trials),
            power.models_for_half_width(row.sd, drop),
            power.models_for_power(row.sd, drop),
            power.models_for_power(
                row.sd, drop, power.images_at(drop, row.images, row.excess, n_images), len(known)
            ),
            power.models_for_equivalence(row.sd, study.config.statistics.margin, n_images),
            power.image_floor(row.images),
        )
        for row in known
    ]


def scores_needed(study: Study) -> ScoresNeeded:
    """Return the subset models that `plan.memorization` needs."""
    memorization, wanted = study.config.memorization, study.config.plan.memorization
    fraction = memorization.subset_fraction
    measured, scored = [], 0
    path = Path(study.results) / "scores" / f"{study.scored}.h5"
    if study.trains_subsets and path.exists():
        with store.reading(path, store.SCORES) as file:
            value, se = file["memorization"][:], file["memorization_se"][:]
            scored = int(file.attrs["models"])
            estimator = file.attrs.get("estimator", "difference")
        high = se[value >= study.config.selection.memorization]
        for group, errors in (("training examples", se), ("memorized examples", high)):
            if len(errors) and estimator == memorization.estimator:
                half, most = (
                    power.models_for_measured(wanted, float(np.quantile(errors, part)), scored)
                    for part in (0.5, 0.95)
                )
                measured.append((group, half, most))
    largest = power.models_for_memorization(wanted, fraction)
    now = power.memorization_half_width(memorization.models, fraction)
    return ScoresNeeded(largest, now, scored, measured)


def render_needed(study: Study) -> str:
    """Return the answers as text."""
    return render(
        "needed.txt",
        needed=needed(study),
        scores=scores_needed(study),
        config=study.config,
    )
