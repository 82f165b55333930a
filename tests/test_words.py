"""Texts use the field's terms: phrases that were replaced once do not come back."""

import re
import subprocess

import pytest
from conftest import ROOT

FILES = re.compile(
    r"(\.(cff|css|html|ipynb|jinja|js|md|py|rst|smk|toml|ya?ml)|(^|/)(Makefile|Snakefile|cluster))$"
)
# regular expression of a phrase: what to write instead
PHRASES = {
    r"\bits (lower|upper) end\b": "lower bound, upper bound",
    r"\b(lower|upper) end of (its|the|that)\b": "lower bound, upper bound",
    r"\banew\b": "again, rerun, rebuild, recompute",
    r"\bas many (at )?random\b": "size- and class-matched random control",
    r"\bas many (random )?(examples|others)\b": "the same number of",
    r"\ba (row|line) a\b": "one row per",
    r"\ba (file|job|model|image|shard|step|worker) a \w+": "one ... per",
    r"\b(images|jobs|models|seconds) an? (class|epoch|image|job|minute|model|second)\b": (
        "... per ..."
    ),
    r"\bbeyond (any|random)\b": "excess drop over the matched random control",
    r"\bless (its|that of its|the) (random )?controls?\b": "excess drop",
    r"\bdrop_vs_random\b": "excess_drop",
    r"\b(people|person)'s word\b": "manual annotation",
    r"\bwhose word\b": "decided by",
    r"\bsaid (where|so)\b|\bsays? of\b": "states, describes",
    r"\bsub\Wpopulation": "subpopulation",
    r"\d %(?!\s?[\d}])": "95%",
    r"\bno sign of life\b": "inactive",
    r"\brather too\b": "slightly",
    r"\bundecided\b": "inconclusive",
    r"\b(train|test) points?\b": "training example, test example",
    r"\btrain (and|or) test (example|image)": "training and test",
    r"\b(percentage|key) examples?\b": "percentage points, keypoints",
    r"\d\.\d+ points\b": "pp",
    r"""[`"']converged[`"']""": "weight_decay",
    r"\bchance of (the )?(choice|training)\b": "training randomness, test-set sampling",
    r"\b(these|other) test images\b": "the fixed test set, including test-set sampling",
    r"\b(by|of) itself,": "leave out",
    r"\baccuracy (falls?|fell)\b": "accuracy drops",
    r"\bfalls? of (mean |test )*accuracy\b": "accuracy drop",
    r"\b(the|a|predicted|found) falls?\b": "drop",
    r"\bcosts? accuracy\b": "accuracy drops",
    r"\b(pay|pays) for\b": "account for",
    r"\bhow sure\b": "standard error",
    r"\bis another world\b": "is not comparable with",
    r"\bwithout a word\b": "without an error message",
    r"\bin so many\b": "in at most",
    r"\ba line now and then\b": "periodically",
    r"\bgo(es)? on where\b": "resume",
    r"\b(is|are) the proof\b": "is the test suite",
}
# (phrase, file): a use with another meaning, or a message about an old name
ALLOWED = {
    (r"""[`"']converged[`"']""", "CHANGELOG.md"),
    (r"""[`"']converged[`"']""", "src/memaudit/study/checks.py"),
    (r"""[`"']converged[`"']""", "tests/test_invalid_configurations.py"),
    (r"\bdrop_vs_random\b", "CHANGELOG.md"),
    (r"\d\.\d+ points\b", "src/memaudit/figures/drawing.py"),  # sizes of type
}

# American spellings, and -ise; not of CSS
SPELLING = (
    r"\bcolors?\b(?![-:=])|\b(gray|neighbors?)\b|(?<!-)(?<!safe )\bcenter\b|\b(recogn|standard)is"
)


def texts() -> dict[str, str]:
    """Return the content of every tracked text file but this one."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    found = [name for name in names if FILES.search(name) and name != "tests/test_words.py"]
    return {name: (ROOT / name).read_text() for name in found if (ROOT / name).is_file()}


def find(phrase: str) -> list[str]:
    """Return "file:line: text" of each use of a phrase, also across the lines of a text."""
    pattern = re.compile(phrase.replace(" ", r"""(?:[ \n#]|"\s+f?")+"""), re.IGNORECASE)
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {' '.join(match[0].split())}"
        for name, text in TEXTS.items()
        for match in pattern.finditer(text)
        if (phrase, name) not in ALLOWED
    ]


if not (ROOT / ".git").exists():
    pytest.skip("needs the git repository", allow_module_level=True)
TEXTS = texts()


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_replaced_phrase_is_not_used(phrase):
    found = find(phrase)
    assert not found, f"write {PHRASES[phrase]!r} instead:\n" + "\n".join(found)


def test_phrases_are_found_across_lines(monkeypatch):
    monkeypatch.setitem(
        TEXTS, "a.py", 'x = (\n    "is un"\n    "clear, its "\n    f"upper end"\n)\n'
    )
    monkeypatch.setitem(TEXTS, "b.py", "# this is its upper\n# end of all\n")
    found = [line for line in find(r"\bits (lower|upper) end\b") if line[:5] in ("a.py:", "b.py:")]
    assert [line.split(": ")[0] for line in found] == ["a.py:3", "b.py:1"]


def test_prose_is_spelled_one_way():
    prose = {name: text for name, text in TEXTS.items() if name.endswith((".jinja", ".md", ".rst"))}
    found = {
        name: words
        for name, text in prose.items()
        if (words := [match[0] for match in re.finditer(SPELLING, text, re.IGNORECASE)])
    }
    assert not found, "write colour, grey, neighbour, centre, recognize, standardize"
