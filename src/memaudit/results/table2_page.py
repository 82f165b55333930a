"""Table 2 for readers: in Markdown, with what its words and columns mean."""

from collections.abc import Sequence

from memaudit.models.removals import CONTROL
from memaudit.results.table2 import COLUMNS, SIGNIFICANT, Settings

NO_INTERVAL = "none: one model"
WORDS = {"recipe": "recipe", "removed": "removal"}  # of the table's heads, explained before it


def number(value: float) -> str:
    """Percentage examples, to two decimals."""
    return f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _range(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}" if low == low else NO_INTERVAL


def _with_interval(row: dict, name: str, nothing: str = "") -> str:
    """A value and its interval; `nothing` where there is no value."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value != value:
        return nothing
    if low != low:
        return number(value)
    return f"{number(value)} ({_range(low, high)})"


def _p(value: float) -> str:
    if value != value:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict(row: dict, margin: float) -> str:
    """What the tests say of a row, in words."""
    if not row["n_removed"]:
        return "nothing was removed"
    if row["tost_p"] != row["tost_p"]:
        return NO_INTERVAL
    effect = "a drop" if row["drop"] > 0 else "a gain"
    words = [effect] if row["p_holm"] < SIGNIFICANT else []
    if row["tost_p"] < SIGNIFICANT:
        words.append(f"smaller than {margin:g}")
    if row["removal"].startswith(CONTROL):
        return ", ".join(words)
    return ", ".join((words or ["undecided"]) + _beside_random(row))


def _beside_random(row: dict) -> list[str]:
    """What the test against the random control says; nothing where it is not asked for."""
    p = row["p_vs_random"]
    if p < SIGNIFICANT:
        return ["more than random" if row["drop_vs_random"] > 0 else "less than random"]
    is_drop = row["p_holm"] < SIGNIFICANT and row["drop"] > 0
    return ["not shown to be more than random"] if is_drop and p == p else []


def _main_line(row: dict, margin: float) -> str:
    is_control = row["removal"].startswith(CONTROL)
    name = row["paper_column"] or ("*random control*" if is_control else "")
    published = ""
    if row["published_drop"] is not None:
        published = f"{row['published_drop']} ± {row['published_sd']}"
    return (
        f"| {name} | {row['recipe']} | {row['removal']} | {row['n_removed']} "
        f"| {row['n_models_full']} / {row['n_models_reduced']} "
        f"| {row['acc_full']:.2f} → {row['acc_reduced']:.2f} | {number(row['drop'])} "
        f"| {_range(row['ci_low'], row['ci_high'])} | {_range(row['boot_low'], row['boot_high'])} "
        f"| {_with_interval(row, 'drop_vs_random')} | {verdict(row, margin)} | {published} |"
    )


def _further_line(row: dict) -> str:
    cells = [
        row["recipe"],
        row["removal"],
        _with_interval(row, "drop_leak_free", "none left"),
        _with_interval(row, "drop_held_out", "not asked for"),
        _with_interval(row, "interaction"),
        _with_interval(row, "draws_sd"),
        _with_interval(row, "seed_correlation"),
        "yes" if row["paired_low"] == row["paired_low"] else "no",
        _p(row["p_holm"]),
        _p(row["p_vs_random"]),
        _p(row["tost_p"]),
    ]
    return f"| {' | '.join(cells)} |"


def markdown(rows: Sequence[dict], title: str, margin: float = Settings.margin) -> str:
    """The table for readers: the paper's columns, then the controls, then what the words mean."""
    lines = [
        f"# {title}",
        "",
        "Test accuracy lost when examples are removed from training, in percentage points.",
        "",
        *(f"- *{name}*: {COLUMNS[key]}" for name, key in WORDS.items()),
        "",
    ]
    if any(row["n_models_full"] < 2 or row["n_models_reduced"] < 2 for row in rows):
        lines += [
            "**No interval and no test can be given for a row with one model an arm**: nothing "
            "tells a drop from the chance of a single training. Set `trials` to 2 or more; with "
            "12 and more the intervals begin to be narrow.",
            "",
        ]
    lines += [
        "| row | recipe | removed | examples | models | accuracy, % | drop | 95 %, these test images "
        "| 95 %, other test images | less its random control | verdict | published (CIFAR-100) |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|---:|",
        *(_main_line(row, margin) for row in rows),
        "",
        "How to read it: any examples cost accuracy, so look at *less its random control* first: "
        "what these examples cost beyond as many random ones of their classes (some of them among "
        "the random ones, so it is rather too small). An interval holds the true value in about "
        "95 % of studies (the columns below say where in fewer); *these test images* counts the "
        "chance of training only, *other test images* also that of which images are in the test "
        "set. It takes the examples as given. Examples selected by their influence on these very "
        "images tend to cost less on others: see the held-out half below.",
        "",
        "Verdict: *a drop* or *a gain*, where a test against no change has p < 0.05 (p: how often "
        "chance would show as much or more if there were no difference), and *more than random*, "
        "where one against the random control has; each is adjusted for the number of rows (Holm). "
        f"*smaller than {margin:g}*, where the change is shown to be less than this study's margin "
        "either way (two one-sided tests, each row at 5 %, not adjusted). *undecided*, where none "
        "of the first two is: more models, or more test images, would tell.",
        "",
        "The published values are the paper's, for CIFAR-100 and a ResNet-50; other data need not "
        "agree with them.",
        "",
        "## Further checks",
        "",
        "Values with 95 % intervals.",
        "",
        "| recipe | removed | drop, leak-free | drop, held-out half | drop less that of the "
        "original recipe | sd over a control's draws | correlation of seeds | paired "
        f"| p, no drop (Holm) | p, as random (Holm) | p, {margin:g} or more |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|---:|---:|",
        *map(_further_line, rows),
        "",
        "## The columns of `table2.csv`",
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()),
        "",
    ]
    return "\n".join(lines)
