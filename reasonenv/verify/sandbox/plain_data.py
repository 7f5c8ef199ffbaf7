"""The values that cross between a solution and its tests, as JSON: what a type loses or keeps stands in one table.

A value of a type that JSON has no form for is a list, [form, part, ..], and its parts are values again:

    (1, 2.5)            ["tuple", 1, 2.5]
    {"a": b"x"}         ["dict", "a", ["bytes", "x"]]
    Fraction(1, 3)      ["fraction", 1, 3]

All values come back equal and of the same type, with four exceptions. A subclass comes back as the type of the table
that it is derived from (`Counter` as `dict`, an `IntEnum` as `int`). A named tuple has its fields, and another class.
An iterator has at most its first `MAX_ITEMS` values. Whatever else there is stays where it is, and a number crosses for
it, if the one who writes it gives one (`PlainData`).

Nothing that is read executes code or makes an object of any other type. This file imports the standard library alone:
it is part of the program that a child process runs.
"""

from __future__ import annotations

import sys
from collections import deque, namedtuple
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import chain, islice
from operator import attrgetter

TYPE_CHECKING = False  # as type checkers know it: `typing` would take 2 ms of the 25 that a child needs to start
if TYPE_CHECKING:
    from typing import Any

MAX_ITEMS = 100_000  # of an iterator

_TYPES = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, object)
}
_TYPES["NoneType"] = type(None)


class NotPlain(TypeError):
    """A value that cannot cross."""


class _Form:
    """A type by the name of its form: the parts of a value, and the value of parts.

    `kind` is a `module:type` where the module may not be imported: then no value is of that type.
    """

    def __init__(
        self, name: str, kind: str | type, parts: Callable[[Any], Iterable[Any]], value: Callable[..., Any]
    ) -> None:
        self.name, self.kind, self.parts, self.value = name, kind, parts, value


def _named(fields: Iterable[Any], *values: Any) -> Any:
    return namedtuple("Row", list(fields))(*values)  # raises for names that are none


def _lazy(name: str) -> Callable[..., Any]:
    """Calls the `module:name` of a module that is imported when it is needed: `decimal` takes a millisecond."""

    def call(*parts: Any) -> Any:
        module, _, path = name.partition(":")
        return attrgetter(path)(import_module(module))(*parts)

    return call


def _fraction(value: Any) -> tuple[int, int]:
    return value.numerator, value.denominator


def _iso(value: Any) -> tuple[str]:
    return (value.isoformat(),)


def _pairs(*parts: Any) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


_FORMS = (  # a subclass before its parent
    _Form("complex", complex, lambda value: (value.real, value.imag), complex),
    _Form("bytes", bytes, lambda value: (value.decode("latin-1"),), lambda text: text.encode("latin-1")),
    _Form("bytearray", bytearray, lambda value: (value.decode("latin-1"),), lambda text: bytearray(text, "latin-1")),
    _Form("dict", dict, lambda value: chain.from_iterable(value.items()), _pairs),
    _Form("list", list, iter, lambda *items: list(items)),
    _Form("tuple", tuple, iter, lambda *items: items),
    _Form("set", set, iter, lambda *items: set(items)),
    _Form("frozenset", frozenset, iter, lambda *items: frozenset(items)),
    _Form("range", range, lambda value: (value.start, value.stop, value.step), range),
    _Form("deque", deque, lambda value: (value.maxlen, *value), lambda most, *items: deque(items, most)),
    _Form("keys", type({}.keys()), iter, lambda *keys: dict.fromkeys(keys).keys()),
    _Form("values", type({}.values()), iter, lambda *values: dict(enumerate(values)).values()),
    _Form("items", type({}.items()), chain.from_iterable, lambda *parts: _pairs(*parts).items()),
    _Form(
        "fraction",
        "fractions:Fraction",
        _fraction,
        _lazy("fractions:Fraction"),
    ),
    _Form("decimal", "decimal:Decimal", lambda value: (str(value),), _lazy("decimal:Decimal")),
    _Form("datetime", "datetime:datetime", _iso, _lazy("datetime:datetime.fromisoformat")),
    _Form("date", "datetime:date", _iso, _lazy("datetime:date.fromisoformat")),
    _Form("time", "datetime:time", _iso, _lazy("datetime:time.fromisoformat")),
    _Form(
        "timedelta",
        "datetime:timedelta",
        lambda value: (value.days, value.seconds, value.microseconds),
        _lazy("datetime:timedelta"),
    ),
)
_NAMED = _Form("named", tuple, lambda value: (list(value._fields), *value), _named)
_ITERATOR = _Form("iterator", object, lambda value: islice(value, MAX_ITEMS), lambda *items: iter(items))
_TYPE = _Form("type", type, lambda value: (value.__name__,), _TYPES.__getitem__)
_BY_NAME = {form.name: form for form in (*_FORMS, _NAMED, _ITERATOR, _TYPE)}
_BY_KIND = {form.kind: form for form in _FORMS}


class PlainData:
    """Writes values as plain data and reads them. What is done with the rest its owner says:

    `number_of` gives the number by which a value that cannot cross is known, or raises `NotPlain`; `object_of` gives
    what stands here for that number; `read_nan` is called for every NaN that is read: a float, or one in a complex
    number or a `Decimal`.
    """

    def __init__(
        self,
        number_of: Callable[[Any], int] | None = None,
        object_of: Callable[[int], Any] | None = None,
        read_nan: Callable[[], None] = lambda: None,
    ) -> None:
        self._number_of, self._object_of, self._read_nan = number_of, object_of, read_nan

    def encode(self, value: Any) -> Any:
        """What `json.dumps` writes. Raises `NotPlain`, or `RecursionError` for what contains itself."""
        if value is None:
            return None
        for scalar in (bool, int, float, str):
            if isinstance(value, scalar):
                return scalar(value)
        form = _form(value)
        if form is not None:
            return [form.name, *map(self.encode, form.parts(value))]
        if self._number_of is None:
            raise NotPlain(f"a {type(value).__name__} is no plain data")
        return ["object", self._number_of(value)]

    def decode(self, data: Any) -> Any:
        """The value. Raises an error of `dict` or of the constructor of a type for what `encode` never made."""
        if isinstance(data, dict):
            raise TypeError("a dict is no plain data")
        if not isinstance(data, list):
            if data != data:
                self._read_nan()
            return data
        name, *parts = data
        if name == "object" and self._object_of is not None:
            return self._object_of(*parts)
        value = _BY_NAME[name].value(*map(self.decode, parts))
        if (name == "decimal" and value.is_nan()) or (name == "complex" and value != value):  # "nan", or inf - inf
            self._read_nan()
        return value


def _form(value: Any) -> _Form | None:
    if type(value) in _BY_KIND:
        return _BY_KIND[type(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _NAMED
    if isinstance(value, type):
        return _TYPE if _TYPES.get(value.__name__) is value else None
    for form in _FORMS:
        kind = _loaded(form.kind)
        if kind is not None and isinstance(value, kind):
            return form
    return _ITERATOR if hasattr(type(value), "__next__") else None


def _loaded(kind: str | type) -> type | None:
    if not isinstance(kind, str):
        return kind
    module, _, name = kind.partition(":")
    return getattr(sys.modules.get(module), name, None)
