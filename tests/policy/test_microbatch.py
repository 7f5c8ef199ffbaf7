"""Micro-batches: every row once, none larger than asked."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.policy.microbatch import microbatches

lengths = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=40)


@given(lengths, st.integers(1, 300))
def test_every_row_comes_once_and_padding_stays_in_the_budget(rows: list[tuple[int, int]], tokens: int) -> None:
    prompt, response = (torch.tensor(side) for side in zip(*rows, strict=True))
    cuts = microbatches(prompt, response, tokens)
    assert sorted(torch.cat(cuts).tolist()) == list(range(len(rows)))
    for cut in cuts:
        padded = len(cut) * int(prompt[cut].max() + response[cut].max())
        assert padded <= tokens or len(cut) == 1


def test_the_longest_rows_come_first() -> None:
    # padded sizes: rows 1 and 2 together 2 * (1 + 9) = 20, a third row would make 30
    cuts = microbatches(torch.ones(4, dtype=torch.int64), torch.tensor([2, 9, 8, 1]), 20)
    assert [cut.tolist() for cut in cuts] == [[1, 2], [0, 3]]
