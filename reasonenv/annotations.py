"""Annotations as types, and values as the types that they name: from Python, and from text as on a command line."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from reasonenv.errors import UserError

_NAMES = {**vars(typing), "Path": Path}  # what the text of an annotation may name, beside Python's own types
_PLAIN: dict[Any, Any] = {NoneType: NoneType, bool: Integral, int: Integral, float: Real, str: str}
_TEXTS = (NoneType, bool, int, float, str, Path)
_SEQUENCES = (tuple, list, Sequence)


def types_of(described: Any) -> dict[str, Any]:
    """The annotations of a class or a function as types, or as they stand where one names what only checkers see."""
    try:
        return get_type_hints(described)
    except Exception:  # of a plug-in: whatever evaluating somebody else's annotation raises
        return dict(getattr(described, "__annotations__", {}))


def options(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or what is none alone. A text that names nothing known stays a text."""
    if isinstance(annotation, str):
        try:
            annotation = get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), _NAMES)["it"]
        except Exception:  # as above
            return (annotation,)
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def in_words(annotation: Any) -> str:
    """`int or None`, `'a' or 'b'`: an annotation as a message names it."""
    words = []
    for option in options(annotation):
        if option is NoneType:
            words.append("None")
        elif get_origin(option) is Literal:
            words.extend(map(repr, get_args(option)))
        else:
            words.append(option if isinstance(option, str) else inspect.formatannotation(option))
    return " or ".join(words)


def check_type(key: str, value: Any, annotation: Any) -> None:
    """Raises `UserError` if a `value` from Python contradicts an annotation of plain types; others are not read."""
    kinds = options(annotation)
    if any(kind not in _PLAIN for kind in kinds):
        return
    if isinstance(value, bool) and bool not in kinds:
        fits = False
    else:
        fits = isinstance(value, tuple(_PLAIN[kind] for kind in kinds))
    if not fits:
        raise UserError(f"{key} is {value!r}; it must be {in_words(annotation)}")


def has_text_form(annotation: Any) -> bool:
    """Whether `typed` can read some value of the annotation from text."""
    return any(_is_text(option) or _is_row(option) for option in options(annotation))


def _is_text(option: Any) -> bool:
    return option in _TEXTS or get_origin(option) is Literal


def _is_row(option: Any) -> bool:
    """Whether an option is a sequence whose elements have text forms."""
    elements = [element for element in get_args(option) if element is not Ellipsis]
    return get_origin(option) in _SEQUENCES and bool(elements) and all(map(_is_text, elements))


def typed(key: str, value: Any, annotation: Any) -> Any:
    """`value` as the type that `annotation` names; strings are read as on a command line.

    `none` is None, and `1,2` is a sequence. Raises `UserError` that names the key and the types.
    """
    kinds, text = options(annotation), str(value)
    if NoneType in kinds and text.lower() == "none":
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if not isinstance(value, bool):
        for kind in (int, float):
            number = _number(value, kind) if kind in kinds else None
            if number is not None:
                return number
    members = [member for kind in kinds if get_origin(kind) is Literal for member in get_args(kind)]
    for member in members:
        if text == str(member):
            return member
    if str in kinds or Path in kinds:
        return text
    for kind in kinds:
        if _is_row(kind):
            return _row(key, value, kind)
    raise UserError(f"{key} is {value!r}; it must be {in_words(annotation)}")


def as_text(value: Any) -> str:
    """A value as `typed` reads it."""
    if value is None:
        return "none"
    return ",".join(map(as_text, value)) if isinstance(value, (tuple, list)) else str(value)


def _number(value: Any, kind: type[int] | type[float]) -> int | float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or (kind is int and number != int(number)):
        return None
    return kind(number)


def _row(key: str, value: Any, annotation: Any) -> tuple[Any, ...] | list[Any]:
    """A sequence; where it has more elements than the annotation names, the last type holds for the rest."""
    kinds = [kind for kind in get_args(annotation) if kind is not Ellipsis]
    parts = value.split(",") if isinstance(value, str) else list(value)
    if parts == [""]:
        parts = []
    elements = [typed(key, part, kinds[min(i, len(kinds) - 1)]) for i, part in enumerate(parts)]
    return elements if get_origin(annotation) is list else tuple(elements)
