"""The checked configuration, and the names that several rules share."""

from pathlib import Path

try:
    from memaudit import config as settings
    from memaudit.errors import AuditError
    from memaudit.removals import CONTROL
except ImportError as error:
    raise WorkflowError(
        f"The package memaudit is not installed in this environment ({error}). Run `make .venv` and "
        "use .venv/bin/snakemake, or `pip install -e .` here."
    )

try:
    settings.check(config, Path(workflow.basedir) / "config" / "schema.yaml")
except AuditError as error:
    raise WorkflowError(str(error))


RESULTS = config["results"].rstrip("/")
DATASET = f"data/{config['dataset']['name']}.h5"
SCORED = config["memorization"]["recipe"]
SCORES = f"{RESULTS}/scores/{SCORED}.h5"
IS_GENERATED = config["dataset"]["kind"] == "longtail"
PLANTED = [f"{RESULTS}/planted.csv"] if IS_GENERATED else []
OWN_REMOVALS = config.get("removals", {})


wildcard_constraints:
    recipe="|".join(config["recipes"]),
    removal=r"[A-Za-z0-9_]+",
    chunk=r"\d{6}-\d{6}",


def shards(recipe, removal):
    """The shards of all models of one recipe and removal."""
    models = config["memorization"]["models"] if removal == "subset" else config["trials"]
    chunks = settings.chunks(models, config["training"]["models_per_job"])
    return [f"{RESULTS}/models/{recipe}/{removal}/{chunk}.h5" for chunk in chunks]


def arm_shards(wildcards=None):
    """The shards of every arm of Table 2, each recipe's models on all points first."""
    return [path for recipe, removal in ARMS for path in shards(recipe, removal)]


ROWS = settings.arms(config)
RECIPES = list(dict.fromkeys(recipe for recipe, _ in ROWS))
ARMS = [(recipe, "none") for recipe in RECIPES] + ROWS


def removal_list(wildcards):
    """The list of points that a removal, or the control of one, goes by; none for the others."""
    name = wildcards.removal.removeprefix(CONTROL)
    if name in ("none", "subset"):
        return []
    return OWN_REMOVALS.get(name, f"{RESULTS}/removals/{name}.txt")


def closing_words():
    """What a finished run shows: the table, what was planted and found, and where to look."""
    lines = []
    table, found = Path(RESULTS) / "table2.md", Path(RESULTS) / "planted.csv"
    if table.exists():
        lines += ["", *(line for line in table.read_text().splitlines() if line.startswith("|"))]
    if IS_GENERATED and found.exists():
        rows = [line.split(",")[:4] for line in found.read_text().splitlines()]
        lines += ["", *(f"{row[0]:<26}{row[1]:>8}{row[2]:>8}{row[3]:>9}" for row in rows)]
    lines += ["", f"Look in {RESULTS}/: table2.md, buckets.csv, figures/, scores/{SCORED}.h5"]
    return "\n".join(lines)
