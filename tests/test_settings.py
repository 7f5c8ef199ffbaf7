"""Records of settings: what their constructors refuse, and values as the types that annotations name, from text."""

from __future__ import annotations

import pickle
import typing
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.settings import as_text, build, read_value, record, setting, settings_of

Mode = Literal["a", "b", 3]


@dataclass(frozen=True)
class Plain:
    """What the author of a plug-in may write, who knows no decorator of ours."""

    mode: Mode = "a"
    extra: Optional[int] = None  # noqa: UP045
    either: typing.Union[int, str] = 1  # noqa: UP007
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "x")
    names: list[str] | None = None
    rates: Sequence[float] = (0.5,)
    where: Path | None = None


@record
class Base:
    """Of one of ours."""

    lr: float = setting(1e-3, "learning rate", gt=0)
    count: int | None = setting(None, "how many", ge=1, le=9)
    prompt: Literal["chat", "plain"] = setting("chat", "the form of a question")
    sizes: tuple[int, ...] = setting((1,), "sizes", min_length=1)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count == len(self.sizes):
            raise UserError("count and sizes agree")


@record
class Child(Base):
    """Has another default, and the limits of its parent."""

    lr: float = setting(1e-1, "learning rate (paper: 0.1)")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 0.0}, r"^lr is 0\.0; it must be greater than 0$"),
        ({"lr": "1"}, "^lr is '1'; it must be float$"),  # text is read by `read`, not by the constructor
        ({"lr": True}, "^lr is True; it must be float$"),
        ({"lr": float("nan")}, "^lr is nan; it must be "),
        ({"count": 0}, "^count is 0; it must be at least 1, or none$"),
        ({"count": 10}, "^count is 10; it must be at most 9, or none$"),
        ({"count": 2.5}, "^count is 2.5; it must be int or None$"),
        ({"prompt": "plane"}, "^unknown prompt 'plane'; did you mean plain"),
        ({"sizes": ()}, r"^sizes is \(\); it must have at least 1 item$"),
        ({"sizes": (1, 0.5)}, r"^sizes\.1 is 0.5; it must be a valid integer$"),
        ({"tables": {"first": 3}}, r"^tables\.first is 3; it must be a table$"),
        ({"lrr": 1.0}, "^unknown setting 'lrr'; did you mean lr"),
        ({"count": 1}, "^count and sizes agree$"),
    ],
)
@pytest.mark.parametrize("kind", [Base, Child])
def test_a_record_refuses_in_one_line_what_it_does_not_allow(
    kind: type[Base], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        kind(**values)
    with pytest.raises(UserError, match=message):
        build(kind, values)


def test_a_record_is_frozen_copied_and_pickled_and_takes_the_numbers_of_numpy() -> None:
    made = Child(count=np.int64(3), lr=np.float32(0.5))  # type: ignore[arg-type]
    assert (type(made.count), type(made.lr)) == (int, float)
    assert made == Child(count=3, lr=0.5) == pickle.loads(pickle.dumps(made))
    assert Child().lr == 0.1
    with pytest.raises(FrozenInstanceError):
        made.lr = 2.0  # type: ignore[misc]
    with pytest.raises(UserError, match=r"lr is -1\.0"):
        replace(made, lr=-1.0)
    assert build(Child, {"sizes": [4, 5]}) == Child(sizes=(4, 5))  # TOML has lists alone


def test_a_plain_subclass_of_a_record_keeps_its_settings_and_limits() -> None:
    @dataclass(frozen=True)
    class Mine(Base):
        lr: float = 0.5
        mode: Mode = "a"

    assert (Mine().lr, Mine().count) == (0.5, None)
    assert settings_of(Mine)["lr"].meaning == "learning rate"
    assert build(Mine, {"mode": 3, "lr": 2.0}) == Mine(mode=3, lr=2.0)
    for values, message in (({"lr": -1.0}, "lr is -1.0"), ({"mode": "c"}, "mode is 'c'"), ({"count": 10}, "at most 9")):
        with pytest.raises(UserError, match=message):
            build(Mine, values)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("mode", "b", "b"),
        ("mode", "3", 3),
        ("extra", "3", 3),
        ("extra", "1e3", 1000),
        ("extra", "none", None),
        ("either", "7", 7),
        ("either", "seven", "seven"),
        ("sizes", "1,2,3", (1, 2, 3)),
        ("sizes", "4", (4,)),
        ("sizes", "", ()),
        ("pair", "2,y", (2, "y")),
        ("names", "a,b", ["a", "b"]),
        ("names", "none", None),
        ("rates", "0.1,1e-3", [0.1, 1e-3]),
        ("where", "a/b", Path("a/b")),
    ],
)
def test_text_is_read_as_the_type_of_its_field(key: str, text: str, value: Any) -> None:
    known = settings_of(Plain)[key]
    read = read_value(key, text, known.annotation)
    assert (read, type(read)) == (value, type(value))
    assert read_value(key, value, known.annotation) == value  # as from TOML or Python
    assert getattr(build(Plain, {key: read}), key) == value


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, "few", "key is 'few'; it must be int"),
        (int, "2.5", "key is '2.5'; it must be int"),
        (int | None, "few", "key is 'few'; it must be int or None"),
        (float, "nan", "key is 'nan'; it must be float and finite"),
        (bool, "maybe", "key is 'maybe'; it must be bool"),
        (Mode, "c", "key is 'c'; it must be 'a' or 'b' or 3"),
        (Literal["chat", "plain"], "plane", "unknown key 'plane'; did you mean plain"),
        (tuple[int, ...], "1,x", "key is '1,x'; it must be a list of int"),
        (tuple[int, ...], 3, "key is 3; it must be a list of int"),
        ("Widget", "x", "key is 'x'; it must be Widget"),
        (dict[str, int], "x", r"key is 'x'; it must be dict\[str, int\]"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_types(annotation: Any, text: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_value("key", text, annotation)


NUMBERS = st.integers(-(2**70), 2**70)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text("abcXYZ-_./ ", min_size=1)  # a comma parts the elements of a list


@given(
    pair=st.one_of(
        st.tuples(st.just(int | None), st.none() | NUMBERS),
        st.tuples(st.just(float), FLOATS),
        st.tuples(st.just(float | None), st.none() | FLOATS),
        st.tuples(st.just(bool), st.booleans()),
        st.tuples(st.just(str), st.text()),
        st.tuples(st.just(Path), WORDS.map(Path)),
        st.tuples(st.just(Mode), st.sampled_from(["a", "b", 3])),
        st.tuples(st.just(tuple[int, ...]), st.lists(NUMBERS).map(tuple)),
        st.tuples(st.just(tuple[int, str]), st.tuples(NUMBERS, WORDS)),
        st.tuples(st.just(list[float]), st.lists(FLOATS)),
        st.tuples(st.just(Sequence[str] | None), st.none() | st.lists(WORDS, min_size=1)),
    )
)
def test_a_value_that_is_printed_is_read_again(pair: tuple[Any, Any]) -> None:
    annotation, value = pair
    read = read_value("key", as_text(value), annotation)
    assert (read, type(read)) == (value, type(value))


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
    known = settings_of(namespace["Plugged"])
    assert read_value("lr", "2", known["lr"].annotation) == 2.0
    assert read_value("extra", "2", known["extra"].annotation) == 2  # a name of `typing`, imported for type checkers
    assert [known[key].has_text_form for key in ("lr", "extra", "widget")] == [True, True, False]
    assert build(namespace["Plugged"], {"widget": object}).lr == 1.0


def test_arguments_of_a_function_are_settings_too() -> None:
    def factory(*, split: str = "train", size: int | None = None, factor=2, data: Mapping[str, int] | None = None): ...  # type: ignore[no-untyped-def]

    known = settings_of(factory)
    assert [(s.key, as_text(s.default), s.meaning) for s in known.values()][:3] == [
        ("split", "train", "str"),
        ("size", "none", "int or None"),
        ("factor", "2", "int"),
    ]
    with pytest.raises(UserError, match="factor is 'x'; it must be int"):
        read_value("factor", "x", known["factor"].annotation)


@pytest.mark.parametrize(
    ("annotation", "fits", "not_fits"),
    [
        (int, [3, -1, np.int64(3)], ["3", 2.5, True, None]),
        (float, [3, 0.5, np.float32(1)], ["3", True]),
        (bool, [True, False], ["false", None]),
        (int | None, [None, 3], ["none", 2.5]),
        (str, ["x"], [3, None]),
        (Mode, ["a", 3], ["c", "3"]),
        ("Widget | None", ["x", 3, None], []),
        (Sequence[int], [(1, 2), "x"], []),  # left to what takes it
    ],
)
def test_a_value_from_python_is_checked_where_the_types_are_plain(
    annotation: Any, fits: list[Any], not_fits: list[Any]
) -> None:
    def takes(key: Any) -> None: ...

    takes.__annotations__ = {"key": annotation}
    known = settings_of(takes)["key"]
    for value in fits:
        known.check(value)
    for value in not_fits:
        with pytest.raises(UserError, match=r"key is .*; it must be"):
            known.check(value)
