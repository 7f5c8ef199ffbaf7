"""Values as the types that annotations name, written in every usual way."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.annotations import as_text, check_type, has_text_form, typed, types_of
from reasonenv.errors import UserError

Mode = Literal["a", "b", 3]


@dataclass(frozen=True)
class Settings:
    """What a plug-in's author may write."""

    mode: Mode = "a"
    extra: Optional[int] = None  # noqa: UP045
    either: typing.Union[int, str] = 1  # noqa: UP007
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "x")
    names: list[str] | None = None
    rates: Sequence[float] = (0.5,)
    where: Path | None = None


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("mode", "b", "b"),
        ("mode", "3", 3),
        ("extra", "3", 3),
        ("extra", "none", None),
        ("either", "7", 7),
        ("either", "seven", "seven"),
        ("sizes", "1,2,3", (1, 2, 3)),
        ("sizes", "4", (4,)),
        ("sizes", "", ()),
        ("pair", "2,y", (2, "y")),
        ("names", "a,b", ["a", "b"]),
        ("names", "none", None),
        ("rates", "0.1,1e-3", (0.1, 1e-3)),
        ("where", "a/b", "a/b"),
    ],
)
def test_text_is_read_as_the_type_of_its_field(key: str, text: str, value: Any) -> None:
    read = typed(key, text, types_of(Settings)[key])
    assert (read, type(read)) == (value, type(value))
    assert typed(key, value, types_of(Settings)[key]) == value  # as from TOML or Python


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, "few", "key is 'few'; it must be int"),
        (int, "2.5", "key is '2.5'; it must be int"),
        ("int | None", "few", "key is 'few'; it must be int or None"),
        (float, "nan", "key is 'nan'; it must be float"),
        (bool, "yes", "key is 'yes'; it must be bool"),
        (Mode, "c", "key is 'c'; it must be 'a' or 'b' or 3"),
        (tuple[int, ...], "1,x", "key is 'x'; it must be int"),
        ("Widget", "x", "key is 'x'; it must be Widget"),
        (dict[str, int], "x", r"key is 'x'; it must be dict\[str, int\]"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_types(annotation: Any, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        typed("key", text, annotation)


@given(
    pair=st.one_of(
        st.tuples(st.just(int | None), st.none() | st.integers()),
        st.tuples(st.just(float), st.floats(allow_nan=False, allow_infinity=False)),
        st.tuples(st.just(bool), st.booleans()),
        st.tuples(st.just(Mode), st.sampled_from(["a", "b", 3])),
        st.tuples(st.just(tuple[int, ...]), st.lists(st.integers(-(2**40), 2**40)).map(tuple)),
    )
)
def test_a_value_that_is_printed_is_read_again(pair: tuple[Any, Any]) -> None:
    annotation, value = pair
    if isinstance(value, int) and abs(value) > 2**53:
        return  # a number of the command line is a double
    assert typed("key", as_text(value), annotation) == value


def test_names_that_only_a_type_checker_sees_cost_their_own_fields_alone() -> None:
    namespace: dict[str, Any] = {}
    source = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Plugged:
    lr: float = 1.0
    extra: Optional[int] = None
    widget: Widget = None
"""
    exec(source, namespace)
    types = types_of(namespace["Plugged"])
    assert typed("lr", "2", types["lr"]) == 2.0
    assert typed("extra", "2", types["extra"]) == 2  # a name of `typing`, imported for type checkers
    assert [has_text_form(types[key]) for key in ("lr", "extra", "widget")] == [True, True, False]


@pytest.mark.parametrize(
    ("annotation", "fits", "not_fits"),
    [
        (int, [3, -1], ["3", 2.5, True, None]),
        (float, [3, 0.5], ["3", True]),
        (bool, [True, False], ["false", None]),
        ("int | None", [None, 3], ["none", 2.5]),
        (str, ["x"], [3, None]),
        ("Widget | None", ["x", 3, None], []),
        (Mode, ["a", "c"], []),  # left to what takes it
    ],
)
def test_a_value_from_python_is_checked_where_the_types_are_plain(
    annotation: Any, fits: list[Any], not_fits: list[Any]
) -> None:
    for value in fits:
        check_type("key", value, annotation)
    for value in not_fits:
        with pytest.raises(UserError, match=r"key is .*; it must be"):
            check_type("key", value, annotation)
