"""How many models the study's questions need, as `snakemake plan` reports it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.data.image_folder import count_images
from memaudit.errors import AuditError
from memaudit.models.removals import CONTROL
from memaudit.models.shards import Origin, read_shards, trials_of
from memaudit.results import power
from memaudit.results.statistics import Arm, accuracy_drop
from memaudit.study.study import Study

# Values used before anything is trained, for CIFAR-100's 10,000 test images, in percentage points:
# SD of the test accuracy over models (F&Z: 0.25 to 0.28), and the SE that test-set sampling adds to
# a drop (computed from F&Z's 888 test images, each classified correctly 27% less often). Both are
# proportional to 1 / sqrt(number of test images).
STATED_SD, STATED_IMAGES, STATED_FOR = 0.3, 0.1, 10_000
STATED_DROP = 2.54  # F&Z's, to which those images add that


@dataclass(frozen=True)
class Row:
    """What is known about the excess drop of a row of Table 2.

    `sd` is that of the difference between the models of a trial, pp; `images` what test-set
    sampling adds, (variance, degrees of freedom) as `memaudit.results.power` takes it, of the
    excess drop `excess` at hand; `models` the models per arm that all this is measured on; None
    where it is stated.
    """

    recipe: str
    removal: str
    sd: float
    excess: float
    images: tuple[float, float]
    models: tuple[int, int] | None


def trained(study: Study, recipe: str, removal: str) -> Arm | None:
    """The models of an arm that are trained as configured so far; None with fewer than two.

    Shards that are damaged, or of models trained otherwise, are passed over.
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
    """The rows of Table 2 that are no controls: measured where two models of each arm are there."""
    found = []
    for recipe, removal in study.rows:
        if removal.startswith(CONTROL):
            continue
        control, reduced = (trained(study, recipe, name) for name in (CONTROL + removal, removal))
        if control is None or reduced is None:
            scale = np.sqrt(STATED_FOR / n_test(study))
            images = (STATED_IMAGES * scale) ** 2, n_test(study) - 1
            sd = float(np.sqrt(2) * STATED_SD * scale)
            found.append(Row(recipe, removal, sd, STATED_DROP, images, None))
            continue
        excess, of_images = accuracy_drop(control, reduced), power.images_of(control, reduced)
        models = len(control.trials), len(reduced.trials)
        found.append(Row(recipe, removal, excess.sd, excess.value, of_images, models))
    return found


def n_test(study: Study) -> int:
    """Test images of the dataset; `STATED_FOR`, CIFAR's, of a generated one before it is made."""
    if Path(study.dataset).exists():
        with store.reading(study.dataset, store.DATASET) as file:
            return int(file["test/labels"].shape[0])
    folder = study.config.dataset.image_folder
    if study.config.dataset.kind == "image_folder" and folder.path:
        return max(2, count_images(folder.path, "test", folder.per_class))
    return STATED_FOR


def words(study: Study) -> str:
    """Return the answers as text: one line per row of Table 2, then the memorization scores."""
    drop, wanted = study.config.plan.drop, study.config.plan.memorization
    margin, trials = study.config.statistics.margin, study.config.trials
    known, n_images = rows(study), n_test(study)
    heads = (f"±{drop:g}", f"see {drop:g}", f"verdict {drop:g}", f"within {margin:g}")
    lines = [
        "Models needed per arm (95% CIs, 80% power); percentage points:",
        f"{'recipe':<12} {'removal':<16} {'sd':>5} {'of models':>10} {f'now {trials}':>9} "
        + " ".join(f"{head:>12}" for head in (*heads, "other images")),
    ]
    for row in known:
        of = "stated" if row.models is None else f"{row.models[0]}, {row.models[1]}"
        models = (
            power.models_for_half_width(row.sd, drop),
            power.models_for_power(row.sd, drop),
            power.models_for_power(
                row.sd, drop, power.images_at(drop, row.images, row.excess, n_images), len(known)
            ),
            power.models_for_equivalence(row.sd, margin, n_images),
        )
        cells = [f"{n:,}" if n else "no number" for n in models]
        cells.append(f"±{power.image_floor(row.images):.2f}")
        now = power.half_width(row.sd, trials)
        lines.append(
            f"{row.recipe:<12} {row.removal:<16} {row.sd:>5.2f} {of:>10} "
            f"{f'±{now:.2f}':>9} " + " ".join(f"{cell:>12}" for cell in cells)
        )
    lines += [
        f"±{drop:g}: for a 95% CI of the excess drop this narrow, on the fixed test set",
        f"see {drop:g}: to find an excess drop of {drop:g} pp in one row, on the fixed test set",
        f"verdict {drop:g}: to find it as Table 2's verdict does, which includes test-set sampling",
        f"and is adjusted for {len(known)} rows (fewer models do where other rows differ, too)",
        f"within {margin:g}: to show equivalence to the control where no test image changes",
        "other images: half-width that the CI of the excess drop at hand (or of F&Z's drop, where",
        f"none is) keeps with any number of models; more test images than {n_images:,} shrink it",
        "sd: of the difference within a trial. From a dozen models it is rough: 0.5 to 2.9 times",
        "as many models may be needed (95%). Stated ones assume uncorrelated trials.",
        "",
        f"How many subset models for ±{wanted:g} on a memorization score (plan.memorization):",
        *_memorization(study, wanted),
    ]
    return "\n".join(lines)


def _memorization(study: Study, wanted: float) -> list[str]:
    models = study.config.memorization.models
    fraction = study.config.memorization.subset_fraction
    worst = power.models_for_memorization(wanted, fraction)
    now = power.memorization_half_width(models, fraction)
    lines = [f"at worst {worst:,}; {models:,} give ±{now:.3f} at worst"]
    path = Path(study.results) / "scores" / f"{study.scored}.h5"
    if not study.trains_subsets or not path.exists():
        return lines
    with store.reading(path, store.SCORES) as file:
        value, se = file["memorization"][:], file["memorization_se"][:]
        scored = int(file.attrs["models"])
    high = se[value >= study.config.selection.memorization]
    groups = {"all training examples": se, "those that reach selection.memorization": high}
    for name, errors in groups.items():
        if len(errors):
            counts = [
                power.models_for_measured(wanted, float(np.quantile(errors, part)), scored)
                for part in (0.5, 0.95)
            ]
            lines.append(
                f"by the {scored:,} scored: {counts[0]:,} for half of {name}, {counts[1]:,} for "
                "95% of them"
            )
    return lines
