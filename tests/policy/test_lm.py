"""The policy: log-probs that know nothing of padding, gradients that forget no token, weights that survive a file."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.tiny import tiny_policy

# Two rows share [1, 2, 3] and three [4, 7, 7, 7]; one prompt is the beginning of another, one comes twice but is too
# short to be shared.
ROWS = [([1, 2, 3], [4, 5]), ([7], [8, 9, 10, 11, 256]), ([256, 3, 4, 5, 6], [256]), ([20, 21], [22, 23, 24])]
ROWS += [([7], [8, 9]), ([1, 2, 3, 4], [5]), ([1, 2, 3], [4, 5, 6])]
ROWS += [([4, 7, 7, 7], [2]), ([4, 7, 7, 7], [256]), ([4, 7, 7, 7], [2, 3, 256])]
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def batch_of(rows: list[tuple[list[int], list[int]]], fill: int = 0, spare: int = 0) -> Batch:
    """A batch padded by `spare` columns more than needed on either side."""
    left = max(len(p) for p, _ in rows) + spare
    width = max(len(r) for _, r in rows) + spare
    tokens = torch.full((len(rows), left + width), fill)
    mask = torch.zeros(len(rows), width)
    for i, (prompt, response) in enumerate(rows):
        tokens[i, left - len(prompt) : left + len(response)] = torch.tensor(prompt + response)
        mask[i, : len(response)] = 1
    zeros, ids = torch.zeros_like(mask), torch.zeros(len(rows), dtype=torch.int64)
    return Batch(
        tokens=tokens,
        prompt_length=torch.tensor([len(p) for p, _ in rows]),
        length=torch.tensor([len(r) for _, r in rows]),
        mask=mask,
        sampled_logp=zeros,
        old_logp=zeros,
        rewards=zeros,
        discount=zeros,
        group=ids,
        versions=mask.long(),
    )


@pytest.fixture(scope="module")
def policy() -> HFPolicy:
    return tiny_policy(3)


def plain(
    policy: HFPolicy, prompt: list[int], response: list[int], temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The definition: one row, no padding, the whole softmax."""
    logits = policy.model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].double() / temperature
    logp = logits.log_softmax(-1)
    return logp.gather(1, torch.tensor(response)[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probs_are_those_of_each_row_alone(policy: HFPolicy, temperature: float) -> None:
    logp, entropy = policy.logprobs(batch_of(ROWS), temperature=temperature)
    for i, (prompt, response) in enumerate(ROWS):
        want, want_entropy = plain(policy, prompt, response, temperature)
        torch.testing.assert_close(logp[i, : len(response)].double(), want, rtol=0, atol=2e-5)
        torch.testing.assert_close(entropy[i, : len(response)].double(), want_entropy, rtol=0, atol=2e-5)
        assert not logp[i, len(response) :].any()
    assert logp.dtype == torch.float32


@pytest.mark.parametrize("tokens", [1, 14, 10**6])
def test_score_does_not_depend_on_micro_batches_nor_padding(policy: HFPolicy, tokens: int) -> None:
    want, want_entropy = policy.logprobs(batch_of(ROWS))
    padded = batch_of(ROWS, fill=policy.tokenizer.eos_id, spare=3)
    logp, entropy = policy.score(padded, tokens_per_microbatch=tokens)
    torch.testing.assert_close(logp[:, : want.shape[1]], want.detach(), rtol=0, atol=2e-5)
    torch.testing.assert_close(entropy[:, : want.shape[1]], want_entropy, rtol=0, atol=2e-5)
    assert not logp.requires_grad


def test_gradients_are_the_naive_ones_and_the_eos_row_has_its_own(policy: HFPolicy) -> None:
    eos = policy.tokenizer.eos_id
    loss = policy.logprobs(batch_of(ROWS))[0].sum()
    ours = torch.autograd.grad(loss, policy.parameters())
    want = torch.autograd.grad(sum(plain(policy, p, r, 1.0)[0].sum() for p, r in ROWS), policy.parameters())
    for mine, theirs in zip(ours, want, strict=True):
        assert (mine - theirs).norm() <= 1e-4 * theirs.norm()
    embedding = policy.model.get_input_embeddings().weight
    row = torch.autograd.grad(policy.logprobs(batch_of(ROWS))[0].sum(), embedding)[0][eos]
    assert row.norm() > 0  # row 2 has EOS inside its prompt


# Two that share prompts besides llama, one of them with a window; one that adds a bias to its attention and one that
# has none, but a state: in those, rows stay apart.
FAMILIES = {
    "gpt2": (True, {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "qwen2": (True, SMALL | {"num_key_value_heads": 2}),
    "mistral": (True, SMALL | {"num_key_value_heads": 2, "sliding_window": 3}),
    "bloom": (False, {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "mamba": (False, {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_log_probs_of_other_models_are_those_of_each_row_alone(name: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    shares, sizes = FAMILIES[name]
    config = AutoConfig.for_model(name, vocab_size=257, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = HFPolicy(AutoModelForCausalLM.from_config(config), tiny_policy(0).tokenizer, name=name)
    assert policy.shared == shares
    logp, _ = policy.logprobs(batch_of(ROWS))
    for i, (prompt, response) in enumerate(ROWS):
        want, _ = plain(policy, prompt, response, 1.0)
        torch.testing.assert_close(logp[i, : len(response)].double(), want, rtol=0, atol=2e-5)


def test_a_policy_that_shares_nothing_has_the_same_log_probs() -> None:
    policy = tiny_policy(3)
    want = policy.logprobs(batch_of(ROWS))[0].detach()
    policy.shared = False
    torch.testing.assert_close(policy.logprobs(batch_of(ROWS))[0], want, rtol=0, atol=2e-5)
    score, _ = policy.score(batch_of(ROWS), tokens_per_microbatch=20)
    torch.testing.assert_close(score, want, rtol=0, atol=2e-5)


def test_a_tied_head_gets_the_gradient_of_both_its_uses_and_is_kept_once() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("llama", vocab_size=257, tie_word_embeddings=True, **SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = HFPolicy(AutoModelForCausalLM.from_config(config), tiny_policy(0).tokenizer, name="tied")
    assert policy.head.weight is policy.model.get_input_embeddings().weight
    ours = torch.autograd.grad(policy.logprobs(batch_of(ROWS))[0].sum(), policy.head.weight)[0]
    theirs = torch.autograd.grad(sum(plain(policy, p, r, 1.0)[0].sum() for p, r in ROWS), policy.head.weight)[0]
    assert (ours - theirs).norm() <= 1e-4 * theirs.norm()
    assert len(policy.state_dict()) == len(policy.parameters())


def test_padding_idx_of_a_checkpoint_is_unset() -> None:
    model = tiny_policy(0).model
    model.get_input_embeddings().padding_idx = 256
    assert HFPolicy(model, tiny_policy(0).tokenizer, name="x").model.get_input_embeddings().padding_idx is None


def test_tiny_is_a_pure_function_of_its_seed_and_moves_no_global_stream() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (tiny_policy(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_saved_policy_loads_the_same_from_its_folder_from_a_run_and_in_plain_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    policy = tiny_policy(5)
    policy.save(tmp_path / "run" / "policy")
    policy.save(tmp_path / "run" / "policy")  # replaces
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["policy"]
    before = torch.random.get_rng_state()
    for name in (tmp_path / "run" / "policy", tmp_path / "run"):
        again = load_policy(str(name))
        assert again.dtype == torch.float32
        assert again.context == policy.context
        assert again.tokenizer.encode("1 + 1 =\n") == policy.tokenizer.encode("1 + 1 =\n")
        assert again.tokenizer.eos_id == policy.tokenizer.eos_id
        assert all(torch.equal(again.state_dict()[k], v) for k, v in policy.state_dict().items())
    assert torch.equal(before, torch.random.get_rng_state())
    AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "policy")
    assert load_policy(str(tmp_path / "run"), dtype="bfloat16").dtype == torch.bfloat16


def test_a_generation_config_that_transformers_will_not_write_spoils_no_save(tmp_path: Path) -> None:
    model = tiny_policy(0).model
    model.generation_config.temperature = 0.6  # without do_sample, as Llama 2 has it
    model.generation_config.eos_token_id = [256, 65]
    with pytest.raises(ValueError, match="temperature"):
        model.save_pretrained(tmp_path / "as it is")
    HFPolicy(model, tiny_policy(0).tokenizer, name="x").save(tmp_path / "policy")
    assert load_policy(str(tmp_path / "policy")).tokenizer.ends == (65, 256)


def test_state_is_copied_in_and_a_clone_is_frozen() -> None:
    one, two = tiny_policy(1), tiny_policy(2)
    reference = one.clone()
    one.load_state_dict(two.state_dict())
    assert torch.equal(one.head.weight, two.head.weight)
    assert not torch.equal(one.head.weight, reference.head.weight)
    assert reference.parameters() == []
    with pytest.raises(UserError, match="not of policy"):
        one.load_state_dict({"x": torch.zeros(1)})


def test_models_that_make_their_logits_in_another_way_are_refused_by_name() -> None:
    policy = tiny_policy(0)
    squares = policy.model.register_forward_hook(
        lambda module, inputs, output: replace(output, logits=output.logits**2)
    )
    with pytest.raises(UserError, match=r"'squared': LlamaForCausalLM makes its logits neither by scaling nor"):
        HFPolicy(policy.model, policy.tokenizer, name="squared")
    squares.remove()
    doubles = policy.model.lm_head.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    with pytest.raises(UserError, match="of the last hidden state; it is not supported"):
        HFPolicy(policy.model, policy.tokenizer, name="doubled")
    doubles.remove()
    HFPolicy(policy.model, policy.tokenizer, name="plain")
