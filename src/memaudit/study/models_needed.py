"""What `snakemake plan` says of how many models the study's questions take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.models.removals import CONTROL
from memaudit.models.shards import Origin, read_shards
from memaudit.results import power
from memaudit.results.statistics import Arm
from memaudit.study import config as settings

# Where nothing is trained yet, on CIFAR-100's 10,000 test images, percentage points: sd of the test
# accuracy over models (F&Z: 0.25 to 0.28), standard error that the images add to a drop (computed
# from F&Z's 888 test images, each right 27 % less often). Both shrink with the root of the images.
STATED_SD, STATED_IMAGES, STATED_FOR = 0.3, 0.1, 10_000


@dataclass(frozen=True)
class Row:
    """What is known of a row of Table 2: sds over models and half-width floor, in points.

    `models` are those that the sds are measured on, of either arm; None where they are stated.
    """

    recipe: str
    removal: str
    sds: tuple[float, float]
    floor: float
    models: tuple[int, int] | None


def trained(config: dict[str, Any], recipe: str, removal: str) -> Arm | None:
    """The models of an arm that are trained as configured so far; None with fewer than two.

    Shards that are damaged, or of models trained otherwise, are passed over.
    """
    folder = Path(config["results"]) / "models" / recipe / removal
    origin = Origin(removal, config["recipes"][recipe], config["seed"])
    correct: dict[int, np.ndarray] = {}
    for path in sorted(folder.glob("*.h5")):
        trials = settings.trials_of(path.stem)
        try:
            found = read_shards([path], trials, ["test_correct"], origin)["test_correct"]
        except AuditError:
            continue
        correct |= dict(zip(trials, found, strict=True))
    correct = {trial: correct[trial] for trial in sorted(correct) if trial < config["trials"]}
    if len(correct) < 2:
        return None
    return Arm(np.array(list(correct)), np.stack(list(correct.values())))


def rows(config: dict[str, Any]) -> list[Row]:
    """The rows of Table 2 that are no controls: measured where two models of each arm are there."""
    known: dict[tuple[str, str], Arm | None] = {}
    found = []
    for arm in settings.arms(config):
        recipe, removal = arm
        if removal.startswith(CONTROL):
            continue
        for name in ((recipe, "none"), arm):
            if name not in known:
                known[name] = trained(config, *name)
        full, reduced = known[recipe, "none"], known[arm]
        if full is None or reduced is None:
            scale = np.sqrt(STATED_FOR / n_test(config))
            floor = 1.96 * STATED_IMAGES * scale
            found.append(Row(recipe, removal, (STATED_SD * scale,) * 2, floor, None))
            continue
        sds = float(full.accuracy.std(ddof=1)), float(reduced.accuracy.std(ddof=1))
        floor = power.image_floor(full, reduced)
        models = len(full.trials), len(reduced.trials)
        found.append(Row(recipe, removal, sds, floor, models))
    return found


def n_test(config: dict[str, Any]) -> int:
    """Test images of the dataset; `STATED_FOR`, CIFAR's, before it is made."""
    path = Path("data") / f"{config['dataset']['name']}.h5"
    if not path.exists():
        return STATED_FOR
    with store.reading(path, store.DATASET) as file:
        return file["test/labels"].shape[0]


def words(config: dict[str, Any]) -> str:
    """The answers as text: a line a row of Table 2, then the memorization scores."""
    drop, wanted = config["plan"]["drop"], config["plan"]["memorization"]
    margin, trials = config["statistics"]["margin"], config["trials"]
    heads = (f"±{drop:g}", f"see {drop:g}", f"within {margin:g}")
    lines = [
        "How many models an arm (95 % intervals, 80 % power), percentage points:",
        f"{'recipe':<12} {'removal':<16} {'sd':>11} {'of models':>10} {f'now {trials}':>9} "
        f"{heads[0]:>9} {heads[1]:>9} {heads[2]:>12} {'other images':>13}",
    ]
    for row in rows(config):
        of = "stated" if row.models is None else f"{row.models[0]}, {row.models[1]}"
        models = (
            power.models_for_half_width(row.sds, drop),
            power.models_for_power(row.sds, drop),
            power.models_for_equivalence(row.sds, margin),
        )
        counts = [f"{n:,}" if n else "too many" for n in models]
        now = power.half_width(row.sds, trials)
        lines.append(
            f"{row.recipe:<12} {row.removal:<16} {row.sds[0]:>5.2f} {row.sds[1]:>5.2f} {of:>10} "
            f"{f'±{now:.2f}':>9} {counts[0]:>9} {counts[1]:>9} {counts[2]:>12} "
            f"{f'±{row.floor:.2f}':>13}"
        )
    lines += [
        f"±{drop:g}: for an interval of a drop so narrow, on these test images",
        f"see {drop:g}: to find so large a drop in one row, on these test images",
        f"within {margin:g}: likewise to show, where there is no drop, that there is none so large",
        "Table 2's verdicts count the test images and the rows too, so they take more models;",
        "where `other images` is as wide as the drop or the margin, no number may be enough",
        "other images: half-width that the interval for other test images keeps however many",
        f"models there are; only more test images than {n_test(config):,} make it smaller",
        "",
        f"How many subset models for ±{wanted:g} on a memorization score (plan.memorization):",
        *_memorization(config, wanted),
    ]
    return "\n".join(lines)


def _memorization(config: dict[str, Any], wanted: float) -> list[str]:
    memorization = config["memorization"]
    models, fraction = memorization["models"], memorization["subset_fraction"]
    worst = power.models_for_memorization(wanted, fraction)
    now = power.memorization_half_width(models, fraction)
    lines = [f"at worst {worst:,}; {models:,} give ±{now:.3f} at worst"]
    path = Path(config["results"]) / "scores" / f"{memorization['recipe']}.h5"
    if memorization["source"] != "estimate" or not path.exists():
        return lines
    with store.reading(path, store.SCORES) as file:
        value, se = file["memorization"][:], file["memorization_se"][:]
        scored = int(file.attrs["models"])
    high = se[value >= config["selection"]["memorization"]]
    groups = {"all training points": se, "those that reach selection.memorization": high}
    for name, errors in groups.items():
        if len(errors):
            counts = [
                power.models_for_measured(wanted, float(np.quantile(errors, part)), scored)
                for part in (0.5, 0.95)
            ]
            lines.append(
                f"by the {scored:,} scored: {counts[0]:,} for half of {name}, {counts[1]:,} for "
                "95 % of them"
            )
    return lines
