"""Samplers: the fast one equals the slow one; a sample depends on nothing but weights, prompt, seed and settings."""

from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.policy.collate import padded, token_batch
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.hf_sampler import HFSampler
from reasonenv.sampling.sampler import Sampling
from reasonenv.sampling.torch.torch_sampler import TorchSampler, _rows

SEEDS = [[10 * n + g for g in range(4)] for n in range(4)]


def prompts_of(policy: HFPolicy) -> list[IntArray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, policy.tokenizer.vocab_size, size=k) for k in (5, 1, 17, 9)]


def eager_to_stop(seed: int = 0) -> HFPolicy:
    """A tiny policy whose head has a bias, so that it ends after very different numbers of tokens."""
    policy = tiny_policy(seed)
    head = torch.nn.Linear(128, policy.tokenizer.vocab_size)
    with torch.no_grad():
        head.weight.copy_(0.5 * policy.head.weight)
        # log(257 / 9): against 256 tokens of equal weight, EOS comes about once in 10 tokens
        head.bias.zero_()[policy.tokenizer.eos_id] = 3.35
    policy.model.set_output_embeddings(head)
    return policy


@pytest.fixture(scope="module")
def policy() -> HFPolicy:
    return eager_to_stop()


def flat(drawn: list[list[Completion]]) -> list[Completion]:
    return list(chain.from_iterable(drawn))


