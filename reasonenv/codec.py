"""Trajectories with their problems and verdicts as plain JSON data, and back as they were. Reading executes nothing.

A field is written under its own name, so a record that gains one needs no line here. What two equal records may differ
in (a field with `compare=False`, such as a wall clock) is not written: equal records make equal bytes.

`Problem.meta` may hold what JSON holds, and beside it tuples, sets, mappings with any keys, NumPy's numbers (which come
back as Python's) and dataclasses marked as `storable`. What JSON has no form for stands in an object of one key:

    (1, 2)               {"!tuple": [1, 2]}
    {3}                  {"!set": [3]}
    {1: "a"}             {"!mapping": [[1, "a"]]}            so is a mapping with a key that begins with "!"
    UnitTests(...)       {"!reasonenv.verify.sandbox.unit_tests:UnitTests": {"asserts": ...}}

Every mapping comes back as a `dict`. Anything else is a `UserError` that names the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from reasonenv.core import Problem, Reason, Trajectory, Verdict
from reasonenv.errors import UserError

Data = dict[str, Any]  # of a JSON object
Kind = TypeVar("Kind", bound=type)

# The arrays of a trajectory, which a file keeps in a form of its own, and their types.
ARRAYS = {
    "prompt": "int64",
    "tokens": "int64",
    "roles": "int8",
    "logprobs": "float32",
    "versions": "int64",
    "rewards": "float32",
    "ends": "int64",
}
_PLAIN = (type(None), bool, int, float, str)
_STORABLE: dict[str, type] = {}


def storable(kind: Kind) -> Kind:
    """Marks a dataclass whose instances may stand in `Problem.meta`; only marked classes are made when reading."""
    _STORABLE[f"!{kind.__module__}:{kind.__qualname__}"] = kind
    return kind


def encode(trajectory: Trajectory) -> Data:
    """All of a trajectory but its `ARRAYS`. Raises `UserError` for a `meta` that cannot be written."""
    data = {f.name: getattr(trajectory, f.name) for f in fields(trajectory) if f.name not in ARRAYS}
    return {**data, "problem": encode_problem(trajectory.problem), "verdict": _fields(trajectory.verdict)}


def decode(data: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Trajectory:
    """The inverse of `encode`."""
    values = {**data, **arrays}
    values["branches"] = tuple(map(tuple, data.get("branches", ())))
    return Trajectory(
        **{**values, "problem": decode_problem(data["problem"]), "verdict": decode_verdict(data["verdict"])}
    )


def encode_problem(problem: Problem) -> Data:
    """A problem as a JSON object."""
    return {**_fields(problem), "meta": _mapping(problem.meta, f"problem {problem.id!r}: meta")}


def decode_problem(data: Mapping[str, Any]) -> Problem:
    """The inverse of `encode_problem`."""
    values = {**data, "steps": tuple(data.get("steps", ()))}
    if "meta" in data:
        values["meta"] = _object(data["meta"])
    return Problem(**values)


def decode_verdict(data: Mapping[str, Any]) -> Verdict:
    """The verdict of a JSON object that `encode` wrote. What follows from its other fields is not read."""
    values = {f.name: data[f.name] for f in fields(Verdict) if f.name in data}
    return Verdict(**{**values, "reason": Reason(data["reason"])})


def _fields(record: Problem | Verdict) -> Data:
    return {f.name: getattr(record, f.name) for f in fields(record) if f.compare}


def _value(value: Any, where: str) -> Any:
    """What JSON has in place of `value`, which stands at `where`."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        return _value(value.item(), where)
    if isinstance(value, list):
        return _values(value, where)
    if isinstance(value, tuple):
        return {"!tuple": _values(value, where)}
    if isinstance(value, set | frozenset):
        return {"!set": _values(sorted(value, key=repr), where)}
    if isinstance(value, Mapping):
        return _mapping(value, where)
    name = f"!{type(value).__module__}:{type(value).__qualname__}"
    if name in _STORABLE:
        return {name: {f.name: _value(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}}
    raise UserError(
        f"{where} is of type {type(value).__qualname__}, which cannot be saved; use numbers, texts, lists, tuples, "
        "sets or mappings, or mark its dataclass with reasonenv.codec.storable"
    )


def _values(values: list[Any] | tuple[Any, ...], where: str) -> list[Any]:
    return [_value(value, f"{where}[{place}]") for place, value in enumerate(values)]


def _mapping(value: Mapping[Any, Any], where: str) -> Data:
    if all(type(key) is str and not key.startswith("!") for key in value):
        return {key: _value(item, f"{where}[{key!r}]") for key, item in value.items()}
    pairs = [[_value(key, f"a key of {where}"), _value(item, f"{where}[{key!r}]")] for key, item in value.items()]
    return {"!mapping": pairs}


def _object(data: Any) -> Any:
    """The inverse of `_value`."""
    if isinstance(data, list):
        return list(map(_object, data))
    if not isinstance(data, dict):
        return data
    name = next(iter(data), "")
    if len(data) != 1 or not name.startswith("!"):
        return {key: _object(item) for key, item in data.items()}
    content = data[name]
    if name == "!tuple":
        return tuple(map(_object, content))
    if name == "!set":
        return set(map(_object, content))
    if name == "!mapping":
        return {_object(key): _object(item) for key, item in content}
    if name not in _STORABLE:
        raise UserError(f"a problem's meta holds a {name[1:]}; import the module that marks it as storable first")
    return _STORABLE[name](**{key: _object(item) for key, item in content.items()})
