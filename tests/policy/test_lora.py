"""Adapters: nothing at first, alone in what is trained and kept, the same to trainer, sampler, reference and peft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.policy.adapter_files import CONFIG
from reasonenv.policy.checkpointing import checkpoint_layers
from reasonenv.policy.lora import add_adapter
from reasonenv.policy.policy import Policy
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Critic
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling

pytest.importorskip("peft")

RANK = 4
PROMPT, RESPONSES = [4, 7, 7, 7], ([2, 3, 5], [9, 256], [2])


def batch() -> Batch:
    """Three samples of one prompt, long enough to be shared."""
    tokens, mask = torch.zeros(3, 7, dtype=torch.int64), torch.zeros(3, 3)
    for i, response in enumerate(RESPONSES):
        tokens[i, : 4 + len(response)] = torch.tensor(PROMPT + response)
        mask[i, : len(response)] = 1
    ids = torch.zeros(3, dtype=torch.int64)
    return Batch(tokens, ids + 4, mask.sum(1).long(), mask, mask, mask, mask, mask, ids, ids)


def adapted(*, awake: bool = True, seed: int = 3) -> Policy:
    """A policy with an adapter, which has left 0 if it is awake."""
    policy = tiny_policy(seed)
    add_adapter(policy, RANK, seed=seed)
    if awake:
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, tensor in policy.state_dict().items():
                if ".lora_B." in name:
                    tensor.normal_(std=0.05, generator=draw)
    return policy


def test_a_fresh_adapter_changes_nothing_and_is_a_pure_function_of_its_seed() -> None:
    before = torch.random.get_rng_state()
    policy, same, other = adapted(awake=False), adapted(awake=False), adapted(awake=False, seed=4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(policy.logprobs(batch())[0], tiny_policy(3).logprobs(batch())[0])
    assert all(torch.equal(same.state_dict()[name], tensor) for name, tensor in policy.state_dict().items())
    assert any(not torch.equal(other.state_dict()[name], tensor) for name, tensor in policy.state_dict().items())


def test_only_the_adapter_is_trained_and_kept() -> None:
    policy = adapted()
    # 2 layers of hidden 128 and inner 352: r (in + out) for q, k, v, o (128 + 128) and gate, up, down (128 + 352)
    assert sum(p.numel() for p in policy.parameters()) == 2 * RANK * (4 * 256 + 3 * 480)
    assert sum(t.numel() for t in policy.state_dict().values()) == sum(p.numel() for p in policy.parameters())
    policy.logprobs(batch())[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in policy.parameters())
    assert policy.head.weight.grad is None


def test_gradients_are_those_of_the_sum_written_out() -> None:
    # y = x (W + s B A)^T, so dL/dA = s B^T dL/dW and dL/dB = s dL/dW A^T, with dL/dW from a plain model of the sum
    policy, plain = adapted(), tiny_policy(3)
    scale = 32 / RANK
    for name, module in policy.model.named_modules():
        if hasattr(module, "base_layer"):
            delta = scale * module.lora_B["default"].weight @ module.lora_A["default"].weight
            plain.model.get_submodule(name).weight.data += delta.detach()
    ours, theirs = (p.logprobs(batch())[0] for p in (policy, plain))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
    ours.sum().backward()
    theirs.sum().backward()
    layer = policy.model.model.layers[1].mlp.down_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    grad = plain.model.model.layers[1].mlp.down_proj.weight.grad
    for mine, want in ((a.grad, scale * b.T @ grad), (b.grad, scale * grad @ a.T)):
        assert (mine - want).norm() <= 1e-4 * want.norm()


@pytest.mark.parametrize("awake", [False, True])
def test_a_reference_is_the_policy_as_it_was_and_shares_what_it_rests_on(awake: bool) -> None:
    policy = adapted(awake=awake)
    before = policy.logprobs(batch())[0].detach()
    reference = policy.clone()
    with torch.no_grad():
        for tensor in policy.state_dict().values():
            tensor.add_(0.05)
    assert not torch.equal(policy.logprobs(batch())[0], before)
    torch.testing.assert_close(reference.logprobs(batch())[0], before, rtol=0, atol=1e-6)
    assert reference.head.weight.data_ptr() == policy.head.weight.data_ptr()
    assert reference.parameters() == []
    assert policy.parameters() != []


@pytest.mark.parametrize("sampler", ["torch", "hf"])
def test_samplers_draw_from_the_sum_after_each_sync(sampler: str) -> None:
    policy = adapted(awake=False)
    own = make_sampler(sampler, policy)
    for version in (1, 2):
        with torch.no_grad():
            for tensor in policy.state_dict().values():
                tensor.add_(0.02)
        state = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
        own.sync(version)
        (drawn,) = own.generate([np.array(PROMPT)], [[1, 2]], Sampling(3))
        assert all(torch.equal(state[name], tensor) for name, tensor in policy.model.state_dict().items())
        for c in drawn:
            row = torch.tensor([*PROMPT, *c.tokens.tolist()])
            logp = policy.model(row[None]).logits[0, 3:-1].log_softmax(-1).gather(1, row[4:, None])[:, 0]
            assert c.versions.tolist() == [version] * len(c.tokens)
            torch.testing.assert_close(torch.from_numpy(c.logprobs), logp.detach(), rtol=0, atol=1e-4)


def test_an_adapter_loads_from_its_folder_here_and_in_peft(tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    tiny_policy(5).save(tmp_path / "prior" / "policy")
    policy = load_policy(str(tmp_path / "prior"))
    add_adapter(policy, RANK, seed=0)
    with torch.no_grad():
        for tensor in policy.state_dict().values():
            tensor.add_(0.02)
    policy.save(tmp_path / "run" / "policy")
    assert {p.name for p in (tmp_path / "run" / "policy").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    again = load_policy(str(tmp_path / "run"))
    want = policy.logprobs(batch())[0]
    assert torch.equal(again.logprobs(batch())[0], want)
    assert len(again.parameters()) == len(policy.parameters())  # and may be trained on
    theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "run" / "policy")
    logits = theirs(torch.tensor([PROMPT + RESPONSES[0]])).logits[0, 3:-1]
    logp = logits.log_softmax(-1).gather(1, torch.tensor(RESPONSES[0])[:, None])[:, 0]
    torch.testing.assert_close(logp, want[0], rtol=0, atol=2e-5)


def test_an_adapter_of_a_policy_made_from_scratch_finds_it_by_its_seed(tmp_path: Path) -> None:
    adapted(seed=6).save(tmp_path / "policy")
    assert torch.equal(load_policy(str(tmp_path / "policy")).logprobs(batch())[0], adapted(seed=6).logprobs(batch())[0])


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    policy = adapted()
    with pytest.raises(UserError, match="has an adapter already"):
        add_adapter(policy, RANK, seed=0)
    policy.source = "./gone/for/good"
    policy.adapter.peft_config["default"].base_model_name_or_path = "./gone/for/good"
    policy.save(tmp_path / "policy")
    with pytest.raises(UserError, match=r"is an adapter of '\./gone/for/good', which cannot be loaded"):
        load_policy(str(tmp_path / "policy"))
    (tmp_path / "policy" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="no adapter_model"):
        load_policy(str(tmp_path / "policy"))


@pytest.mark.parametrize("separate", [False, True])
def test_a_critic_on_top_trains_an_adapter_and_nothing_below(separate: bool) -> None:
    policy = adapted()
    critic = Critic(policy, separate=separate)
    torch.nn.init.ones_(critic.head.weight)
    critic.values(batch(), policy.states(batch()))[0].sum().backward()
    assert any(p.grad is not None for p in policy.parameters()) == (not separate)
    assert len(critic.parameters()) - 1 == (len(policy.parameters()) if separate else 0)
    frozen = (p for p in policy.model.parameters() if not p.requires_grad)
    assert all(p.grad is None for p in frozen)


@pytest.mark.parametrize("lora", [False, True])
def test_recomputed_layers_give_the_same_gradients_for_less_memory(lora: bool) -> None:
    kept = []
    for checkpointing in (False, True):
        policy = adapted() if lora else tiny_policy(3)
        if checkpointing:
            checkpoint_layers(policy)
        held = [0]

        def count(tensor: torch.Tensor, held: list[int] = held) -> torch.Tensor:
            held[0] += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = policy.logprobs(batch())[0].sum()
        kept.append((torch.autograd.grad(loss, policy.parameters()), held[0]))
        (drawn,) = make_sampler("torch", policy).generate([np.array(PROMPT)], [[1]], Sampling(3))
        assert len(drawn[0].tokens)
    (plain, much), (again, little) = kept
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert little < much / 3


def test_an_adapter_may_name_the_revision_of_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as in most adapters on the hub; the seed of a policy made from scratch stands in a file of our own
    policy = adapted(seed=6)
    policy.save(tmp_path / "policy")
    config = tmp_path / "policy" / CONFIG
    stated = json.loads(config.read_text())
    assert (stated["base_model_name_or_path"], stated["revision"]) == ("tiny", None)
    assert json.loads((tmp_path / "policy" / "reasonenv.json").read_text()) == {"seed": 6}

    plain = tiny_policy(6)
    plain.save(tmp_path / "base")
    stated |= {"base_model_name_or_path": str(tmp_path / "base"), "revision": "main"}
    config.write_text(json.dumps(stated))
    loaded = load_policy(str(tmp_path / "policy"), dtype="float32")
    torch.testing.assert_close(loaded.logprobs(batch())[0], policy.logprobs(batch())[0])

    asked: list[str | None] = []

    def out_of_reach(source: str, **how: Any) -> None:
        asked.append(how.get("revision"))
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", out_of_reach)
    config.write_text(json.dumps({**stated, "base_model_name_or_path": "some/model", "revision": "v1.2"}))
    with pytest.raises(UserError, match="is an adapter of 'some/model', which cannot be loaded"):
        load_policy(str(tmp_path / "policy"))
    assert asked == ["v1.2"]


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (CONFIG, '{"base_model_name_or_path": null, "peft_type": "LORA"}', "names no base model"),
        (CONFIG, '{"base_model_name_or_path": "tiny", "revision": 3}', "names no base model"),
        (CONFIG, '{"base_model_name_or_path": "tiny", "revision": "6"}', "'tiny' is made from a seed"),
        ("reasonenv.json", '{"seed": "six"}', "holds no seed"),
        ("reasonenv.json", "[]", "holds no seed"),
    ],
)
def test_a_broken_description_of_the_base_is_told(tmp_path: Path, file: str, text: str, told: str) -> None:
    adapted(seed=6).save(tmp_path / "policy")
    (tmp_path / "policy" / file).write_text(text)
    with pytest.raises(UserError, match=told):
        load_policy(str(tmp_path / "policy"))
