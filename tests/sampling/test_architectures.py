"""Models of many makes, full and with an adapter: one distribution in sampler and trainer, torch draws as hf does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from reasonenv.core import Completion, IntArray, TokenBatch
from reasonenv.errors import UserError
from reasonenv.policy.collate import padded, token_batch
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling
from reasonenv.tokenizer import byte_tokenizer

Adapt = Callable[[HFPolicy], None]  # the fixture that adds an adapter
BYTES = byte_tokenizer()
ROWS = BYTES.vocab_size + 3  # of every head: three ids are no token
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
HEADS = {**GROUPED, "head_dim": 8}
# name: (kind of config, its sizes, why the torch sampler refuses it)
MODELS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "llama": ("llama", GROUPED, None),
    "llama tied": ("llama", GROUPED | {"tie_word_embeddings": True}, None),
    "qwen2": ("qwen2", GROUPED | {"tie_word_embeddings": True}, None),
    "qwen3": ("qwen3", HEADS, None),
    "mistral": ("mistral", HEADS | {"sliding_window": None}, None),
    "mistral, window of 8": ("mistral", HEADS | {"sliding_window": 8}, "sees 8 tokens back"),
    "gemma": ("gemma", HEADS, None),
    "gemma2": ("gemma2", HEADS | {"final_logit_softcapping": 1.0, "attn_logit_softcapping": 1.5}, None),
    "gemma3": ("gemma3_text", HEADS, None),
    "phi": ("phi", SMALL, None),
    "phi3": ("phi3", GROUPED | {"pad_token_id": None}, None),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}, None),
    "gpt_neox": ("gpt_neox", SMALL, None),
    "olmo2": ("olmo2", GROUPED, None),
    "opt": ("opt", {**SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32}, None),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, "its own attention"),
    "falcon": ("falcon", SMALL | {"new_decoder_architecture": True, "num_kv_heads": 2}, "its own attention"),
    "stablelm": ("stablelm", GROUPED, "its own attention"),
    "starcoder2": ("starcoder2", GROUPED | {"sliding_window": None}, None),
    "cohere": ("cohere", GROUPED | {"logit_scale": 0.3}, None),
    "granite": (
        "granite",
        GROUPED | {"logits_scaling": 3.0, "attention_multiplier": 0.5, "residual_multiplier": 0.7},
        None,
    ),
}
SEEDS = [[1, 2, 3], [4, 5], [6]]
SAMPLING = Sampling(12)


def prompts() -> list[IntArray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 257, size=size) for size in (5, 1, 9)]


def policy_of(name: str, adapt: Adapt | None = None) -> HFPolicy:
    kind, sizes, _ = MODELS[name]
    config = AutoConfig.for_model(kind, vocab_size=ROWS, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        policy = HFPolicy(AutoModelForCausalLM.from_config(config), BYTES, name=name)
        with torch.no_grad():
            policy.head.weight.normal_(std=0.1)  # logits of a size at which caps and scales matter
        if adapt is not None:
            adapt(policy)
    return policy


def scored(policy: HFPolicy, drawn: list[list[Completion]]) -> tuple[TokenBatch, torch.Tensor]:
    """The completions as a batch, and the sampler's log-probs of them."""
    completions = list(itertools.chain.from_iterable(drawn))
    repeated = [prompt for prompt, row in zip(prompts(), drawn, strict=True) for _ in row]
    batch = token_batch(repeated, [c.tokens for c in completions], pad=0)
    return batch, padded((c.logprobs for c in completions), (len(completions), batch.width))


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MODELS)
def test_sampler_and_trainer_have_one_distribution(name: str, adapter: bool, adapt: Adapt) -> None:
    policy = policy_of(name, adapt if adapter else None)
    refusal = MODELS[name][2]
    drawn = make_sampler("hf", policy).generate(prompts(), SEEDS, SAMPLING)
    batch, sampled = scored(policy, drawn)
    assert int(batch.tokens.max()) < BYTES.vocab_size
    whole, _ = policy.score(batch, tokens_per_microbatch=10**6)
    assert float((whole - sampled).abs().max()) <= 2e-6
    cut, _ = policy.score(batch, tokens_per_microbatch=30)
    assert float((whole - cut).abs().max()) <= 2e-6
    shared, policy.shared = policy.shared, False  # every row is a sequence of its own
    apart, _ = policy.score(batch, tokens_per_microbatch=10**6)
    policy.shared = shared
    assert float((whole - apart).abs().max()) <= 2e-6
    if refusal is not None:
        with pytest.raises(UserError, match=refusal):
            make_sampler("torch", policy).generate(prompts(), SEEDS, SAMPLING)
        return
    ours = make_sampler("torch", policy).generate(prompts(), SEEDS, SAMPLING)
    for one, other in zip(itertools.chain.from_iterable(ours), itertools.chain.from_iterable(drawn), strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
    assert float((whole - scored(policy, ours)[1]).abs().max()) <= 2e-6


@pytest.mark.parametrize("name", ["gemma2", "cohere", "granite"])
def test_scaled_and_capped_logits_are_the_models_own(name: str) -> None:
    """Against transformers' own forward pass, with the attention that it calls exact, and its gradients."""
    policy = policy_of(name)
    batch, _ = scored(policy, make_sampler("hf", policy).generate(prompts(), SEEDS, SAMPLING))
    logp, entropy = policy.logprobs(batch)
    ours = torch.autograd.grad(logp.sum() + 0.5 * entropy.sum(), policy.parameters())
    policy.model.set_attn_implementation("eager")
    loss = torch.zeros(())
    left = batch.tokens.shape[1] - batch.width
    for row in range(len(batch.mask)):
        begin, end = left - int(batch.prompt_length[row]), left + int(batch.length[row])
        tokens = batch.tokens[row, begin:end]
        logits = policy.model(tokens[None]).logits[0, left - begin - 1 : -1, : BYTES.vocab_size]
        exact = logits.log_softmax(-1)
        chosen = exact.gather(1, tokens[left - begin :, None])[:, 0]
        torch.testing.assert_close(logp[row, : len(chosen)], chosen, rtol=0, atol=5e-6)
        loss = loss + chosen.sum() - 0.5 * (exact.exp() * exact).sum()
    for one, other in zip(ours, torch.autograd.grad(loss, policy.parameters()), strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm()
