"""Settings as typed records: a field says its type, its default, its limits and its meaning, and all else follows.

`record` makes a frozen pydantic dataclass of a class. `settings_of` reads the settings of a record, of anybody's plain
dataclass and of a function's keyword arguments; `read_value` reads a value from text, as on a command line.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from dataclasses import Field as DataclassField
from functools import cache, wraps
from pathlib import Path
from types import MappingProxyType, NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.dataclasses import is_pydantic_dataclass

from reasonenv.errors import UnknownArgument, UserError, unknown

T = TypeVar("T")

FINITE = ConfigDict(allow_inf_nan=False)
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
# From pydantic's words to ours.
WORDS = {
    "Input should": "it must",
    "Tuple should": "it must",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "a valid dictionary": "a table",
}
PLAIN = (NoneType, bool, int, float, str)
INFINITE = ("nan", "inf", "infinity")
SEQUENCES = (tuple, list, Sequence)
NAMES = {**vars(typing), "Path": Path}  # what the text of an annotation may name, beside Python's own types


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """A field of a record: its default, its meaning as `--help` shows it, and its limits as pydantic calls them."""
    return field(default=default, metadata={"description": meaning, **limits})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(kind: type[T]) -> type[T]:
    """Makes a frozen pydantic dataclass of `kind`, which takes keyword arguments alone.

    Its constructor raises `UserError` for an unknown argument, and for a value of another type or beyond its limits.
    Types are exact, but for numbers of NumPy, and an integer where a float is meant: text is read by `read_value`.
    A field that is declared anew keeps the limits that it has in the base class.
    """
    for name, declared in vars(kind).items():
        if isinstance(declared, DataclassField):
            declared.metadata = MappingProxyType({**_metadata(kind, name), **declared.metadata})
    made: Any = pydantic_dataclass(kind, frozen=True, kw_only=True, config=STRICT)
    construct = made.__init__

    @wraps(construct)
    def __init__(self: Any, **values: Any) -> None:
        try:
            construct(self, **{key: _python_number(value) for key, value in values.items()})
        except ValidationError as error:
            raise _complaint(error, settings_of(made)) from None

    made.__init__ = __init__
    decorated: type[T] = made
    return decorated


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
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_text_form(self) -> bool:
        """Whether `read_value` knows a text for some value."""
        return any(o in (*PLAIN, Path) or get_origin(o) in (Literal, *SEQUENCES) for o in options_of(self.annotation))

    def check(self, value: Any) -> None:
        """Raises `UserError` if a `value` from Python is of another type or beyond the limits.

        What is neither a plain type nor a choice is left to what takes it.
        """
        if not all(option in PLAIN or get_origin(option) is Literal for option in options_of(self.annotation)):
            return
        try:
            _adapter(self.annotation, tuple(self.limits.items())).validate_python(_python_number(value), strict=True)
        except ValidationError as error:
            raise _refusal(self, self.key, error.errors(include_url=False)[0]) from None


def settings_of(described: Any) -> dict[str, Setting]:
    """The fields of a dataclass, or the named arguments of a function, by name.

    An argument without annotation has the type of its default.
    """
    settings: dict[str, Setting] = {}
    if is_dataclass(described):
        types = _types(described, {f.name: f.type for f in fields(described)})
        for f in fields(described):
            default = f.default
            if f.default_factory is not MISSING:
                default = f.default_factory()
            limits = _metadata(described, f.name)
            settings[f.name] = Setting(f.name, types[f.name], default, limits.pop("description", ""), limits)
        return settings
    parameters = inspect.signature(described).parameters.values()
    types = _types(described, {p.name: p.annotation for p in parameters})
    for p in parameters:
        annotation, default = types.get(p.name, p.annotation), p.default
        if p.annotation is p.empty:
            annotation = type(default)
        if default is p.empty:
            default = MISSING
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            settings[p.name] = Setting(p.name, annotation, default, in_words(annotation))
    return settings


def _types(described: Any, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Annotations as types. One that names what only type checkers see stays as it is."""
    try:
        return get_type_hints(described)
    except Exception:  # of a plug-in: whatever evaluating somebody else's annotation raises
        return {name: _resolved(annotation) for name, annotation in stated.items()}


def read_value(key: str, value: Any, annotation: Any) -> Any:
    """`value`, a text of a command line or what TOML and JSON know, as a type that `annotation` names.

    `none` is None, and `1,2` is a sequence. Raises `UserError` that names the key and the types.
    """
    options = options_of(annotation)
    if NoneType in options and str(value).lower() == "none":
        return None
    for option in sorted(options, key=_is_any_text):
        try:
            return _read_option(value, option)
        except (ValueError, PydanticUserError):  # no such value, or a type of a plug-in that no text can be
            continue
    raise _wrong(key, value, annotation)


