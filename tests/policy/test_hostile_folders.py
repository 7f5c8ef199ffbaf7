"""A folder of weights may be a stranger's: nothing in it is unpickled, chooses code, or asks for more than it holds."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reasonenv.errors import UserError
from reasonenv.experiment.weights import weights_of
from reasonenv.policy.attention import ATTENTION
from reasonenv.policy.lora import add_adapter
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Scorer, load_scorer


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_policy(0).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    pytest.importorskip("peft")
    policy = tiny_policy(0)
    add_adapter(policy, 2, seed=0)
    policy.save(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which anything is unpickled by torch, guarded or not."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", load)


def refused(folder: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        load_policy(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "names",
    [
        ["adapter_model.bin"],
        ["adapter_model.bin", "adapter_model_decoy.safetensors"],
        ["adapter_model.bin", "decoy/adapter_model.safetensors"],
    ],
)
def test_an_adapter_is_safetensors_by_the_name_that_is_opened(adapter: Path, names: list[str], tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    for name in names:
        (adapter / name).parent.mkdir(exist_ok=True)
        (adapter / name).write_bytes(pickle.dumps(Bomb(tmp_path / "it ran")))
    assert "has no adapter_model.safetensors" in refused(adapter)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "name",
    [
        "../outside.bin",
        "outside.bin",
        "../outside.safetensors",
        "/tmp/outside.safetensors",
        "sub/model.safetensors",
        "model.safetensors/../../outside.safetensors",
        "gone.safetensors",
        "",
        "/etc/hostname",
    ],
)
@pytest.mark.parametrize("also", [True, False])
def test_an_index_names_safetensors_in_the_folder(model: Path, name: str, also: bool) -> None:
    (model / "model.safetensors").rename(model / "decoy.safetensors")
    for other in (model / "outside.bin", model.parent / "outside.bin"):
        torch.save(load_file(model / "decoy.safetensors"), other)
    shutil.copy(model / "decoy.safetensors", model.parent / "outside.safetensors")
    (model / "sub").mkdir()
    shutil.copy(model / "decoy.safetensors", model / "sub" / "model.safetensors")
    tensors = load_file(model / "decoy.safetensors")
    weight_map = dict.fromkeys(tensors, name)
    if also:  # one tensor of many is enough
        weight_map = {**dict.fromkeys(tensors, "decoy.safetensors"), "more": name}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    message = refused(model)
    assert "safetensors in the folder itself" in message or "files *.safetensors" in message or "is missing" in message


@pytest.mark.parametrize("weight_map", [None, {}, [], "model.safetensors", 5, {"w": None}, {"w": ["a.safetensors"]}])
def test_a_broken_index_is_one_line(model: Path, weight_map: Any) -> None:
    (model / "model.safetensors").rename(model / "decoy.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refused(model)


def test_an_index_of_two_files_is_read(model: Path) -> None:
    before = load_policy(str(model)).state_dict()
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for number, half in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in half}, model / f"part{number}.safetensors", {"format": "pt"})
        weight_map |= dict.fromkeys(half, f"part{number}.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    after = load_policy(str(model)).state_dict()
    assert all(after[name].equal(value) for name, value in before.items())
    # an index that leaves a tensor out would leave it to chance
    weight_map.pop(names[0])
    save_file({name: tensors[name] for name in names[2::2]}, model / "part0.safetensors", {"format": "pt"})
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert "lacks weights" in refused(model)


@pytest.mark.parametrize("name", ["model.safetensors", "part.safetensors"])
def test_a_link_out_of_the_folder_is_refused(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model.parent / "elsewhere")
    (model / name).symlink_to(model.parent / "elsewhere")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    assert "is a link out of the folder" in refused(model)


def test_a_snapshot_of_the_hubs_cache_is_links_and_is_read(model: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "c0ffee", tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(model.iterdir()):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    assert load_policy(str(snapshot)).name == str(snapshot)


def test_a_folder_called_snapshots_opens_nothing_but_blobs(model: Path, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    folder = model.rename(tmp_path / "snapshots" / "c0ffee")
    (folder / "model.safetensors").rename(tmp_path / "private.safetensors")
    (folder / "model.safetensors").symlink_to(tmp_path / "private.safetensors")
    assert "is a link out of the folder" in refused(folder)


@pytest.mark.parametrize("end", [True, {"a": 1}, 1.5, "256", [None, True, -1, 10**12]])
def test_an_end_that_is_no_token_ends_nothing(model: Path, end: Any) -> None:
    edit(model / "generation_config.json", eos_token_id=end)
    assert load_policy(str(model)).tokenizer.ends == (256,)


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": "evil/kernel"},
        {"_attn_implementation_internal": "evil/kernel"},
        {"attn_implementation": {"": "evil/kernel"}},
        {"experts_implementation": "evil/kernel"},
        {"auto_map": {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}},
        {"auto_map": {"AutoModelForCausalLM": "evil/repo--evil.Model"}},
        {"transformers_weights": "adapter_model.bin"},
        {"transformers_weights": "../outside.safetensors"},
        {"return_dict": False},
        {"torchscript": True},
        {"output_attentions": True},
    ],
)
def test_what_a_config_may_not_choose_is_chosen_here(model: Path, changes: dict[str, Any], tmp_path: Path) -> None:
    before = load_policy(str(model)).state_dict()
    (model / "evil.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')")
    (model / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "it ran")))
    edit(model / "config.json", **changes)
    after = load_policy(str(model))
    assert all(after.state_dict()[name].equal(value) for name, value in before.items())
    assert after.model.config._attn_implementation in ("sdpa", "eager", ATTENTION)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization_config": {"quant_method": "torchao"}},
        {"quantization_config": None},
        {"vocab_size": 10**12},
        {"hidden_size": 10**9},
        {"hidden_size": 10**9, "vocab_size": 10**12},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 10**5},
        {"intermediate_size": 10**9},
        {"num_attention_heads": 0},
        {"num_attention_heads": 10**9},
        {"num_key_value_heads": 10**9},
        {"head_dim": 10**9},
        {"max_position_embeddings": 10**12},
        {"num_attention_heads": "four"},
        {"hidden_size": None},
        {"hidden_size": -8},
        {"model_type": "evil"},
        {"model_type": None},
        {"model_type": ["llama"]},
        {"model_type": "bert"},
        {"rope_parameters": 3},
        {"layer_types": "x"},
        {"hidden_act": "os.system"},
    ],
)
def test_a_config_that_cannot_be_is_one_line_at_once(model: Path, changes: dict[str, Any]) -> None:
    edit(model / "config.json", **changes)
    refused(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "goals.json"])
@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{", b"\xfd", b'{"a": "\xfd"}', b"[" * 200_000, b"{}", b'"x"', b"5"]
)
def test_a_damaged_description_is_one_line_or_harmless(model: Path, name: str, content: bytes) -> None:
    (model / name).write_bytes(content)
    refused(model)


@pytest.mark.parametrize("name", ["adapter_config.json", "reasonenv.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"\xfd", b"[" * 200_000, b"{}", b"5"])
def test_a_damaged_adapter_is_one_line(adapter: Path, name: str, content: bytes) -> None:
    (adapter / name).write_bytes(content)
    refused(adapter)


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "ADAPTION_PROMPT"},
        {"peft_type": "XLORA", "adapters": {"a": "evil/repo"}},
        {"peft_type": "evil"},
        {"peft_type": None},
        {"r": 10**9},
        {"r": 0},
        {"r": "two"},
        {"rank_pattern": {"q_proj": 10**9}},
        {"target_modules": 5},
        {"target_modules": "("},
        {"modules_to_save": ["lm_head"]},
        {"lora_alpha": "x"},
        # Other methods than plain LoRA, each as its own field of peft's config says.
        {"init_lora_weights": "pissa"},
        {"use_dora": True},
        {"bias": "all"},
        {"megatron_config": {"tensor_model_parallel_size": 1}},
        {"megatron_core": "evil"},
        {"alora_invocation_tokens": [1]},
        {"use_qalora": True},
        {"trainable_token_indices": [1]},
        {"a_method_of_tomorrow": True},
    ],
)
def test_an_adapter_that_cannot_be_is_one_line(adapter: Path, changes: dict[str, Any]) -> None:
    edit(adapter / "adapter_config.json", **changes)
    refused(adapter)


def test_an_adapter_rests_on_a_model(adapter: Path, tmp_path: Path) -> None:
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(adapter))
    assert "another adapter" in refused(adapter)
    shutil.copytree(adapter, tmp_path / "run" / "policy")
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "run"))
    assert "another adapter" in refused(adapter)


def test_the_hash_of_an_adapter_that_rests_on_itself_is_one_line(adapter: Path) -> None:
    from reasonenv.experiment.config import describe_run

    edit(adapter / "adapter_config.json", base_model_name_or_path=str(adapter))
    run = describe_run("grpo", "reasonenv/Chain-Response-v0", {"policy": str(adapter)})
    with pytest.raises(UserError, match="another adapter"):
        weights_of(run)


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_a_damaged_head_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    policy = tiny_policy(0)
    Scorer(tiny_policy(1)).save(tmp_path / "scorer")
    head = tmp_path / "scorer" / "head.safetensors"
    if content is None:
        save_file({"weight": torch.ones(1, 3), "bias": torch.ones(1)}, head)
    else:
        head.write_bytes(content)
    with pytest.raises(UserError, match="holds no head"):
        load_scorer(str(tmp_path), policy)
