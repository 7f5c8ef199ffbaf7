"""Rules: equality of numbers is symmetric, exact unless a tolerance is set, and says what a percent sign is."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.verify.grade import grade
from reasonenv.verify.numeric import Quantity
from reasonenv.verify.rules import DEFAULT, PERCENT, UNITS, Rules

QUANTITIES = st.builds(Quantity, st.fractions(-200, 200), st.booleans(), st.sampled_from(["", "m", "dollar"]))
RULES = st.builds(Rules, st.sampled_from([0.0, 0.01]), st.sampled_from(UNITS), st.sampled_from(PERCENT))


@given(QUANTITIES, QUANTITIES, RULES)
def test_equality_is_symmetric_and_reflexive(a: Quantity, b: Quantity, rules: Rules) -> None:
    assert rules.same(a, b) == rules.same(b, a)
    assert rules.same(a, a)


@pytest.mark.parametrize(
    ("answer", "gold", "either", "number", "fraction"),
    [
        ("28%", "28%", True, True, True),
        ("28%", "0.28", True, False, True),
        ("28", r"28\%", True, True, False),
        ("0.5%", "0.5", False, True, False),  # half a percent is not a half
        ("0.5%", "0.005", True, False, True),
        ("150%", "1.5", True, False, True),
        ("1%", "1", False, True, False),
        ("2.8%", "28", False, False, False),
    ],
)
def test_a_percent_sign_on_one_side(answer: str, gold: str, either: bool, number: bool, fraction: bool) -> None:
    for meaning, right in zip(PERCENT, (either, number, fraction), strict=True):
        rules = Rules(percent=meaning)
        assert grade(f"#### {answer}", gold, "numeric", rules=rules).correct == right
        assert grade(f"#### {gold}", answer, "numeric", rules=rules).correct == right


def test_units_are_dropped_or_compared() -> None:
    assert grade("#### 5 km", "5 m", "numeric").correct  # dropped: who writes a unit has the value
    assert not grade("#### 5 km", "5 m", "numeric", rules=Rules(units="same")).correct
    assert grade("#### 5 dollars", "5 dollar", "numeric", rules=Rules(units="same")).correct


def test_a_tolerance_is_relative() -> None:
    rules = Rules(tolerance=0.001)
    assert rules.close(Fraction(1, 3), Fraction(333, 1000))
    assert not DEFAULT.close(Fraction(1, 3), Fraction(333, 1000))
    assert not rules.close(Fraction(1, 3), Fraction(33, 100))
    assert rules.close(Fraction(10**9), Fraction(10**9 + 10**6))


def test_rules_survive_json_and_name_what_they_refuse() -> None:
    rules = Rules(0.25, "same", "fraction")
    assert Rules.from_json(rules.to_json()) == rules
    assert Rules.from_json("") == DEFAULT
    with pytest.raises(UserError, match="tolerance=2 must be at least 0 and below 1"):
        Rules(tolerance=2)
    with pytest.raises(UserError, match="did you mean same"):
        Rules(units="sam")
