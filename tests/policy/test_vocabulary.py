"""Heads with more rows than the tokenizer has tokens: one distribution over the tokens, wherever it is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from reasonenv.agents.random_tokens import UniformSampler
from reasonenv.core import IntArray
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.wrappers import ActionMask
from reasonenv.policy.collate import padded, token_batch
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.top_tokens import likeliest
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling
from reasonenv.tokenizer import EOS, Tokenizer, byte_tokenizer

SEEDS = [list(range(8)), list(range(8, 16))]
HOLES = (3, 100, 101, 256, 260)  # ids that the vocabulary of `holed_tokenizer` leaves out


def holed_tokenizer() -> Tokenizer:
    """Bytes as tokens, on ids that are not one after another, EOS at 261."""
    places = iter(i for i in range(262) if i not in HOLES)
    vocab = {c: next(places) for c in sorted(pre_tokenizers.ByteLevel.alphabet())}
    backend = RustTokenizer(models.BPE(vocab={**vocab, EOS: 261}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS, pad_token=EOS))


def wide_policy(tokenizer: Tokenizer, rows: int, *, bias: bool = False) -> HFPolicy:
    """A random Llama whose head has so many rows; the ids that are no token are the likeliest ones."""
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    absent = np.flatnonzero(~np.pad(tokenizer.is_token, (0, rows - tokenizer.vocab_size)))
    with torch.no_grad():
        model.lm_head.weight.normal_(generator=torch.Generator().manual_seed(1), std=0.15)
        model.lm_head.weight[absent] *= 4
    if bias:
        model.lm_head.bias = torch.nn.Parameter(torch.linspace(-1, 1, rows))
    return HFPolicy(model, tokenizer, name="wide")


def prompts() -> list[IntArray]:
    return [np.array([5, 6, 7]), np.array([50])]


CASES = {
    "one more": (byte_tokenizer, 258, [257]),
    "seven more": (byte_tokenizer, 264, list(range(257, 264))),
    "holes": (holed_tokenizer, 262, [*HOLES]),
    "holes and two more": (holed_tokenizer, 264, [*HOLES, 262, 263]),
}


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> tuple[HFPolicy, list[int]]:
    make, rows, absent = CASES[request.param]
    return wide_policy(make(), rows, bias=request.param == "holes"), absent


def test_the_ids_that_are_no_token_are_known(case: tuple[HFPolicy, list[int]]) -> None:
    policy, absent = case
    assert policy.absent.tolist() == absent
    assert policy.head.tokens == len(policy.head.weight) - len(policy.absent)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampler_and_trainer_have_one_distribution_over_the_tokens(
    case: tuple[HFPolicy, list[int]], temperature: float
) -> None:
    policy, absent = case
    tokens = torch.tensor([i for i in range(len(policy.head.weight)) if i not in policy.absent.tolist()])
    for name in ("torch", "hf"):
        drawn = make_sampler(name, policy).generate(prompts(), SEEDS, Sampling(24, temperature))
        completions = [c for row in drawn for c in row]
        assert not {t for c in completions for t in c.tokens.tolist()} & set(absent)
        repeated = [prompt for prompt, row in zip(prompts(), drawn, strict=True) for _ in row]
        batch = token_batch(repeated, [c.tokens for c in completions], pad=0)
        logp, entropy = policy.score(batch, tokens_per_microbatch=200, temperature=temperature)
        sampled = padded((c.logprobs for c in completions), (len(completions), batch.width))
        assert float((logp - sampled).abs().max()) <= 2e-6 / temperature  # logits, and their rounding, grow with 1 / t
        # the definition: a softmax over the tokens alone
        row = completions[0].tokens
        sequence = torch.from_numpy(np.concatenate([repeated[0], row]))
        logits = policy.model(sequence[None]).logits[0, len(repeated[0]) - 1 : -1].double() / temperature
        exact = logits[:, tokens].log_softmax(-1)
        place = torch.searchsorted(tokens, torch.from_numpy(row))
        torch.testing.assert_close(
            logp[0, : len(row)].double(), exact.gather(1, place[:, None])[:, 0], rtol=0, atol=5e-6
        )
        torch.testing.assert_close(entropy[0, : len(row)].double(), -(exact.exp() * exact).sum(-1), rtol=0, atol=2e-5)


def test_gradients_are_those_of_the_softmax_over_the_tokens(case: tuple[HFPolicy, list[int]]) -> None:
    policy, _ = case
    tokens = torch.tensor([i for i in range(len(policy.head.weight)) if i not in policy.absent.tolist()])
    response = tokens[[9, 40, 200, 77]]
    batch = token_batch([prompts()[0]], [response.numpy()], pad=0)
    logp, entropy = policy.logprobs(batch)
    ours = torch.autograd.grad(logp.sum() + 0.3 * entropy.sum(), policy.parameters())
    logits = policy.model(torch.cat([torch.from_numpy(prompts()[0]), response])[None]).logits[0, 2:-1]
    exact = logits[:, tokens].log_softmax(-1)
    place = torch.searchsorted(tokens, response)
    loss = exact.gather(1, place[:, None]).sum() - 0.3 * (exact.exp() * exact).sum()
    for one, other in zip(ours, torch.autograd.grad(loss, policy.parameters()), strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm()
    weight = dict(policy.model.named_parameters())["lm_head.weight"]
    (head,) = torch.autograd.grad(policy.logprobs(batch)[0].sum(), weight)
    assert not head[policy.absent].any()


@pytest.mark.parametrize("sampling", [Sampling(16, 0.0), Sampling(16, 1.0, top_k=5), Sampling(16, 0.8, top_p=0.9)])
def test_truncated_and_greedy_draws_are_tokens_too(case: tuple[HFPolicy, list[int]], sampling: Sampling) -> None:
    policy, absent = case
    one, other = (make_sampler(name, policy).generate(prompts(), SEEDS, sampling) for name in ("torch", "hf"))
    for left, right in zip(one, other, strict=True):
        assert [c.tokens.tolist() for c in left] == [c.tokens.tolist() for c in right]
        assert not {t for c in left for t in c.tokens.tolist()} & set(absent)
        assert all(np.isfinite(c.logprobs).all() for c in left)


def test_the_likeliest_tokens_are_tokens_and_no_more_than_there_are(case: tuple[HFPolicy, list[int]]) -> None:
    policy, absent = case
    batch = token_batch(prompts(), [np.array([8, 9]), np.array([10])], pad=0)
    ids, logp = likeliest(policy, batch, count=10**6, tokens_per_microbatch=100, temperature=1.0)
    assert ids.shape[2] == policy.head.tokens
    assert not set(ids[batch.mask > 0].flatten().tolist()) & set(absent)
    assert logp.isfinite().all()
    torch.testing.assert_close(logp[batch.mask > 0].exp().sum(-1), torch.ones(3), rtol=0, atol=1e-5)


def test_whatever_is_no_token_is_advised_against_and_has_no_text(case: tuple[HFPolicy, list[int]]) -> None:
    policy, absent = case
    tokenizer = policy.tokenizer
    env = ActionMask(ReasoningEnv(make_mdp("Chain", size=2, tokenizer=tokenizer, max_tokens=8)))
    _, info = env.reset(seed=0)
    inside = [i for i in absent if i < tokenizer.vocab_size]
    assert not info["action_mask"][inside].any()
    assert info["action_mask"][tokenizer.eos_id] == 1
    assert tokenizer.decode([*absent, 10**6]) == "" == tokenizer.decode(np.array(absent))
    assert tokenizer.decode_all([np.array(absent), np.array([-1])]) == ["", ""]
    assert [tokenizer.pieces[i] for i in inside] == [""] * len(inside)
    for i in inside[:7]:  # a legal action, as the space is one interval
        env.step(i)
    drawn = UniformSampler(tokenizer).generate(prompts(), SEEDS, Sampling(64))
    ids = {t for row in drawn for c in row for t in c.tokens.tolist()}
    assert not ids & set(absent)
    assert len(ids) > 200
