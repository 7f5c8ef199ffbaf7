"""The scoring of reasoning-gym's generators, as a worker of `reasonenv.verify.pool` calls it for `rg`.

A module of its own, so that importing it imports the package: that takes seconds, and is done before the clock starts.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

from reasonenv.core import Reason
from reasonenv.envs.rg import unpacked

DATASETS = import_module("reasoning_gym.factory").DATASETS


def score(name: str, config: str, entry: str, answer: str) -> Reason:
    """What the generator `name` says of an answer to one of its entries; `config` and `entry` are `rg.packed`."""
    try:
        marks = _scorer(name, config).score_answer(answer, unpacked(entry))
    except MemoryError:
        raise
    except Exception:  # a hundred scorers, none of which says what it raises for text that it cannot read
        return Reason.UNPARSABLE_ANSWER
    return Reason.of(marks >= 1)


@lru_cache(maxsize=16)
def _scorer(name: str, config: str) -> Any:
    """An object of the generator: scoring reads its configuration and the entry, neither seed nor size."""
    make, config_class = DATASETS[name]
    return make(config_class(seed=0, size=1, **unpacked(config)))
