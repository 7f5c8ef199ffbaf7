"""Counter-based randomness: a draw is a pure function of its purpose, so order and restarts cannot matter."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from a path such as `(run_seed, "rollout", iteration, problem_id, sample)`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A generator owned by one purpose; see `derive_seed`."""
    return np.random.Generator(np.random.Philox(key=derive_seed(*parts)))


def uniform(*parts: int | str) -> float:
    """One uniform draw in [0, 1) for a path; see `derive_seed`. Much cheaper than a generator."""
    return (derive_seed(*parts) >> 10) / 2.0**53


def uniforms(seed: int, count: int) -> npt.NDArray[np.float64]:
    """The first `count` uniform draws in [0, 1) of a sample's own stream; draw t decides its token t.  # [count]"""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
