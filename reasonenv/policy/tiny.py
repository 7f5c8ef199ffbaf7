"""A causal LM small enough to learn on a laptop in seconds, made from scratch: bytes in, bytes out."""

from __future__ import annotations

import torch

from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.seeding import derive_seed
from reasonenv.tokenizer import byte_tokenizer

CONTEXT = 512
HIDDEN = 128


def tiny_policy(seed: int) -> HFPolicy:
    """A Llama of 2 layers, hidden 128 and 0.47 M float32 parameters, a pure function of `seed`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=HIDDEN,
        intermediate_size=352,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        initializer_range=HIDDEN**-0.5,  # the usual 0.02 suits wide models; here it costs half of the SFT
        bos_token_id=None,
        eos_token_id=tokenizer.eos_id,
        pad_token_id=None,
        dtype="float32",
    )
    # Only the CPU's generator is used and only that is put back, so no other stream of the process moves.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("tiny policy", seed))
        model = LlamaForCausalLM(config)
    policy = HFPolicy(model, tokenizer, name="tiny")
    policy.seed = seed
    policy.source = "tiny"
    return policy
