"""Finding policies: every mistake is one line that says what to do."""

import json
from pathlib import Path

import pytest

from reasonenv.errors import UserError
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.tokenizer import byte_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_policy(0).save(tmp_path / "model")
    return tmp_path / "model"


def error_of(name: str | Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        load_policy(str(name), **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_unknown_name_suggests_the_nearest_and_the_other_ways() -> None:
    message = error_of("tinny")
    assert "'tinny'" in message
    assert "did you mean tiny?" in message
    assert "folder" in message
    assert "hub id" in message


def test_a_path_that_is_no_folder_is_named() -> None:
    assert "no folder" in error_of("./nowhere/at/all")


def test_an_unknown_dtype_is_named() -> None:
    assert "did you mean float32" in error_of("tiny", dtype="float3")


def test_an_unreachable_hub_id_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "nobody/nothing-here" in error_of("nobody/nothing-here")


def test_a_folder_without_config_weights_or_tokenizer_says_which(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert "no tokenizer" in error_of(folder)
    (folder / "model.safetensors").unlink()
    assert "no weights" in error_of(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in error_of(folder)


def test_damaged_weights_are_an_error_of_the_user(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a checkpoint")
    assert "cannot be read" in error_of(folder)


def test_a_tokenizer_without_eos_is_refused(folder: Path) -> None:
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("eos_token")
    file.write_text(json.dumps(settings))
    assert "no EOS" in error_of(folder)


def test_a_model_with_fewer_tokens_than_its_tokenizer_is_refused(folder: Path) -> None:
    tokenizer = tiny_policy(0).tokenizer
    tokenizer.hf.add_tokens(["<one>", "<two>"])
    tokenizer.hf.save_pretrained(folder)
    message = error_of(folder)
    assert "257 tokens" in message
    assert "259" in message


def test_a_run_without_a_policy_yet_is_called_unfinished(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="is unfinished and has no policy yet; finish it by the command that began it"):
        load_policy(str(tmp_path))
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match=r"has no config.json"):
        load_policy(str(tmp_path))


def test_a_tokenizer_comes_back_as_it_was_saved_whatever_the_type_of_the_model(tmp_path: Path) -> None:
    """For qwen2 and phi3 transformers knows a class of tokenizers, and makes one of it where none is stated."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = byte_tokenizer()
    texts = ("e\u0301 is two characters", "1234  a\n\n b")
    for kind in ("qwen2", "phi3", "qwen3", "llama"):
        config = AutoConfig.for_model(
            kind,
            vocab_size=tokenizer.vocab_size,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            eos_token_id=tokenizer.eos_id,
            pad_token_id=None,
        )
        HFPolicy(AutoModelForCausalLM.from_config(config), tokenizer, name=kind).save(tmp_path / kind)
        back = load_policy(str(tmp_path / kind)).tokenizer
        assert back.vocab_size == tokenizer.vocab_size, kind
        assert back.encode_all(texts) == tokenizer.encode_all(texts), kind
        assert back.ends == tokenizer.ends, kind
