"""Attention of segments against every token's own softmax in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from reasonenv.errors import UserError
from reasonenv.policy.attention import SegmentBatch, segment_attention, segment_batch, share_prompts

CPU = torch.device("cpu")
# two prompts of 3 with responses of 2, 4, 1 and of 1, 2, 1; two rows alone; a prompt of 1 with two responses of 2
SEGMENTS: list[tuple[int, list[list[int]]]] = [(3, [[2, 4, 1], [1, 2, 1]]), (2, [[3], [1]]), (1, [[2, 2]])]
TOKENS = (3 + 7) + (3 + 4) + (2 + 3) + (2 + 1) + (1 + 4)


def batches() -> list[SegmentBatch]:
    return [segment_batch(prompt, torch.tensor(lengths), CPU) for prompt, lengths in SEGMENTS]


def sees(window: int | None) -> Tensor:
    """[N, N]: whether token i attends token j, written out token by token."""
    of = []  # group, response (0 is the prompt), position of each token
    groups = [(prompt, lengths) for prompt, members in SEGMENTS for lengths in members]
    for number, (prompt, lengths) in enumerate(groups):
        of += [(number, 0, p) for p in range(prompt)]
        of += [(number, g, prompt + t) for g, n in enumerate(lengths, start=1) for t in range(n)]
    found = torch.zeros(TOKENS, TOKENS, dtype=torch.bool)
    for i, (a, row, at) in enumerate(of):
        for j, (b, other, before) in enumerate(of):
            near = window is None or at - before < window
            found[i, j] = a == b and other in (0, row) and before <= at and near
    return found


@pytest.mark.parametrize("window", [None, 2, 4])
@pytest.mark.parametrize("value_width", [8, 6])
@pytest.mark.parametrize("cap", [None, 0.7])
def test_values_and_gradients_are_those_of_the_whole_softmax(
    window: int | None, value_width: int, cap: float | None
) -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = ((1, 6, TOKENS, 8), (1, 2, TOKENS, 8), (1, 2, TOKENS, value_width))  # six query heads on two key heads
    query, key, value = (torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes)
    options: dict[str, Any] = {"segments": batches(), "sliding_window": window, "softcap": cap}
    ours, _ = segment_attention(torch.nn.Module(), query, key, value, None, scaling=0.4, **options)
    scores = query @ key.repeat_interleave(3, dim=1).transpose(2, 3) * 0.4
    if cap is not None:
        scores = cap * (scores / cap).tanh()
    weights = scores.masked_fill(~sees(window), -torch.inf).softmax(-1)
    want = (weights @ value.repeat_interleave(3, dim=1)).transpose(1, 2)
    torch.testing.assert_close(ours, want, rtol=0, atol=1e-12)
    along = torch.randn(want.shape, generator=draw, dtype=torch.float64)
    found, expected = (torch.autograd.grad((x * along).sum(), (query, key, value)) for x in (ours, want))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("extra", ["s_aux", "position_bias"])
def test_what_it_cannot_do_is_refused_by_name(extra: str) -> None:
    x = torch.zeros(1, 1, TOKENS, 4)
    with pytest.raises(UserError, match=extra):
        segment_attention(torch.nn.Module(), x, x, x, None, segments=batches(), **{extra: 1})


def test_a_decoder_that_loses_the_segments_is_refused() -> None:
    x = torch.zeros(1, 1, TOKENS, 4)
    with pytest.raises(UserError, match="does not hand on"):
        segment_attention(torch.nn.Module(), x, x, x, torch.empty(1, 1, 0, 0))


def test_layers_that_carry_a_state_along_the_sequence_keep_rows_apart() -> None:
    def model(*kinds: str, attends: bool = True) -> Any:
        config = SimpleNamespace(layer_types=list(kinds))
        config.get_text_config = lambda: config
        return SimpleNamespace(config=config, _supports_attention_backend=attends, modules=list)

    assert share_prompts(model("full_attention", "sliding_attention"))
    assert not share_prompts(model("full_attention", "linear_attention"))
    assert not share_prompts(model(attends=False))
