"""Records: what `Batch.select` keeps and what it cuts, and a problem that nobody changes."""

import pickle

import pytest
import torch

from reasonenv.core import Batch, Problem


def test_select_cuts_the_padding_that_only_other_rows_needed() -> None:
    # prompts of 1 and 3 tokens (P = 3), responses of 2 and 1 (T = 2): row 0 alone needs 1 + 2 columns
    tokens = torch.tensor([[0, 0, 7, 8, 9], [4, 5, 6, 9, 0]])
    flat = torch.arange(4.0).reshape(2, 2)
    batch = Batch(
        tokens=tokens,
        prompt_length=torch.tensor([1, 3]),
        length=torch.tensor([2, 1]),
        mask=torch.tensor([[1.0, 1.0], [1.0, 0.0]]),
        sampled_logp=flat,
        old_logp=flat,
        rewards=flat,
        discount=flat,
        group=torch.tensor([0, 1]),
        versions=torch.zeros(2, 2, dtype=torch.int64),
    )
    assert batch.select(torch.tensor([0])).tokens.tolist() == [[7, 8, 9]]
    second = batch.select(torch.tensor([1]))
    assert second.tokens.tolist() == [[4, 5, 6, 9]]
    assert second.rewards.tolist() == [[2.0]]
    assert second.group.tolist() == [1]


def test_the_meta_of_a_problem_is_its_own_and_nobody_changes_it() -> None:
    columns = {"level": 3}
    problem = Problem("a", "1+1?", "2", meta=columns)
    columns["level"] = 4
    assert problem.meta["level"] == 3
    with pytest.raises(TypeError):
        problem.meta["level"] = 5  # type: ignore[index]
    assert pickle.loads(pickle.dumps(problem)) == problem
