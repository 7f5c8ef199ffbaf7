"""Levenshtein distances of many pairs of texts at once.

A column of the table of distances is two bits a row: where it rises and where it falls by one (Myers 1999, in the form
of Hyyro 2003). Its 64 rows of a machine word are one step, and a step is taken for thousands of pairs side by side.
Time grows with the product of the lengths of a pair, over 64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reasonenv.core import IntArray

Words = npt.NDArray[np.uint64]
Bits = Words | np.uint64

WORD = 64
BLOCK = 1 << 24  # bytes of the masks that say where in a text its letters stand, held at once
ZERO, ONE, LAST, ALL = np.uint64(0), np.uint64(1), np.uint64(WORD - 1), ~np.uint64(0)
BITS = np.array([number.bit_count() for number in range(256)], dtype=np.int64)  # that are set in a byte


def edit_distances(texts: Sequence[str], first: IntArray, second: IntArray) -> IntArray:
    """Insertions, deletions and replacements from texts[first[i]] to texts[second[i]].  # [pairs]"""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    letters, alphabet = _renumbered(np.frombuffer(joined, dtype=np.uint32))
    starts = np.cumsum(lengths) - lengths
    words_of = np.maximum(-(-lengths // WORD), 1)
    dearer = words_of[first] * lengths[second] > words_of[second] * lengths[first]
    first, second = np.where(dearer, second, first), np.where(dearer, first, second)
    words = words_of[first]
    order = np.argsort(words, kind="stable")  # pairs of one block take equally many words, and often the same texts
    distances = np.empty(len(order), dtype=np.int64)
    at = 0
    while at < len(order):
        width = int(words[order[at]])
        block = order[at : at + max(BLOCK // (8 * width * alphabet), 64)]
        block = block[words[block] == width]
        at += len(block)
        block = block[np.argsort(-lengths[second[block]], kind="stable")]
        distances[block] = _block(letters, alphabet, starts, lengths, first[block], second[block], width)
    return distances


def _renumbered(letters: npt.NDArray[np.uint32]) -> tuple[IntArray, int]:
    """The letters numbered from 0, and how many different ones there are."""
    present = np.zeros(int(letters.max(initial=0)) + 1, dtype=bool)
    present[letters] = True
    return (np.cumsum(present) - 1)[letters], max(int(present.sum()), 1)


def _block(
    letters: IntArray, alphabet: int, starts: IntArray, lengths: IntArray, first: IntArray, second: IntArray, width: int
) -> IntArray:
    """The distances of pairs of which the first text takes `width` words and the second ones become no longer."""
    used, place = np.unique(np.concatenate((first, second)), return_inverse=True)
    of_first, of_second = place[: len(first)] * alphabet, place[len(first) :]
    same = np.zeros((width, len(used) * alphabet), dtype=np.uint64)  # of (text, letter): the rows with that letter
    places = np.arange(len(used)) * alphabet
    for at in range(int(lengths[first].max())):
        longer = lengths[used] > at
        letter = letters[starts[used[longer]] + at]
        same[at // WORD, places[longer] + letter] |= np.uint64(1 << at % WORD)
    up = np.full((width, len(first)), ALL)
    down = np.zeros_like(up)
    longer_than = np.searchsorted(-lengths[second], -np.arange(int(lengths[second].max(initial=0))))
    for at, left in enumerate(longer_than.tolist()):
        letter = letters.take(starts[used] + at, mode="clip")  # of the texts that have ended any one
        row = of_first[:left] + letter.take(of_second[:left])
        rise: Bits = ONE  # of the row above the first word
        fall: Bits = ZERO
        for word in range(width):
            rise, fall = _step(same[word].take(row), up[word, :left], down[word, :left], rise, fall)
    distances = lengths[second].copy()
    for word in range(width):
        bits = np.clip(lengths[first] - word * WORD, 0, WORD).astype(np.uint64)
        mask = np.where(bits == WORD, ALL, (ONE << (bits & LAST)) - ONE)
        distances += _ones(up[word] & mask) - _ones(down[word] & mask)
    return distances


def _step(match: Words, up: Words, down: Words, above_up: Bits, above_down: Bits) -> tuple[Words, Words]:
    """One letter of the second text, 64 rows: changes `up` and `down` and returns how their last row changes (1 or 0).

    `match` are the rows with that letter; `above_up` and `above_down` how the row above changes.
    """
    vertical = match | down
    match |= above_down
    diagonal = match & up
    diagonal += up
    diagonal ^= up
    diagonal |= match
    rises = diagonal | up
    np.invert(rises, out=rises)
    rises |= down
    diagonal &= up
    last_up, last_down = rises >> LAST, diagonal >> LAST
    rises <<= ONE
    rises |= above_up
    diagonal <<= ONE
    diagonal |= above_down
    np.bitwise_or(vertical, rises, out=up)
    np.invert(up, out=up)
    up |= diagonal
    np.bitwise_and(rises, vertical, out=down)
    return last_up, last_down


def _ones(words: Words) -> IntArray:
    """How many bits of each word are set."""
    ones: IntArray = BITS[words.view(np.uint8)].reshape(len(words), 8).sum(axis=1)
    return ones
