"""Settings as typed records: a field says its type, its default, its limits and its meaning, and all else follows.

`record` makes a frozen pydantic dataclass of a class. `settings_of` reads the settings of a record, of anybody's plain
dataclass and of a function's keyword arguments; a `Setting` reads its value from text, as on a command line.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from dataclasses import Field as DataclassField
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType, NoneType, SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.dataclasses import is_pydantic_dataclass

from reasonenv.errors import UnknownArgument, UserError, unknown

T = TypeVar("T")

NUMBERS = ConfigDict(allow_inf_nan=False)
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
PLAIN = (NoneType, bool, int, float, str)
SEQUENCES = (tuple, list, Sequence)
NAMES = {**vars(typing), "Path": Path}  # what the text of an annotation may name, beside Python's own types


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """A field of a record: its default, its meaning as `--help` shows it, and its limits as pydantic calls them."""
    return field(default=default, metadata={"description": meaning, **limits})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(kind: type[T]) -> type[T]:
    """Makes a frozen pydantic dataclass of `kind`, which takes keyword arguments alone.

    Its constructor raises `UserError` for an unknown argument, and for a value of another type or beyond its limits.
    Types are exact, but for numbers of NumPy, and an integer where a float is meant: text is read by `Setting.read`.
    A field that is declared anew keeps the limits that it has in the base class.
    """
    for name, declared in vars(kind).items():
        if isinstance(declared, DataclassField):
            declared.metadata = MappingProxyType({**_limits(kind, name), **declared.metadata})
    made: Any = pydantic_dataclass(kind, frozen=True, kw_only=True, config=STRICT)
    construct = made.__init__

    @wraps(construct)
    def __init__(self: Any, **values: Any) -> None:
        try:
            construct(self, **{key: _number(value) for key, value in values.items()})
        except ValidationError as error:
            raise _complaint(error.errors(include_url=False)[0], made) from None

    made.__init__ = __init__
    return cast(type[T], made)


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A record of values such as TOML has, whose lists may be tuples; those of a plain dataclass are checked here."""
    settings = settings_of(kind)
    exact = dict(values)
    for key, value in values.items():
        if isinstance(value, list) and key in settings and get_origin(settings[key].annotation) is tuple:
            exact[key] = tuple(value)
        if not is_pydantic_dataclass(kind):
            settings[key].check(value)
    return kind(**exact)


@dataclass(frozen=True)
class Setting:
    """One setting. An annotation that names what only type checkers see stays a text, and no value is read for it."""

    key: str
    annotation: Any
    default: Any  # MISSING if there is none
    meaning: str
    limits: Mapping[str, Any]

    @property
    def has_text_form(self) -> bool:
        """Whether `read` knows a text for some value."""
        return any(option in (*PLAIN, Path) or _is_literal(option) or _is_row(option) for option in self.options)

    @property
    def default_text(self) -> str:
        """The default as `read` takes it."""
        return "needed" if self.default is MISSING else as_text(self.default)

    @property
    def options(self) -> tuple[Any, ...]:
        """The members of a union, or the annotation alone."""
        return options_of(self.annotation)

    def read(self, value: Any) -> Any:
        """`value`, a text of a command line or what TOML and JSON know, as the type of the setting.

        `none` is None, and `1,2` is a sequence. Raises `UserError` that names the key and the types.
        """
        return read_value(self.key, value, self.annotation)

    def check(self, value: Any) -> None:
        """Raises `UserError` if a `value` from Python is of another type or beyond the limits.

        What is neither a plain type nor a choice is left to what takes it.
        """
        if not all(option in PLAIN or _is_literal(option) for option in self.options):
            return
        try:
            _adapter(self.annotation, tuple(self.limits.items())).validate_python(_number(value), strict=True)
        except ValidationError as error:
            raise _refusal(self, self.key, error.errors(include_url=False)[0]) from None


def settings_of(described: Any) -> dict[str, Setting]:
    """The fields of a dataclass, or the named arguments of a function, by name.

    An argument without annotation has the type of its default.
    """
    types = _types_of(described)
    found: dict[str, Setting] = {}
    if is_dataclass(described):
        for f in fields(described):
            default = f.default if f.default_factory is MISSING else f.default_factory()
            limits = _limits(described, f.name)
            meaning = limits.pop("description", "")
            found[f.name] = Setting(f.name, _resolved(types.get(f.name, f.type)), default, meaning, limits)
        return found
    for p in inspect.signature(described).parameters.values():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        default = MISSING if p.default is p.empty else p.default
        stated = type(default) if p.annotation is p.empty else types.get(p.name, p.annotation)
        annotation = _resolved(stated)
        found[p.name] = Setting(p.name, annotation, default, in_words(annotation), {})
    return found


def _limits(kind: Any, name: str) -> dict[str, Any]:
    """The limits of a field, and its meaning, with those that it has in the bases of a class."""
    limits: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        declared = vars(base).get("__dataclass_fields__", {})
        if name in declared:
            limits.update(declared[name].metadata)
    return limits


