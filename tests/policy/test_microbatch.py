"""Micro-batches: every row once, a prompt once a segment, none larger than the budget."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.core import Batch
from reasonenv.policy.microbatch import layout, microbatches, passed, segments

CPU = torch.device("cpu")

# (prompt, response length); prompts are from a small set, so that some rows share theirs
rows_of = st.lists(
    st.tuples(st.lists(st.integers(1, 2), min_size=1, max_size=4), st.integers(1, 12)), min_size=1, max_size=30
)


def batch_of(rows: list[tuple[list[int], int]]) -> Batch:
    """Response tokens are numbered from 100 through the whole batch, so each is known wherever it goes."""
    left, width = max(len(p) for p, _ in rows), max(n for _, n in rows)
    tokens, mask, at = torch.zeros(len(rows), left + width, dtype=torch.int64), torch.zeros(len(rows), width), 100
    for i, (prompt, n) in enumerate(rows):
        tokens[i, left - len(prompt) : left] = torch.tensor(prompt)
        tokens[i, left : left + n] = torch.arange(at, at + n)
        mask[i, :n], at = 1, at + n
    ids = torch.zeros(len(rows), dtype=torch.int64)
    lengths = torch.tensor([len(p) for p, _ in rows]), torch.tensor([n for _, n in rows])
    return Batch(tokens, *lengths, mask, mask, mask, mask, mask, ids, ids)


@given(rows_of, st.integers(1, 300), st.booleans())
def test_every_row_comes_once_and_padding_stays_in_the_budget(
    rows: list[tuple[list[int], int]], tokens: int, shared: bool
) -> None:
    batch = batch_of(rows)
    cuts = microbatches(batch, tokens, shared=shared)
    assert sorted(torch.cat(cuts).tolist()) == list(range(len(rows)))
    for cut in cuts:
        part = batch.select(cut)
        held = layout(part, CPU, shared=shared).tokens.numel()
        assert held == passed(part, shared=shared)
        assert held <= tokens or len(cut) == 1


@given(rows_of)
def test_all_rows_of_a_prompt_share_it_and_nothing_is_padding(rows: list[tuple[list[int], int]]) -> None:
    prompts = {tuple(prompt) for prompt, _ in rows}
    assert len(segments(batch_of(rows), shared=True)) == len(prompts)
    at = layout(batch_of(rows), CPU)
    assert at.tokens.shape == (1, sum(map(len, prompts)) + sum(n for _, n in rows))
    assert sum(part.size for part in at.segments) == at.tokens.shape[1]


def test_a_segment_larger_than_a_micro_batch_is_cut_and_reads_its_prompt_again() -> None:
    batch = batch_of([([1] * 100, 20)] * 16)
    assert passed(batch) == 100 + 16 * 20
    assert [len(cut) for cut in microbatches(batch, 200)] == [5, 5, 5, 1]  # 100 + 5 * 20


@given(rows_of, st.booleans())
def test_every_response_token_knows_itself_and_the_one_before(rows: list[tuple[list[int], int]], shared: bool) -> None:
    batch = batch_of(rows)
    at = layout(batch, CPU, shared=shared)
    flat, positions = at.tokens.flatten(), at.positions.flatten()
    assert flat[at.place].tolist() == list(range(100, 100 + sum(n for _, n in rows)))
    for row, step, place, before in zip(*(x.tolist() for x in (at.row, at.step, at.place, at.before)), strict=True):
        prompt = rows[row][0]
        assert positions[place] == len(prompt) + step
        assert flat[before] == (prompt[-1] if step == 0 else flat[place] - 1)


@pytest.mark.parametrize("shared", [True, False])
def test_the_longest_come_first(shared: bool) -> None:
    # widths 10, 9, 3, 2: rows 1 and 2 together are 19 tokens, padded 20; a third would be too much
    cuts = microbatches(batch_of([([1], 2), ([2], 9), ([3], 8), ([4], 1)]), 20, shared=shared)
    assert [cut.tolist() for cut in cuts] == [[1, 2], [0, 3]]


def test_segments_alike_in_size_are_one_batch_up_to_a_number_of_scores() -> None:
    # three groups of 2 behind prompts of 3, and a row alone
    rows = [([prompt] * 3, length) for prompt in (1, 2, 3) for length in (4, 2)] + [([9], 5)]
    at = layout(batch_of(rows), CPU)
    assert sorted(len(part.prompts) for part in at.segments) == [1, 3]
    # 256 tokens have 2^16 scores, so there is room for two such rows
    crowd = layout(batch_of([([prompt] * 200, 56) for prompt in range(5)]), CPU)
    assert [len(part.responses) for part in crowd.segments] == [2, 2, 1]


@given(rows_of)
def test_segments_say_where_each_token_is(rows: list[tuple[list[int], int]]) -> None:
    at = layout(batch_of(rows), CPU)
    for part in at.segments:
        places = torch.cat([part.prompts.flatten(), part.responses.flatten()])
        assert places[part.unpad].tolist() == list(range(part.size))
