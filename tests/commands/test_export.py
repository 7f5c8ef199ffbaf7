"""A run as a folder that other programs load: the same policy, whole, with a card that has its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import reasonenv
from reasonenv.cli import main
from reasonenv.policy.pretrained import load_policy

Train = Callable[[str, Path], list[str]]
TEXT = "7+5=12\n#### 12\n"


@pytest.fixture(scope="module")
def adapter_run(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has trained an adapter."""
    out = tmp_path_factory.mktemp("adapter") / "run"
    assert main([*train("grpo", out), "lora=4", "lr=1e-2"]) == 0
    return out


def logprobs(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """Of every token of a text after the first.  # [T - 1]"""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1].float()
    return logits.log_softmax(dim=-1)[torch.arange(len(ids) - 1), ids[1:]]


def test_a_merged_adapter_is_the_same_policy_to_transformers_and_to_us(adapter_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    assert main(["export", str(adapter_run), str(out)]) == 0
    assert not list(out.glob("adapter*"))
    trained = load_policy(str(adapter_run))
    ids = trained.tokenizer.encode(TEXT)
    expected = logprobs(trained.model, ids)
    base = logprobs(load_policy(json.loads((adapter_run / "run.json").read_text())["policy"]).model, ids)
    assert (expected - base).abs().max() > 1e-2  # or the adapter would have learned nothing to be merged
    loaded = AutoModelForCausalLM.from_pretrained(str(out))
    assert AutoTokenizer.from_pretrained(str(out)).encode(TEXT, add_special_tokens=False) == ids
    for model in (loaded, load_policy(str(out)).model):
        assert (logprobs(model, ids) - expected).abs().max() < 1e-5


def test_the_card_has_the_numbers_of_the_run_and_says_how_to_serve_it(adapter_run: Path, tmp_path: Path) -> None:
    run = reasonenv.load_run(adapter_run)
    text = (run.export(tmp_path / "my model") / "README.md").read_text()
    gain = run.summary["gain"]
    assert f"| {gain['value']:+.3f} | [{gain['low']:+.3f}, {gain['high']:+.3f}] |" in text
    assert f"| greedy_accuracy before training | {run.summary['before']:.3f} | [" in text
    assert "pass@2" in text  # `eval_samples` of the run
    assert "vllm serve '" in text
    assert "no licence to keep" in text  # of the problems, as the file of the task says it
    assert "One training seed (0)" in text
    assert "| `lr` | `0.01` |" in text
    front = text.split("---\n")[1]
    assert "library_name: transformers\n" in front
    assert '- "grpo"\n' in front


def test_a_card_obeys_nothing_that_a_folder_says(adapter_run: Path, tmp_path: Path) -> None:
    from reasonenv.experiment.export import readme

    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("summary.json", "evaluation.parquet", "problems.jsonl", "environment.json"):
        (copy / name).write_bytes((adapter_run / name).read_bytes())
    (copy / "evaluations").mkdir()
    (copy / "evaluations" / "000000.parquet").write_bytes((adapter_run / "evaluations" / "000000.parquet").read_bytes())
    record = json.loads((adapter_run / "run.json").read_text())
    record |= {"agent": "x`<script>\n---\nlicense: mit", "policy": "evil.py:x\n\x1b[2J", "env": "a|b`"}
    (copy / "run.json").write_text(json.dumps(record))
    text = readme(copy, tmp_path / "out")
    assert "\x1b" not in text
    assert "\nlicense:" not in text
    assert "`x'<script>\\n---\\nlicense: mit`" in text


def test_what_cannot_be_exported_is_said_in_one_line(
    adapter_run: Path, whole: Callable[[str], Path], tmp_path: Path, complaint: Callable[[list[str]], str]
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    assert "is there already" in complaint(["export", str(adapter_run), str(taken)])
    assert (taken / "thesis.txt").read_text() == "mine"
    assert "is not the folder of a finished run" in complaint(["export", str(tmp_path), str(tmp_path / "x")])


class Hub:
    """A hub that notes what it is asked, in place of the one that a push would reach."""

    refusing = ""  # the request that it refuses
    requests: ClassVar[list[tuple[str, Any]]] = []

    def _note(self, request: str, what: Any) -> None:
        if request == self.refusing:
            raise ConnectionError("no way\nthere")
        self.requests.append((request, what))

    def whoami(self) -> None:
        self._note("whoami", None)

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
        self._note("create", (name, private))

    def upload_folder(self, *, repo_id: str, folder_path: Path) -> None:
        self._note("upload", (repo_id, sorted(path.name for path in folder_path.iterdir())))


def test_a_push_goes_to_a_private_repository_and_only_where_it_is_asked_for(
    adapter_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[[list[str]], str]
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr(Hub, "requests", [])
    assert main(["export", str(adapter_run), str(tmp_path / "alone")]) == 0
    assert Hub.requests == []
    out = tmp_path / "pushed"
    command = ["export", str(adapter_run), str(out), "--push", "me/model"]
    monkeypatch.setattr(Hub, "refusing", "whoami")
    assert "the hub does not take 'me/model' (ConnectionError: no way there); log in" in complaint(command)
    assert not out.exists()  # nothing is written before it is known that the hub takes it
    monkeypatch.setattr(Hub, "refusing", "")
    assert main(command) == 0
    files = sorted(path.name for path in out.iterdir())
    assert Hub.requests == [("whoami", None), ("create", ("me/model", True)), ("upload", ("me/model", files))]
    assert {"README.md", "model.safetensors", "config.json", "tokenizer.json"} <= set(files)
    monkeypatch.setattr(Hub, "refusing", "upload")
    other = tmp_path / "other"
    assert f"{other} is complete, and the hub" in complaint([*command[:2], str(other), *command[3:]])