def options_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def in_words(annotation: Any) -> str:
    """`int or None`, `'a' or 'b'`, `a list of int`: an annotation as a message names it."""
    words: list[str] = []
    for option in options_of(annotation):
        if option is NoneType:
            words.append("None")
        elif _is_literal(option):
            words.extend(map(repr, get_args(option)))
        elif _is_row(option):
            words.append(f"a list of {', '.join(in_words(element) for element in _elements(option))}")
        else:
            words.append(option if isinstance(option, str) else inspect.formatannotation(option))
    return " or ".join(words)


def as_text(value: Any) -> str:
    """A value as `Setting.read` reads it."""
    if value is None:
        return "none"
    return ",".join(map(as_text, value)) if isinstance(value, (tuple, list)) else str(value)


@cache
def _adapter(annotation: Any, limits: tuple[tuple[str, Any], ...] = ()) -> TypeAdapter[Any]:
    limited: Any = Annotated[annotation, Field(**dict(limits))] if limits else annotation
    return TypeAdapter(limited, config=NUMBERS)


def _types_of(described: Any) -> dict[str, Any]:
    """The annotations of a class or a function as types, or as they stand where one names what only checkers see."""
    try:
        return get_type_hints(described)
    except Exception:  # of a plug-in: whatever evaluating somebody else's annotation raises
        return dict(getattr(described, "__annotations__", {}))


def _resolved(annotation: Any) -> Any:
    """The type that the text of an annotation names by Python's own names, or the text."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), NAMES)["it"]
    except Exception:  # as above
        return annotation


def _is_literal(option: Any) -> bool:
    return get_origin(option) is Literal


def _is_row(option: Any) -> bool:
    """Whether an option is a sequence whose elements have text forms."""
    elements = _elements(option)
    texts = [element in (*PLAIN, Path) or _is_literal(element) for element in elements]
    return get_origin(option) in SEQUENCES and bool(texts) and all(texts)


def _elements(option: Any) -> list[Any]:
    return [element for element in get_args(option) if element is not Ellipsis]


def _number(value: Any) -> Any:
    """Python's number for one of NumPy, which is not an `int` as strict validation wants it."""
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def read_value(key: str, value: Any, annotation: Any) -> Any:
    """See `Setting.read`."""
    for option in sorted(options_of(annotation), key=_read_late):
        try:
            return _read_option(key, value, option)
        except ValidationError:
            continue
    raise _wrong(key, value, annotation)


def _read_late(option: Any) -> int:
    """`none` is None before all, and any text is a `str`."""
    return 0 if option is NoneType else 1 + (option in (str, Path))


def _read_option(key: str, value: Any, option: Any) -> Any:
    """`value` as one member of a union. Raises `ValidationError` if it is none."""
    if option is NoneType and str(value).lower() == "none":
        return None
    if _is_literal(option):
        for member in get_args(option):
            if str(value) == str(member):
                return member
    if _is_row(option) and isinstance(value, (str, list, tuple)):
        return _read_row(key, value, option)
    if isinstance(option, str):  # names nothing known
        raise _wrong(key, value, option)
    adapter = _adapter(option)
    if not isinstance(value, str):
        return adapter.validate_python(_number(value), strict=True)
    if option is int:  # 1e4 is a whole number too
        value = _whole(value)
    return adapter.validate_strings(value)


def _whole(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if "e" in text.lower() and number.is_integer() else text


def _read_row(key: str, value: Any, option: Any) -> tuple[Any, ...] | list[Any]:
    """A sequence; where it has more elements than the annotation names, the last type holds for the rest."""
    kinds = _elements(option)
    parts = list(value)
    if isinstance(value, str):
        parts = value.split(",") if value else []
    elements = [read_value(key, part, kinds[min(i, len(kinds) - 1)]) for i, part in enumerate(parts)]
    return elements if get_origin(option) is list else tuple(elements)


def _complaint(detail: Mapping[str, Any], kind: type) -> UserError:
    """What the constructor of a record says, of the first thing that is wrong."""
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return cause
    settings, (name, *path) = settings_of(kind), detail["loc"]
    if detail["type"] == "unexpected_keyword_argument":
        return UnknownArgument(str(unknown("setting", str(name), settings)))
    if detail["type"].startswith("missing"):
        return UserError(f"{name} is missing")
    place = str(name) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return _refusal(settings[str(name)], place, detail)


def _refusal(known: Setting, place: str, detail: Mapping[str, Any]) -> UserError:
    """What is wrong with a value at `place`, which is the setting or in it."""
    value, annotation = detail["input"], known.annotation
    union = len(set(known.options) - {NoneType}) > 1
    if union or (place == known.key and detail["type"].endswith(("_type", "_error"))):
        return _wrong(known.key, value, annotation)
    words = detail["msg"].replace("Input should", "it must").replace("Tuple should", "it must")
    words = words.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    words = words.partition(" after validation")[0].replace("a valid dictionary", "a table")
    also = ", or none" if NoneType in known.options else ""
    return UserError(f"{place} is {value!r}; {words}{also}")


def _wrong(key: str, value: Any, annotation: Any) -> UserError:
    """Says what a value must be; of names it suggests the nearest."""
    choices: list[Any] = []
    for option in set(options_of(annotation)) - {NoneType}:
        choices += get_args(option) if _is_literal(option) else [None]
    if isinstance(value, str) and all(isinstance(choice, str) for choice in choices):
        return unknown(key, value, choices)
    return UserError(f"{key} is {value!r}; it must be {in_words(annotation)}")
