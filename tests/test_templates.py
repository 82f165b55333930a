"""Templates: numbers as they read, and errors that name the remedy."""

import sys

import pytest

from memaudit import templates
from memaudit.errors import AuditError


def test_numbers_as_text():
    assert (templates.pp(-0.001), templates.pp(2.545001)) == ("0.00", "2.55")
    assert templates.ci((0.1, 2)) == "0.10 to 2.00"
    assert templates.ci((float("nan"),) * 2) == templates.p_value(float("nan")) == ""
    assert (templates.p_value(0.0123), templates.p_value(1e-9)) == ("= 0.012", "< 0.001")
    assert (templates.count(1, "pair"), templates.count(1015, "pair")) == ("1 pair", "1,015 pairs")


def test_a_missing_value_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="'table' is undefined"):
        templates.render("closing.txt")


def test_without_jinja_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    templates._environment.cache_clear()
    with pytest.raises(AuditError, match=r"pip install '\.\[workflow\]'"):
        templates.render("answer")
    templates._environment.cache_clear()
