"""Micro-batches: every row once, a prompt once a sequence, none larger than asked."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.core import Batch
from reasonenv.policy.microbatch import SHARED_PROMPTS, SHARED_WIDTH, layout, microbatches, sequences

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


@given(rows_of, st.integers(1, 3000))
def test_every_row_comes_once_and_padding_stays_in_the_budget(rows: list[tuple[list[int], int]], tokens: int) -> None:
    batch = batch_of(rows)
    cuts = microbatches(batch, tokens)
    assert sorted(torch.cat(cuts).tolist()) == list(range(len(rows)))
    for cut in cuts:
        at = layout(batch.select(cut), torch.device("cpu"))
        assert at.tokens.numel() <= tokens or len(at.tokens) == 1


@given(rows_of)
def test_rows_of_a_sequence_share_its_prompt_and_its_width_is_bounded(rows: list[tuple[list[int], int]]) -> None:
    for sequence in sequences(batch_of(rows)):
        assert len({tuple(rows[row][0]) for row in sequence}) == 1
        prompt = len(rows[sequence[0]][0])
        width = prompt + sum(rows[row][1] for row in sequence)
        assert width <= min(SHARED_WIDTH, SHARED_PROMPTS * prompt) or len(sequence) == 1


def test_a_long_prompt_is_read_once_for_all_its_samples() -> None:
    assert sequences(batch_of([([1] * 100, 20)] * 16)) == [list(range(16))]  # 100 + 16 * 20 = 420, within 5 * 100


@given(rows_of)
def test_every_response_token_knows_itself_and_the_one_before(rows: list[tuple[list[int], int]]) -> None:
    batch = batch_of(rows)
    at = layout(batch, torch.device("cpu"))
    flat, positions = at.tokens.flatten(), at.positions.flatten()
    assert flat[at.place].tolist() == list(range(100, 100 + sum(n for _, n in rows)))
    for row, step, place, before in zip(*(x.tolist() for x in (at.row, at.step, at.place, at.before)), strict=True):
        prompt = rows[row][0]
        assert positions[place] == len(prompt) + step
        assert flat[before] == (prompt[-1] if step == 0 else flat[place] - 1)


def test_a_response_sees_its_prompt_and_itself_alone() -> None:
    # [1 2 | 100 101 | 102]: the longer response first, then the shorter, which sees columns 0, 1 and 4
    mask = layout(batch_of([([1, 2], 1), ([1, 2], 2)]), torch.device("cpu")).mask
    assert mask is not None
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_the_longest_sequences_come_first() -> None:
    # padded sizes: rows 1 and 2 together 2 * (1 + 9) = 20, a third would make 30
    cuts = microbatches(batch_of([([1], 2), ([2], 9), ([3], 8), ([4], 1)]), 20)
    assert [cut.tolist() for cut in cuts] == [[1, 2], [0, 3]]