def assert_same(left: list[list[Completion]], right: list[list[Completion]]) -> None:
    for one, two in zip(flat(left), flat(right), strict=True):
        assert one.tokens.tolist() == two.tokens.tolist()
        assert (one.stop, one.seed) == (two.stop, two.seed)
        assert_allclose(one.logprobs, two.logprobs, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_torch_and_hf_draw_the_same_tokens(policy: HFPolicy, temperature: float) -> None:
    drawn = [
        make_sampler(name, policy).generate(prompts_of(policy), SEEDS, Sampling(24, temperature))
        for name in ("torch", "hf")
    ]
    assert_same(*drawn)
    if temperature:
        assert len({len(c.tokens) for c in flat(drawn[0])}) > 5  # or compaction was not put to the test


@pytest.mark.parametrize("rows", [2, 5])
def test_a_sample_does_not_depend_on_neighbours_rows_or_order(policy: HFPolicy, rows: int) -> None:
    prompts, sampling = prompts_of(policy), Sampling(24)
    want = TorchSampler(policy).generate(prompts, SEEDS, sampling)
    sampler = TorchSampler(policy, rows=rows)
    assert_same(want, sampler.generate(prompts, SEEDS, sampling))
    assert_same(want[::-1], sampler.generate(prompts[::-1], SEEDS[::-1], sampling))
    assert_same([[want[2][1]]], sampler.generate([prompts[2]], [[SEEDS[2][1]]], sampling))


def test_a_sample_is_alone_in_any_company(policy: HFPolicy) -> None:
    """One sample of each of many prompts, many of one prompt, and more rows than slots, all at once."""
    prompts = prompts_of(policy)
    crowd = [[*range(100, 109)], SEEDS[1][:1], [], [*SEEDS[3], *range(200, 213)]]
    found = TorchSampler(policy, rows=6).generate(prompts, crowd, Sampling(24))
    for n, row in enumerate(crowd):
        for seed, completion in zip(row, found[n], strict=True):
            assert_same([[completion]], TorchSampler(policy).generate([prompts[n]], [[seed]], Sampling(24)))


def test_rows_are_streamed_as_they_finish(policy: HFPolicy) -> None:
    prompts, sampler = prompts_of(policy), TorchSampler(policy)
    jobs = [(n, seed) for n, row in enumerate(SEEDS) for seed in row]
    streamed = list(sampler.draw(prompts, jobs, Sampling(24)))
    sizes = [len(c.tokens) for _, c in streamed]
    assert sizes == sorted(sizes)  # all start together, so the shorter come first
    assert sizes[0] < sizes[-1]
    whole = flat(sampler.generate(prompts, SEEDS, Sampling(24)))
    assert_same([[c] for _, c in streamed], [[whole[job]] for job, _ in streamed])


@pytest.mark.parametrize("name", ["torch", "hf"])
def test_a_completion_ends_with_the_token_that_completes_a_stop_string(policy: HFPolicy, name: str) -> None:
    # one token a byte here: a string of two characters stands across two tokens
    prompts, sampler, decode = prompts_of(policy), make_sampler(name, policy), policy.tokenizer.decode
    free = flat(sampler.generate(prompts, SEEDS, Sampling(24)))
    text = max((decode(c.tokens.tolist()) for c in free), key=len)
    strings = (next(a + b for a, b in pairwise(text[2:]) if (a + b).isascii()), "no such text")
    stopped = flat(sampler.generate(prompts, SEEDS, Sampling(24, stop_strings=strings)))
    for one, two in zip(free, stopped, strict=True):
        ends = [n for n in range(1, len(one.tokens) + 1) if strings[0] in decode(one.tokens[:n].tolist())]
        size = ends[0] if ends else len(one.tokens)
        assert two.tokens.tolist() == one.tokens[:size].tolist()
        assert two.stop == (one.stop if size == len(one.tokens) else "length")
        assert_allclose(two.logprobs, one.logprobs[:size], atol=1e-4)
    assert any(len(two.tokens) < len(one.tokens) for one, two in zip(free, stopped, strict=True))


def test_truncated_samples_are_the_same_in_both(policy: HFPolicy) -> None:
    prompts, sampling = prompts_of(policy), Sampling(12, 0.9, top_k=7, top_p=0.8)
    drawn = [make_sampler(name, policy).generate(prompts, SEEDS, sampling) for name in ("torch", "hf")]
    assert_same(*drawn)


def gap(policy: HFPolicy, temperature: float) -> float:
    """The largest difference between the sampler's log-probs and the trainer's of the same tokens."""
    prompts = prompts_of(policy)
    drawn = TorchSampler(policy).generate(prompts, SEEDS, Sampling(30, temperature))
    completions = flat(drawn)
    repeated = [prompt for prompt, row in zip(prompts, drawn, strict=True) for _ in row]
    batch = token_batch(repeated, [c.tokens for c in completions], pad=0)
    sampled = padded((c.logprobs for c in completions), (len(completions), batch.width))
    logp, _ = policy.score(batch, tokens_per_microbatch=200, temperature=temperature)
    return float((logp - sampled).abs().max())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampler_log_probs_are_the_trainers(policy: HFPolicy, temperature: float) -> None:
    assert gap(policy, temperature) < 1e-4


def test_in_bfloat16_they_are_as_near_as_hidden_states_of_eight_bits_allow() -> None:
    policy = eager_to_stop()
    policy.model.to(torch.bfloat16)
    # states of size ~1 carry errors of ~2^-8 and logits here have a spread of about 1: 0.05 is a dozen such steps
    assert gap(policy, 1.0) < 0.05


def test_eos_is_the_last_token_and_counts(policy: HFPolicy) -> None:
    eos = policy.tokenizer.eos_id
    finished: list[int] = []
    drawn = flat(TorchSampler(policy, rows=3).generate(prompts_of(policy), SEEDS, Sampling(24), finished.append))
    assert {c.stop for c in drawn} == {"eos", "length"}
    for c in drawn:
        assert len(c.tokens) == len(c.logprobs)
        assert eos not in c.tokens[:-1]
        assert (c.tokens[-1] == eos) == (c.stop == "eos")
        assert c.stop == "eos" or len(c.tokens) == 24
    assert sum(finished) == len(drawn)


@pytest.mark.parametrize("name", ["torch", "hf"])
def test_sync_takes_new_weights_and_version(name: str) -> None:
    policy, other = eager_to_stop(0), eager_to_stop(1)
    sampler, prompts = make_sampler(name, policy), prompts_of(policy)
    before = sampler.generate(prompts, SEEDS, Sampling(10))
    policy.load_state_dict(other.state_dict())
    sampler.sync(7)
    after = sampler.generate(prompts, SEEDS, Sampling(10))
    assert_same(after, make_sampler(name, other).generate(prompts, SEEDS, Sampling(10)))
    assert [c.tokens.tolist() for c in before[0]] != [c.tokens.tolist() for c in after[0]]
    assert {v for c in flat(before) for v in c.versions.tolist()} == {0}
    assert {v for c in flat(after) for v in c.versions.tolist()} == {7}


def test_sampling_leaves_the_model_and_the_global_stream_as_they_were() -> None:
    policy = eager_to_stop()
    weights = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    attention, stream = policy.model.config._attn_implementation, torch.random.get_rng_state()
    for name in ("torch", "hf"):
        make_sampler(name, policy).generate(prompts_of(policy), SEEDS, Sampling(5))
    assert policy.model.config._attn_implementation == attention
    assert policy.model.model.layers[0].self_attn.config._attn_implementation == attention
    assert torch.equal(stream, torch.random.get_rng_state())
    assert all(torch.equal(weights[name], tensor) for name, tensor in policy.state_dict().items())


def test_models_of_another_make_decode_the_same() -> None:
    """Learned positions and fused projections (GPT-2), biases and grouped heads (Qwen2)."""
    from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

    tokenizer = tiny_policy(0).tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        gpt = GPT2LMHeadModel(GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=64))
        qwen = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=257,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
                tie_word_embeddings=True,
            )
        )
    for model in (gpt, qwen):
        policy = HFPolicy(model, tokenizer, name="small")
        prompts = prompts_of(policy)
        assert_same(
            TorchSampler(policy, rows=5).generate(prompts, SEEDS, Sampling(12)),
            HFSampler(policy).generate(prompts, SEEDS, Sampling(12)),
        )


