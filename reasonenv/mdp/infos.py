"""Infos of many rows by key, in the form of Gymnasium's vector environments: an array and a mask `_key` for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

Info = dict[str, Any]
Texts = npt.NDArray[np.object_]  # [num_envs]

RESPONSE = "response"


def gathered(infos: Mapping[int, Info], num_envs: int) -> Info:
    """The infos of some rows put together as `VectorEnv._add_info` does: None, or zero, where a row has no such key."""
    together: Info = {}
    inner: dict[str, dict[int, Info]] = {}
    for row, info in infos.items():
        for key, value in info.items():
            mask = f"_{key}"
            if mask not in together:
                together[mask] = np.zeros(num_envs, dtype=bool)
            together[mask][row] = True
            if isinstance(value, dict) and key != "final_obs":
                inner.setdefault(key, {})[row] = value
                continue
            if key not in together:  # an empty object array holds None
                numeric = isinstance(value, int | float)
                together[key] = np.zeros(num_envs, type(value)) if numeric else np.empty(num_envs, object)
            together[key][row] = value
    return together | {key: gathered(values, num_envs) for key, values in inner.items()}


def _whole(method: Callable[..., Any]) -> Any:
    """A method of `dict` that first sees to it that everything is there."""

    @wraps(method)
    def looked(self: StepInfos, *arguments: Any) -> Any:
        self.look()
        self.get(RESPONSE)
        return method(self, *arguments)

    return looked


class StepInfos(dict[str, Any]):
    """The infos of a step, put together when somebody looks, and the responses decoded when somebody looks at those.

    The one takes longer than a token step of 64 rows, the other ten times as long. Whoever asks for a key, or goes
    through all of them, finds what a `dict` would hold; a copy is one.
    """

    def __init__(self, infos: Callable[[], Info], responses: Callable[[], Texts]) -> None:
        self._infos: Callable[[], Info] | None = infos
        self._responses: Callable[[], Texts] | None = responses

    def look(self) -> None:
        """Puts the infos together, but for the responses. What has been set meanwhile stays."""
        if self._infos is not None:
            infos, self._infos = self._infos(), None
            for key, value in infos.items():
                super().setdefault(key, value)

    def __missing__(self, key: str) -> Any:
        if key == RESPONSE and self._responses is not None:
            self[key], self._responses = self._responses(), None
        elif self._infos is not None:
            self.look()
        else:
            raise KeyError(key)
        return self[key]

    def __contains__(self, key: object) -> bool:
        self.look()
        return super().__contains__(key) or (key == RESPONSE and self._responses is not None)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    __iter__ = _whole(dict.__iter__)
    __len__ = _whole(dict.__len__)
    __eq__ = _whole(dict.__eq__)
    __or__ = _whole(dict.__or__)
    __ror__ = _whole(dict.__ror__)
    __repr__ = _whole(dict.__repr__)
    copy = _whole(dict.copy)
    items = _whole(dict.items)
    keys = _whole(dict.keys)
    pop = _whole(dict.pop)
    setdefault = _whole(dict.setdefault)
    values = _whole(dict.values)
