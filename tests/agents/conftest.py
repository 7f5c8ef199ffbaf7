"""One small policy that has seen a little, and the sums that it is right about now and then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from reasonenv.catalog import find_agent
from reasonenv.learn.agent import Budget
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.rollout.groups import demonstrate
from reasonenv.seeding import derive_seed
from reasonenv.tokenizer import byte_tokenizer

HIDDEN = 64


def fresh() -> HFPolicy:
    """A Llama of 2 layers and 0.1 M parameters: `tiny` at an eighth of its cost."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=HIDDEN**-0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_id,
        pad_token_id=None,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("small policy"))
        return HFPolicy(LlamaForCausalLM(config), tokenizer, name="small")


@pytest.fixture(scope="session")
def sums() -> ReasoningMDP:
    """24 sums of one digit: few enough to be met often in a run of seconds."""
    return make_mdp("Chain", size=24, operands=2, operators="+", tokenizer=byte_tokenizer())


@pytest.fixture(scope="session")
def prior(sums: ReasoningMDP) -> Callable[[], HFPolicy]:
    """New copies of a policy that has seen each sum 15 times, and is right about one time in three."""
    policy, kind = fresh(), find_agent("sft")
    agent = kind(policy, kind.Config(lr=1e-2))
    for i in range(15):
        agent.learn(demonstrate(sums, range(24)), Budget(i, 60))
    state = {name: tensor.clone() for name, tensor in policy.state_dict().items()}

    def copy() -> HFPolicy:
        twin = fresh()
        twin.load_state_dict(state)
        return twin

    return copy
