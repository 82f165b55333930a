"""docs/files.md documents every column, in order, and no others."""

import re

import pytest
from conftest import ROOT

from memaudit.buckets import assign, leaks, subpopulations
from memaudit.published import cifair, counts
from memaudit.results import affected, claims, planted
from memaudit.scores import external, privacy, reliability, selection
from memaudit.tables import describe

ROWS = {
    "agreement": cifair.Agreement,
    "published_counts": counts.Count,
    "affected": affected.Example,
    "groups": affected.Group,
    "affected_summary": affected.Summary,
    "claims": claims.Claim,
    "planted": planted.Check,
    "selected_pairs": selection.Pair,
    "buckets": assign.Assignment,
    "subpopulations": subpopulations.Member,
    "leaks": leaks.Leak,
    "external": external.Judgment,
    "privacy": privacy.Leakage,
    "privacy_examples": privacy.ExampleLeakage,
    "reliability_examples": reliability.ExampleReliability,
    "reliability": reliability.Quantity,
    "rescored": reliability.Quantity,
}


def explained():
    """Return the columns documented in each section."""
    text = (ROOT / "docs" / "files.md").read_text()
    sections = re.split(r"^## `(\w+)\.csv`$", text, flags=re.MULTILINE)[1:]
    found = {
        name: re.findall(r"^- `(\w+)`: \S", body, flags=re.MULTILINE)
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }
    assert len(found) == len(sections) / 2, "a file has two sections"
    return found


@pytest.mark.parametrize("name", ROWS)
def test_columns_of_typed_rows_are_documented_verbatim(name):
    """The section in docs/files.md contains the output of `tables.describe`."""
    section = (ROOT / "docs" / "files.md").read_text().split(f"## `{name}.csv`\n")[1]
    assert f"\n\n{describe(ROWS[name])}\n" in section.split("\n## ")[0]


def test_every_section_belongs_to_a_file():
    assert explained().keys() == ROWS.keys()


def test_the_readme_links_to_it():
    assert "(docs/files.md)" in (ROOT / "README.md").read_text()
