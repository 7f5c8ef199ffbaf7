"""Sessions: whoever writes between the parts of a row, and whenever, the row is what its seed and history make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from transformers import AutoConfig, AutoModelForCausalLM

from reasonenv.agents.random_tokens import UniformSampler
from reasonenv.core import Completion
from reasonenv.errors import UserError
from reasonenv.policy.collate import token_batch
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling.hf_sampler import HFSampler
from reasonenv.sampling.sampler import Job, Sampler, Sampling
from reasonenv.sampling.session import Continuation, Session
from reasonenv.sampling.torch.torch_sampler import CHUNK, TorchSampler
from reasonenv.seeding import generator
from reasonenv.tokenizer import byte_tokenizer

BUDGET = 14
SAMPLING = Sampling(BUDGET)
PROMPTS = [np.random.default_rng(0).integers(0, 256, size=size) for size in (5, 1, 9)]
JOBS = [(0, 1), (0, 2), (1, 3), (0, 4), (2, 5), (2, 6), (1, 7)]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
Adapt = Callable[[HFPolicy], None]  # the fixture that adds an adapter
MODELS: dict[str, dict[str, Any]] = {
    "llama": {**SIZES, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "gemma2": {**SIZES, "num_key_value_heads": 2, "head_dim": 8, "attn_logit_softcapping": 1.5},
}


def eager(policy: HFPolicy) -> HFPolicy:
    """The policy with a head by which it ends, or begins a line, once in ten tokens or so."""
    head = torch.nn.Linear(policy.head.weight.shape[1], policy.tokenizer.vocab_size)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head.weight.normal_(std=0.1)
        head.bias.zero_()[[policy.tokenizer.eos_id, 10]] = 3.3
    policy.model.set_output_embeddings(head)
    return policy


def policy_of(name: str, adapt: Adapt | None = None) -> HFPolicy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, vocab_size=257, **MODELS[name]))
        policy = eager(HFPolicy(model, byte_tokenizer(), name=name))
        if adapt is not None:
            adapt(policy)
    return policy


@pytest.fixture(scope="module")
def policy() -> HFPolicy:
    return eager(tiny_policy(0))


@dataclass
class Writer:
    """Writes at random places: a function of the row and of how many of its tokens stand, and of nothing else.

    Of a part that was drawn `ahead` it takes back what stands behind a place where it writes.
    """

    seed: int
    rows: Sequence[int]  # the number of each row, by which its draws are made
    often: float
    ahead: int | None  # tokens of a part
    count: dict[int, int] = field(default_factory=dict)  # of the policy's tokens that stand
    written: dict[int, list[tuple[int, list[int]]]] = field(default_factory=dict)

    def text(self, row: int, count: int) -> list[int]:
        rng = generator(self.seed, "text", self.rows[row], count)
        if rng.random() >= self.often:
            return []
        size = int(rng.choice([1, 2, 7, CHUNK + 6], p=[0.3, 0.3, 0.3, 0.1]))
        return [int(token) for token in rng.integers(0, 257, size=size)]  # an end of a turn may be among them

    def __call__(self, row: int, part: list[int]) -> Continuation:
        if not part:
            self.count[row], self.written[row] = 0, []
            return self.reply(row, 0)
        for taken, token in enumerate(part, 1):
            self.count[row] += 1
            text = self.text(row, self.count[row])
            if self.count[row] == BUDGET or (token == 256 and not text):
                return Continuation(keep=taken, over=True)
            if text or taken == len(part):
                return self.reply(row, taken)
        raise AssertionError

    def reply(self, row: int, taken: int) -> Continuation:
        text = self.text(row, self.count[row])
        if text:
            self.written[row].append((self.count[row], text))
        return Continuation(text, taken, self.ahead)


def drawn(sampler: Sampler, writer: Writer, jobs: Sequence[Job] = JOBS) -> list[Completion]:
    with sampler.open(PROMPTS, jobs, SAMPLING) as session:
        return [completion for _, completion in sorted(session.run(len(jobs), writer), key=lambda pair: pair[0])]


def assert_same(one: Sequence[Completion], other: Sequence[Completion]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.tokens.tolist() == b.tokens.tolist()
        assert (a.stop, a.seed, a.versions.tolist()) == (b.stop, b.seed, b.versions.tolist())
        assert_allclose(a.logprobs, b.logprobs, rtol=0, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    often=st.sampled_from([0.0, 0.1, 0.5]),
    rows=st.sampled_from([1, 3, 7]),
    ahead=st.sampled_from([1, 4, None]),
    looks=st.sampled_from([1, 3, None]),
)
def test_slots_draw_what_reading_anew_draws(
    policy: HFPolicy, seed: int, often: float, rows: int, ahead: int | None, looks: int | None
) -> None:
    # pauses at other places, other slots, chunks and single tokens, and what was drawn ahead in vain: all the same
    everyone = range(len(JOBS))
    slots = drawn(TorchSampler(policy, rows=rows), Writer(seed, everyone, often, looks))
    assert_same(slots, drawn(HFSampler(policy), Writer(seed, everyone, often, ahead)))


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MODELS)
def test_models_of_another_make_do_too(name: str, adapter: bool, adapt: Adapt) -> None:
    policy = policy_of(name, adapt if adapter else None)
    everyone = range(len(JOBS))
    writers = [Writer(5, everyone, 0.3, 1), Writer(5, everyone, 0.3, 3)]
    slots = drawn(TorchSampler(policy, rows=3), writers[0])
    assert_same(slots, drawn(HFSampler(policy), writers[1]))
    assert writers[0].written == writers[1].written
    assert max(len(text) for row in writers[0].written.values() for _, text in row) > CHUNK  # or no chunk was read
    # the trainer's log-probs of the whole row, at the places where the policy chose
    sequences, places = [], []
    for row, completion in enumerate(slots):
        tokens, chosen = completion.tokens.tolist(), list(range(len(completion.tokens)))
        for count, text in reversed(writers[0].written[row]):
            tokens[count:count] = text
            chosen = [place + len(text) if place >= count else place for place in chosen]
        sequences.append(np.array(tokens))
        places.append(chosen)
    batch = token_batch([PROMPTS[n] for n, _ in JOBS], sequences, pad=0)
    logp, _ = policy.score(batch, tokens_per_microbatch=10**6)
    for row, completion in enumerate(slots):
        assert_allclose(logp[row, places[row]], completion.logprobs, rtol=0, atol=1e-5)


def test_a_row_depends_on_no_other_row(policy: HFPolicy) -> None:
    sampler = TorchSampler(policy, rows=4)
    together = drawn(sampler, Writer(3, range(len(JOBS)), 0.3, 2))
    for row, job in enumerate(JOBS):
        assert_same([together[row]], drawn(sampler, Writer(3, [row], 0.3, 2), [job]))
    turned = list(range(len(JOBS)))[::-1]
    assert_same(together[::-1], drawn(sampler, Writer(3, turned, 0.3, 2), JOBS[::-1]))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.sampled_from([2, 5, 7]))
@pytest.mark.parametrize("backend", [TorchSampler, HFSampler])
def test_rows_may_be_told_to_go_on_in_any_order_and_late(policy: HFPolicy, backend: Any, seed: int, rows: int) -> None:
    sampler = TorchSampler(policy, rows=rows) if backend is TorchSampler else HFSampler(policy)
    rng, writer = np.random.default_rng(seed), Writer(seed, range(len(JOBS)), 0.3, 3)
    pending = [(row, writer(row, [])) for row in range(len(JOBS))]
    completions: dict[int, Completion] = {}
    with sampler.open(PROMPTS, JOBS, SAMPLING) as session:
        while len(completions) < len(JOBS):
            parts = session.draw()
            pending += [(row, writer(row, part)) for row, part in parts]
            rng.shuffle(pending)  # type: ignore[arg-type]
            # a few of them, or, where all wait for it, at least one: paused rows hold all slots again and again
            for _ in range(rng.integers(0 if parts else 1, 3)):
                if not pending:
                    break
                row, reply = pending.pop()
                if reply.over:
                    completions[row] = session.finish(row, keep=reply.keep)
                else:
                    session.append(row, reply.tokens, keep=reply.keep, limit=reply.limit)
    want = drawn(TorchSampler(policy), Writer(seed, range(len(JOBS)), 0.3, 1))
    assert_same(want, [completions[row] for row in range(len(JOBS))])


def test_paused_rows_that_hold_all_slots_give_way_and_read_again(policy: HFPolicy) -> None:
    sampler = TorchSampler(policy, rows=2)
    session = sampler.open(PROMPTS, JOBS, SAMPLING)
    for row in range(len(JOBS)):
        session.append(row, limit=2)
    parts: dict[int, list[int]] = {}
    while len(parts) < len(JOBS):  # nobody goes on before all have paused
        parts |= session.draw()
    assert session.draw() == []
    read = sampler.tokens_read
    for row in range(len(JOBS)):
        session.append(row, limit=2)
    later: dict[int, list[int]] = {}
    while len(later) < len(JOBS):
        later |= session.draw()
    assert sampler.tokens_read > read
    plain = TorchSampler(policy).generate(PROMPTS, [[1, 2, 4], [3, 7], [5, 6]], SAMPLING)
    seeded = {c.seed: c.tokens.tolist() for row in plain for c in row}
    for row, (_, seed) in enumerate(JOBS):
        both = parts[row] + later[row]
        assert both == seeded[seed][: len(both)] or 256 in parts[row]


def test_pauses_alone_leave_every_bit_of_a_sample(policy: HFPolicy) -> None:
    seeds = [[1, 2, 4], [3, 7], [5, 6]]
    jobs = [(n, seed) for n, row in enumerate(seeds) for seed in row]
    plain = [c for row in TorchSampler(policy, rows=5).generate(PROMPTS, seeds, SAMPLING) for c in row]
    for one, other in zip(plain, drawn(TorchSampler(policy, rows=5), Writer(0, range(7), 0.0, 1), jobs), strict=True):
        assert one.tokens.tobytes() == other.tokens.tobytes()
        assert one.logprobs.tobytes() == other.logprobs.tobytes()


def test_what_is_read_and_drawn_is_counted(policy: HFPolicy) -> None:
    slots, anew = TorchSampler(policy), HFSampler(policy)
    everyone = range(len(JOBS))
    writers = [Writer(4, everyone, 0.2, 1), Writer(4, everyone, 0.2, 4)]
    for sampler, writer in zip((slots, anew), writers, strict=True):
        completions = drawn(sampler, writer)
    chosen = sum(len(c.tokens) for c in completions)
    appended = sum(len(text) for row in writers[0].written.values() for _, text in row)
    assert appended > 50
    # prompts once each, all that was appended once, and nothing drawn in vain
    assert (slots.tokens_read, slots.tokens_drawn) == (sum(map(len, PROMPTS)) + appended, chosen)
    assert anew.tokens_read > 2 * slots.tokens_read
    assert anew.tokens_drawn > chosen
    fresh = HFSampler(policy)
    list(fresh.draw(PROMPTS, JOBS, SAMPLING))
    assert fresh.tokens_read == sum(len(PROMPTS[n]) for n, _ in JOBS)


def test_any_sampler_has_sessions(policy: HFPolicy) -> None:
    # it draws past stop tokens, and from a seed of its own behind every text: the same however often it pauses
    sampler = UniformSampler(policy.tokenizer)
    with sampler.open(PROMPTS, JOBS, Sampling(BUDGET, stop=tuple(range(128)))) as session:
        stops = list(session.run(len(JOBS), lambda row, part: Continuation(over=bool(part))))
    assert {len(c.tokens) for _, c in stops} > {1, 2}
    assert all((c.tokens[:-1] >= 128).all() for _, c in stops)
    assert {c.stop for _, c in stops} == {"length"}

    with sampler.open(PROMPTS, JOBS, Sampling(5)) as session:
        uneven = dict(
            session.run(len(JOBS), lambda row, part: Continuation(keep=1, limit=4 - row % 2, over=bool(part)))
        )
    assert {len(c.tokens) for c in uneven.values()} == {1}
    assert sorted(uneven) == list(range(len(JOBS)))


def test_weights_may_change_between_two_steps() -> None:
    policy, other = eager(tiny_policy(0)), eager(tiny_policy(1))
    sampler = TorchSampler(policy)
    with sampler.open(PROMPTS, [(0, 1)], SAMPLING) as session:
        session.append(0, limit=3)
        while not session.draw():
            pass
        policy.load_state_dict(other.state_dict())
        sampler.sync(4)
        session.append(0)
        while not session.draw():
            pass
        completion = session.finish(0)
    assert completion.versions.tolist() == [0] * 3 + [4] * (len(completion.tokens) - 3)


@pytest.fixture(params=["torch", "hf"])
def session(request: pytest.FixtureRequest, policy: HFPolicy) -> Iterator[Session]:
    sampler = TorchSampler(policy) if request.param == "torch" else HFSampler(policy)
    with sampler.open([np.arange(500) % 250], [(0, 1)], Sampling(8)) as opened:
        yield opened


def test_a_row_that_has_no_room_says_so_in_one_line(session: Session) -> None:
    with pytest.raises(UserError, match=r"510 tokens with what was appended and may draw 8 more.*context of 512"):
        session.append(0, [65] * 10)


def test_a_row_that_has_drawn_its_budget_says_so_in_one_line(session: Session) -> None:
    drawn = 0
    while drawn < 8:  # behind ends of its turn, perhaps
        session.append(0)
        while not (parts := session.draw()):
            pass
        drawn += len(parts[0][1])
    with pytest.raises(UserError, match="a row has drawn 8 tokens and max_tokens is 8; finish it or raise max_tokens"):
        session.append(0)
