"""Values cross between two processes unchanged, and what is read can make nothing else."""

from __future__ import annotations

import datetime
import json
from collections import Counter, OrderedDict, deque, namedtuple
from contextlib import suppress
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.verify.sandbox.plain_data import MAX_ITEMS, NotPlain, PlainData


def cross(value: Any) -> Any:
    return PlainData().decode(json.loads(json.dumps(PlainData().encode(value))))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.builds(range, st.integers(), st.integers(), st.integers(min_value=1))
    | st.sampled_from([int, str, type(None), object])
)
PLAIN = st.recursive(
    SCALARS | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(SCALARS, inner)
        | st.sets(SCALARS)
        | st.frozensets(SCALARS)
        | st.lists(inner).map(deque)
        | st.dictionaries(SCALARS, inner).map(lambda made: made.keys())
        | st.dictionaries(SCALARS, inner).map(lambda made: made.items())
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_data_crosses_unchanged(value: Any) -> None:
    back = cross(value)
    assert back == value
    assert type(back) is type(value)


def test_the_rest_of_a_type_crosses_too() -> None:
    assert cross(deque([1, 2], maxlen=2)).maxlen == 2
    assert list(cross({"a": 1, "b": [2]}.values())) == [1, [2]]
    assert str(cross(Decimal("1.10"))) == "1.10"
    assert str(cross(-0.0)) == "-0.0"
    assert list(cross(iter([1, 2]))) == [1, 2]
    assert len(list(cross(iter(int, 1)))) == MAX_ITEMS
    assert cross(datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)).utcoffset() == datetime.timedelta()
    row = cross(namedtuple("Point", "x y")(1, [2]))
    assert (row, row.x, row.y) == ((1, [2]), 1, [2])


def test_a_subclass_crosses_as_what_it_is_derived_from() -> None:
    class Color(IntEnum):
        RED = 3

    class Yes(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    class Always(dict[str, int]):
        def __eq__(self, other: object) -> bool:
            return True

    for value, expected in ((Color.RED, 3), (Yes(4), 4), (Always(a=1), {"a": 1}), (Counter("aab"), {"a": 2, "b": 1})):
        back = cross(value)
        assert (back, type(back)) == (expected, type(expected))
    assert cross(OrderedDict(b=1, a=2)) == {"b": 1, "a": 2}


@pytest.mark.parametrize(
    "value", [object(), lambda: 1, print, json, Exception, [{1: {object()}}], Color := type("C", (), {})]
)
def test_what_has_no_form_stays_where_it_is(value: Any) -> None:
    with pytest.raises(NotPlain):
        cross(value)


def test_what_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        cross(endless)


def test_objects_cross_as_numbers_where_somebody_knows_them() -> None:
    known = [object(), object()]
    data = PlainData(known.index, known.__getitem__)
    assert data.encode([known[1]]) == ["list", ["object", 1]]
    assert data.decode(["list", ["object", 1]])[0] is known[1]


@pytest.mark.parametrize(
    "value", [float("nan"), complex(1, float("nan")), Decimal("nan"), Decimal("-sNaN12"), [{"a": (float("nan"),)}]]
)
def test_every_nan_is_seen(value: Any) -> None:
    seen: list[None] = []
    PlainData(read_nan=lambda: seen.append(None)).decode(json.loads(json.dumps(PlainData().encode(value))))
    assert seen


@pytest.mark.parametrize("data", [["complex", "nan"], ["complex", float("inf"), ["complex", 0.0, float("inf")]]])
def test_a_nan_that_only_reading_makes_is_seen(data: Any) -> None:
    seen: list[None] = []
    PlainData(read_nan=lambda: seen.append(None)).decode(data)
    assert seen


FORMS = st.sampled_from(
    ["list", "dict", "set", "named", "type", "fraction", "decimal", "date", "range", "object", "deque"]
)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(), inner)
            | st.builds(lambda a, b: [a, *b], FORMS, st.lists(inner))
        ),
    )
)
def test_any_reply_is_plain_data_or_a_named_error(data: Any) -> None:
    with suppress(TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        json.dumps(PlainData().encode(PlainData().decode(data)))


@pytest.mark.parametrize(
    "data",
    [
        ["type", "eval"],
        ["type", "BaseException"],
        ["named", ["list", "__eq__"], 1],
        ["named", ["list", "a b"], 1],
        ["exec", "1"],
    ],
)
def test_nothing_else_can_be_made(data: Any) -> None:
    with pytest.raises((ValueError, LookupError)):
        PlainData().decode(data)