def test_a_real_model_decodes_greedily_the_same_in_both() -> None:
    policy = load_policy("smollm2-135m", dtype="float32")
    prompts = [
        np.array(policy.tokenizer.encode(policy.tokenizer.chat([q]))) for q in ("What is 7 + 5?", "Name a colour.")
    ]
    drawn = [make_sampler(name, policy).generate(prompts, [[0], [1]], Sampling(8, 0.0)) for name in ("torch", "hf")]
    assert_same(*drawn)
    assert "12" in policy.tokenizer.decode(drawn[0][0][0].tokens.tolist()) or len(drawn[0][0][0].tokens) == 8


@pytest.mark.parametrize("name", ["torch", "hf"])
def test_bad_requests_are_told_in_one_line(policy: HFPolicy, name: str) -> None:
    sampler = make_sampler(name, policy)
    with pytest.raises(
        UserError, match="500 tokens and max_tokens is 13, together more than the model's context of 512"
    ):
        sampler.generate([np.ones(500, dtype=np.int64)], [[0]], Sampling(13))
    with pytest.raises(UserError, match="prompt 1 has no tokens"):
        sampler.generate([np.ones(2, dtype=np.int64), np.ones(0, dtype=np.int64)], [[0], [0]], Sampling(1))
    assert sampler.generate([np.ones(511, dtype=np.int64)], [[0]], Sampling(1))[0][0].stop in ("eos", "length")
    assert sampler.generate([np.ones(3, dtype=np.int64)], [[]], Sampling(4)) == [[]]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"top_k": -1}, "top_k is -1; it must be 0"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"stop_strings": ("",)}, "stop_strings holds an empty string"),
    ],
)
def test_bad_settings_are_told_in_one_line(numbers: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Sampling(4, **numbers)


def test_an_unknown_sampler_suggests_the_nearest(policy: HFPolicy) -> None:
    with pytest.raises(UserError, match=r"unknown sampler 'torhc'; did you mean torch\?"):
        make_sampler("torhc", policy)


def test_a_backend_is_one_class_and_one_line(policy: HFPolicy, tmp_path: Path) -> None:
    # of one method: version, sync, release and close come with the base class
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "from reasonenv.core import Completion\n"
        "from reasonenv.sampling.sampler import Sampler\n"
        "class Zeros(Sampler):\n"
        "    def __init__(self, policy): pass\n"
        "    def draw(self, prompts, jobs, sampling):\n"
        "        for job, (n, seed) in reversed(list(enumerate(jobs))):  # in whatever order they are finished\n"
        "            yield job, Completion.unsampled(np.zeros(seed, dtype=np.int64), 'length')\n"
    )
    sampler = make_sampler(f"{file}:Zeros", policy)
    finished: list[int] = []
    drawn = sampler.generate(prompts_of(policy)[:2], [[1, 2, 3], [4]], Sampling(4), finished.append)
    assert [[len(c.tokens) for c in row] for row in drawn] == [[1, 2, 3], [4]]
    assert finished == [1] * 4
    assert sampler.sync(3) == {}
    with pytest.raises(UserError, match=r"Zeros; only sampler=vllm can be at an address"):
        check_sampler(f"{file}:Zeros", "http://localhost:8000")


def test_a_small_model_draws_more_rows_at_once_and_a_large_one_the_least() -> None:
    # 2 layers, keys and values of hidden 128 in float32: 2,048 bytes a token, so 2^27 bytes hold 65,536 tokens
    small = SimpleNamespace(num_hidden_layers=2, hidden_size=128, num_attention_heads=4)
    assert [_rows(small, torch.float32, tokens) for tokens in (10, 200, 1000)] == [512, 327, 128]
    large = SimpleNamespace(num_hidden_layers=30, hidden_size=576, num_attention_heads=9, num_key_value_heads=3)
    assert _rows(large, torch.bfloat16, 1000) == 128
