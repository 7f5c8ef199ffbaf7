"""Inverse-CDF sampling draws what softmax says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from reasonenv.errors import UserError
from reasonenv.sampling.choose import choose, truncate


def test_frequencies_are_the_softmax_probabilities() -> None:
    # 600 tokens span three blocks; expected counts above 5 keep chi-square honest; fixed seeds make p a constant.
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(600, generator=draw)
    count, temperature = 60_000, 1.5
    uniform = torch.from_numpy(np.random.default_rng(0).random(count))
    chosen = torch.cat([choose(logits.repeat(len(u), 1), u, temperature)[0] for u in uniform.split(5000)])
    expected = (logits.double() / temperature).softmax(0) * count
    assert expected.min() > 5
    assert chisquare(torch.bincount(chosen, minlength=600).numpy(), expected.numpy()).pvalue > 0.01


def test_each_quantile_finds_its_token_and_impossible_tokens_are_never_drawn() -> None:
    # probabilities 0, 1/4, 0, 1/2, 1/4, 0: the cumulative sum steps at 0, 1/4, 3/4, 1
    logits = torch.tensor([0, 0.25, 0, 0.5, 0.25, 0]).log()
    uniform = torch.tensor([0.0, 0.2, 0.25, 0.74, 0.75, 1 - 2**-53], dtype=torch.float64)
    token, logp = choose(logits.repeat(6, 1), uniform, 1.0)
    assert token.tolist() == [1, 1, 3, 3, 4, 4]
    torch.testing.assert_close(logp.exp(), torch.tensor([0.25, 0.25, 0.5, 0.5, 0.25, 0.25]))


def test_log_probs_are_of_the_distribution_sampled_and_greedy_reports_temperature_one() -> None:
    logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(1))
    uniform = torch.tensor([0.1, 0.5, 0.7, 0.99], dtype=torch.float64)
    for temperature in (0.3, 1.0, 2.0):
        token, logp = choose(logits.clone(), uniform, temperature)
        want = (logits.double() / temperature).log_softmax(-1).gather(1, token[:, None])[:, 0]
        torch.testing.assert_close(logp.double(), want, rtol=0, atol=1e-5)
    token, logp = choose(logits.clone(), uniform, 0)
    assert token.tolist() == logits.argmax(-1).tolist()
    want = logits.double().log_softmax(-1).max(-1).values
    torch.testing.assert_close(logp.double(), want, rtol=0, atol=1e-5)


def left_by_hand(logits: list[float], temperature: float, top_k: int, top_p: float) -> dict[int, float]:
    """What top-k and top-p leave of one row, renormalised: one token at a time, from the likeliest on."""
    p = np.exp(np.array(logits) / temperature)
    order = sorted(range(len(p)), key=lambda v: -p[v])
    kept = order[: top_k or len(p)]
    mass, nucleus = 0.0, []
    for v in kept:
        if mass >= top_p * p[kept].sum():
            break
        nucleus.append(v)
        mass += p[v]
    return {v: p[v] / mass for v in nucleus}


@given(
    st.lists(st.integers(-40, 40), min_size=2, max_size=8, unique=True),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 9),
    st.sampled_from([0.3, 0.77, 0.931, 1.0]),
)
def test_what_is_cut_away_is_never_drawn_and_log_probs_are_of_the_rest(
    tenths: list[int], temperature: float, top_k: int, top_p: float
) -> None:
    logits = [x / 10 for x in tenths]
    want = left_by_hand(logits, temperature, top_k, top_p)
    uniform = torch.linspace(0, 1 - 1e-9, 200, dtype=torch.float64)
    rows = truncate(torch.tensor(logits).repeat(200, 1), temperature, top_k=top_k, top_p=top_p)
    token, logp = choose(rows, uniform, temperature)
    assert set(token.tolist()) <= set(want)
    assert {v for v, p in want.items() if p > 0.01} <= set(token.tolist())  # the quantiles stand 1/200 apart
    found = torch.tensor([want[v] for v in token.tolist()], dtype=torch.float64)
    torch.testing.assert_close(logp.double().exp(), found, rtol=1e-5, atol=1e-6)


def test_equals_of_the_last_token_stay() -> None:
    logits = torch.tensor([[1.0, 0.0, 1.0, 0.0, -5.0]])
    assert truncate(logits, 1.0, top_k=1, top_p=1.0).isfinite().tolist() == [[True, False, True, False, False]]
    assert truncate(logits, 1.0, top_k=3, top_p=1.0).isfinite().tolist() == [[True, True, True, True, False]]
    # e / (2e + 2 + e^-5) = 0.365 each: two of them reach 0.5, and 0.731 of mass needs one of the zeros, so both
    assert truncate(logits, 1.0, top_k=0, top_p=0.5).isfinite().tolist() == [[True, False, True, False, False]]
    assert truncate(logits, 1.0, top_k=0, top_p=0.75).isfinite().tolist() == [[True, True, True, True, False]]


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_draw_nothing(temperature: float, value: float) -> None:
    for place in (0, 299):
        logits = torch.zeros(3, 300)
        logits[1, place] = value
        with pytest.raises(UserError, match="logits are not finite"):
            choose(logits, torch.full((3,), 0.5, dtype=torch.float64), temperature)
    logits = torch.zeros(3, 300)
    logits[:, :299] = -torch.inf  # impossible tokens are no harm
    assert choose(logits, torch.full((3,), 0.5, dtype=torch.float64), temperature)[0].tolist() == [299] * 3
