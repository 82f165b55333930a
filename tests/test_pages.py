"""Pages of the report: what must not break at the end of a line, and what is only text."""

import pytest

from memaudit.results.pages import page

TABLE = "| row | {} |\n|---|---:|\n| leakage_shift | {} |\n"


@pytest.mark.parametrize(
    ("cell", "whole"),
    [
        ("96.54 → 83.55", ["96.54 → 83.55"]),
        ("-0.21 (-0.70 to 0.41)", ["(-0.70 to 0.41)"]),
        ("2.54 ± 0.20, without a control", ["2.54 ± 0.20"]),
        ("above 0 (p < 0.001)", ["(p &lt; 0.001"]),
        ("12 / 12", ["12 / 12"]),
    ],
)
def test_numbers_that_belong_together_are_not_broken(cell, whole):
    text = page(TABLE.format("published (CIFAR-100)", cell), "a page")
    for part in [*whole, "(CIFAR-100)"]:
        assert f'<span class="whole">{part}</span>' in text


def test_names_break_in_tables_only_and_html_is_text():
    text = page(f"a_b <i>\n\n{TABLE.format('`weight_decay`', '<b>1</b>')}", "<x>")
    assert "<p>a_b &lt;i&gt;</p>" in text
    assert "<td>leakage_<wbr>shift</td>" in text
    assert "<code>weight_<wbr>decay</code>" in text
    assert "&lt;b&gt;1&lt;/b&gt;" in text
    assert "<title>&lt;x&gt;</title>" in text
    assert text.count('<div class="wide"><table>') == 1