def _is_any_text(option: Any) -> bool:
    """Whether every text is such a value, so that other members of a union come first."""
    return option in (str, Path) or get_origin(option) in SEQUENCES


def as_text(value: Any) -> str:
    """A value as `read_value` reads it, or a default that there is not."""
    if value is MISSING:
        return "needed"
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return ",".join(map(as_text, value))
    return str(value)


def options_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)


def in_words(annotation: Any) -> str:
    """`int or None`, `'a' or 'b'`, `a list of int`: an annotation as a message names it."""
    words: list[str] = []
    for option in options_of(annotation):
        if get_origin(option) is Literal:
            words.extend(map(repr, get_args(option)))
        elif get_origin(option) in SEQUENCES:
            words.append(f"a list of {', '.join(in_words(kind) for kind in get_args(option) if kind is not Ellipsis)}")
        elif option is NoneType:
            words.append("None")
        elif get_origin(option) is Callable:
            words.append("a function")
        elif isinstance(option, str):
            words.append(option)
        else:
            words.append(inspect.formatannotation(option))
    return " or ".join(words)


def _read_option(value: Any, option: Any) -> Any:
    """`value` as one member of a union. Raises `ValueError` if it is none."""
    exact = not isinstance(value, str) and get_origin(option) not in SEQUENCES
    if isinstance(option, str):
        raise ValueError(f"{option} names nothing known")
    if get_origin(option) is Literal:
        value = next((member for member in get_args(option) if str(member) == str(value)), value)
    elif isinstance(value, str):
        if get_origin(option) in SEQUENCES:
            value = [part for part in value.split(",") if part]
        elif option is int and "e" in value.lower():
            value = float(value)  # 1e4 is a whole number too
    elif option is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # as TOML has 1e4
    return _adapter(option).validate_python(_python_number(value), strict=exact)


@cache
def _adapter(annotation: Any, limits: tuple[tuple[str, Any], ...] = ()) -> TypeAdapter[Any]:
    limited: Any = Annotated[annotation, Field(**dict(limits))]
    return TypeAdapter(limited, config=FINITE)


def _resolved(annotation: Any) -> Any:
    """The type that the text of an annotation names by Python's own names, or the text."""
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), NAMES)["it"]
    except Exception:  # as above
        return annotation


def _metadata(kind: Any, name: str) -> dict[str, Any]:
    """What a field says of its meaning and limits, and what it says of them in the bases of a class."""
    metadata: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        declared = vars(base).get("__dataclass_fields__", {})
        if name in declared:
            metadata.update(declared[name].metadata)
    return metadata


def _python_number(value: Any) -> Any:
    """Strict validation knows no numbers of NumPy."""
    if isinstance(value, np.generic):
        return value.item()
    return value


def _complaint(error: ValidationError, settings: Mapping[str, Setting]) -> UserError:
    """What the constructor of a record says, of the first thing that is wrong."""
    detail = error.errors(include_url=False)[0]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return cause
    if cause is not None:  # of somebody else's `__post_init__`
        return UserError(str(cause))
    name = str(detail["loc"][0])
    if name not in settings:
        return UnknownArgument(str(unknown("setting", name, settings)))
    if detail["type"].startswith("missing"):
        return UserError(f"{name} is missing")
    return _refusal(settings[name], ".".join(map(str, detail["loc"])), detail)


def _refusal(known: Setting, place: str, detail: Mapping[str, Any]) -> UserError:
    """What is wrong with a value at `place`, which is the setting or in it."""
    union = len(set(options_of(known.annotation)) - {NoneType}) > 1
    if union or (place == known.key and detail["type"].endswith(("_type", "_error"))):
        return _wrong(known.key, detail["input"], known.annotation)
    message = detail["msg"].partition(" after validation")[0]
    for words, replacement in WORDS.items():
        message = message.replace(words, replacement)
    if NoneType in options_of(known.annotation):
        message += ", or none"
    return UserError(f"{place} is {detail['input']!r}; {message}")


def _wrong(key: str, value: Any, annotation: Any) -> UserError:
    """Says what a value must be; of names it suggests the nearest."""
    options = [option for option in options_of(annotation) if option is not NoneType]
    if len(options) == 1 and get_origin(options[0]) is Literal:
        choices = get_args(options[0])
        if all(isinstance(choice, str) for choice in (value, *choices)):
            return unknown(key, value, choices)
    finite = " and finite" if float in options and str(value).strip("+-").lower() in INFINITE else ""
    return UserError(f"{key} is {value!r}; it must be {in_words(annotation)}{finite}")
