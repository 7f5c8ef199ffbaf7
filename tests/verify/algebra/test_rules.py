"""What users may decide: how close constants must be, and what units and percent signs mean."""

from __future__ import annotations

import pytest

from reasonenv.core import Reason
from reasonenv.verify.algebra.compare import compare
from reasonenv.verify.rules import Rules


def is_equal(answer: str, gold: str, rules: Rules) -> bool:
    verdicts = {compare(answer, gold, rules.to_json()), compare(gold, answer, rules.to_json())}
    return verdicts == {Reason.CORRECT}


def test_a_tolerance_is_relative_and_for_constants() -> None:
    rules = Rules(tolerance=1e-3)
    # sqrt 3 / 2 = 0.86602..: 0.866 is 3e-5 below it, 0.86 is 7e-3 below it
    assert is_equal("0.866", r"\frac{\sqrt3}{2}", rules)
    assert not is_equal("0.86", r"\frac{\sqrt3}{2}", rules)
    assert is_equal(r"(0.333,\sqrt2)", r"(\frac13,1.414)", rules)
    assert is_equal(r"\{1.414, 3\}", r"\{3, \sqrt2\}", rules)
    assert not is_equal("1.0001x", "x", rules)
    assert not is_equal("0.866", r"\frac{\sqrt3}{2}", Rules())


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        (r"5\sqrt2\text{ km}", r"5\sqrt2\text{ m}", False),
        (r"5\sqrt2\text{ km}", r"\sqrt{50}\ \mathrm{km}", True),
        (r"5\sqrt2\text{ km}", r"5\sqrt2", False),
        (r"5\sqrt2", r"\sqrt{50}", True),
    ],
)
def test_units_are_compared_where_users_say_so(answer: str, gold: str, same: bool) -> None:
    assert is_equal(answer, gold, Rules())
    assert is_equal(answer, gold, Rules(units="same")) == same


@pytest.mark.parametrize(
    ("rules", "number", "fraction"),
    [("either", True, True), ("number", True, False), ("fraction", False, True)],
)
def test_a_percentage_is_a_number_or_a_fraction(rules: str, number: bool, fraction: bool) -> None:
    assert is_equal(r"50\sqrt4\%", "100", Rules(percent=rules)) == number
    assert is_equal(r"25\sqrt4\%", r"\frac12", Rules(percent=rules)) == fraction
    assert is_equal(r"25\sqrt4\%", r"50\%", Rules(percent=rules))
