"""Counter-based randomness: a draw is a pure function of its purpose, so order and restarts cannot matter."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_ROUNDS = 2  # of two halves each: four halves make a strong pseudo-random permutation (Luby and Rackoff 1988)


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


def uniforms(seed: int, count: int, start: int = 0) -> npt.NDArray[np.float64]:
    """Uniform draws `start` to `start + count` in [0, 1) of a sample's own stream; draw t decides its token t."""
    return np.random.Generator(np.random.Philox(key=seed)).random(start + count)[start:]


def permuted(index: int, count: int, key: int) -> int:
    """The element at place `index` of a pseudo-random order of range(count), which `key` chooses and nothing stores.

    `count` is at most 2^512. A Feistel network over the next power of two, applied until the result is below `count`
    (cycle walking; Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). Of a few elements, say ten, some
    are a little more often first than others.
    """
    bits = (count - 1).bit_length()
    low_bits = bits // 2
    high_mask, low_mask = (1 << bits - low_bits) - 1, (1 << low_bits) - 1
    while True:
        high, low = index >> low_bits, index & low_mask
        for turn in range(_ROUNDS):
            high ^= _noise(key, turn, low) & high_mask
            low ^= _noise(key, turn, high) & low_mask
        index = high << low_bits | low
        if index < count:
            return index


def _noise(key: int, turn: int, value: int) -> int:
    return int.from_bytes(hashlib.blake2b(b"%d %d %d" % (key, turn, value), digest_size=32).digest(), "little")
