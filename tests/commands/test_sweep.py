"""Every command with what it cannot take: one line on stderr, exit code 2, no traceback, nothing half written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHAIN, GSM8K = "reasonenv/Chain-Response-v0", "reasonenv/GSM8K-Response-v0"
FILES = {  # what stands in the folder: name -> content
    "empty": b"",
    "empty.toml": b"",
    "empty.jsonl": b"",
    "empty.parquet": b"",
    "latin.toml": b"title = '\xe9'",
    "latin.jsonl": b'{"question": "\xe9"}\n',
    "latin.txt": b"\xff",
    "nul.toml": b"a = '\x00'",
    "deep.json": b"[" * 100_000,
    "raises.py": b"1/0",
    "cut/run.json": b"{",
    "list/run.json": b"[]",
    "bare/suite.json": b"{}",
    "bare/suite.toml": b"",
    "gold/train.jsonl": b"",
    "gold/test.jsonl": b"",
    "folder/nothing": b"",
}
TRAIN = f"train grpo {CHAIN} --out out"
SWEEP = {
    "words that are missing": ("", "play", "check", "doctor", "doctor tiny", "train", "train grpo", "eval", "eval tiny",
        f"train grpo {CHAIN}", "bench", "bench run", "compare", "compare cut", "diff", "diff cut", "report"),
    "words too many": ("list envs extra", "list suites --json extra", "report bare extra"),
    "unknown names": ("nonsense", "list everything", "play nothing", "play reasonenv/Chain-Step-v9",
        "play reasonenv/RG-nothing-Step-v0", f"play {CHAIN} tokenizer=nowhere", f"play {CHAIN} stochastic=nothing:1",
        f"play {CHAIN} split=tets", "check Nothing", "check Chain sise=3", "doctor tiny nothing",
        f"doctor nowhere {CHAIN}",
        f"doctor tiny {CHAIN} --dtype int8", f"doctor tiny {CHAIN} --device tpu", f"doctor tiny {CHAIN} sise=3",
        "train grpo nothing --out out", f"train nothing {CHAIN} --out out", f"{TRAIN} device=tpu",
        f"{TRAIN} reward=sparse+", f"{TRAIN} reward=", f"{TRAIN} prompt=", f"{TRAIN} sampler=nothing",
        "eval tiny nothing", f"{TRAIN} holdout=tset", f"eval tiny {CHAIN} --holdout tset",
        f"eval tiny {CHAIN} --sampler nothing", "bench run nothing", "bench run quickstart --scale huge",
        "audit-verifier Nothing", "audit-verifier GSM8K --split tets", "audit-verifier Chain --split tets"),
    "wrong types": (f"play {CHAIN} --problem one", f"play {CHAIN} operands=x", "check Chain --sample many",
        f"doctor tiny {CHAIN} --lora x", f"doctor tiny {CHAIN} --seed x", f"{TRAIN} --seed 1.5", f"{TRAIN} lr=",
        f"{TRAIN} --iterations 1.5", f"{TRAIN} lora=x", f"{TRAIN} checkpointing=maybe", f"{TRAIN} operators=x",
        f"eval tiny {CHAIN} --samples x", f"eval tiny {CHAIN} --problems 1.5", "bench run quickstart --jobs many",
        "compare cut cut --margin x", f"play {CHAIN} stochastic=sticky", f"{TRAIN} sampler=vllm address=nonsense"),
    "values out of range": (f"play {CHAIN} --problem -1", f"play {CHAIN} size=-1", f"play {CHAIN} stochastic=sticky:2",
        "check Chain --sample 0", "check Chain --sample -5", f"doctor tiny {CHAIN} --problems 0",
        f"doctor tiny {CHAIN} --samples 0", f"doctor tiny {CHAIN} --lora 0", f"{TRAIN} tokens_per_microbatch=0",
        f"{TRAIN} size=-3", f"{TRAIN} eval_problems=-1", f"{TRAIN} temperature=-1", f"{TRAIN} lora=0",
        f"{TRAIN} replies=retry:0", f"train ppo {CHAIN} --out out lam=2", "bench run quickstart --jobs -1",
        f"eval tiny {CHAIN} --samples 1 --temperature nan", f"eval tiny {CHAIN} --samples 1 --temperature inf",
        "audit-verifier --problems 0", "audit-verifier --timeout 0", "audit-verifier --timeout nan"),
    "huge values": (f"play {CHAIN} --problem 99999999999", f"play {CHAIN} max_tokens=99999999999999999999",
        f"play {CHAIN} size=99999999999999", f"{TRAIN} problems_per_iteration=99999999999999", f"{TRAIN} lr=1e400",
        f"{TRAIN} samples_per_problem=99999999999999", f"{TRAIN} max_tokens=999999999999",
        f"eval tiny {CHAIN} max_tokens=99999", f"eval tiny {CHAIN} --samples 999999999999"),
    "paths that are not there": ("check nowhere.py:mine", "check latin:mine", f"{TRAIN} orm=nowhere",
        f"train rcrl {CHAIN} --out out labels=nowhere", f"eval tiny {CHAIN} --orm nowhere --samples 2",
        f"play {GSM8K} data=nowhere", "bench resume nowhere", "bench report nowhere", "report nowhere",
        "compare nowhere cut", "diff nowhere cut", "audit-verifier --corpus nowhere"),
    "paths of something else": (f"play {GSM8K} data=folder", f"doctor folder {CHAIN}", f"{TRAIN} --policy folder",
        f"{TRAIN} orm=folder", f"{TRAIN} --out empty", f"eval folder {CHAIN}", f"eval cut {CHAIN}",
        f"eval tiny {CHAIN} --out folder", f"eval tiny {CHAIN} --orm folder --samples 2", "bench run folder",
        "bench run quickstart --out empty", "bench resume folder", "bench resume bare", "bench report folder",
        "bench report bare", "report folder", "report bare", "compare folder folder", "compare bare bare",
        "diff folder folder", "audit-verifier --corpus folder", "audit-verifier GSM8K --data folder"),
    "empty files": (f"play {GSM8K} data=empty", f"play {GSM8K} data=gold", "check GSM8K data=empty", "report empty",
        f"play {CHAIN} tokenizer=empty", f"{TRAIN} --policy empty", f"eval empty {CHAIN}",
        f"eval tiny {GSM8K} data=empty",
        "bench run empty.toml", "bench resume empty", "compare empty empty", "diff empty cut",
        "audit-verifier --corpus empty", "audit-verifier GSM8K --data empty", "check empty.py:mine"),
    "wrong encodings": (f"play {GSM8K} data=latin.jsonl", "check GSM8K data=latin.jsonl", f"{TRAIN} --policy latin.txt",
        f"eval tiny {GSM8K} data=latin.jsonl", "bench run latin.toml", "bench run latin.txt", "bench run nul.toml",
        "audit-verifier --corpus latin.txt"),
    "damaged files": (f"{TRAIN} --out cut", f"{TRAIN} --out list", "diff cut cut", "diff cut list",
        "bench run deep.json",
        f"play {GSM8K} data=deep.json"),
    "code that raises": (f"play raises.py:{CHAIN}", "check raises.py:mine", f"train raises.py:Mine {CHAIN} --out out"),
}  # fmt: skip
CASES = [(kind, command) for kind, commands in SWEEP.items() for command in commands]
EXTRAS = [
    ("peft", f"{TRAIN} lora=4", "peft"),
    ("peft", f"doctor tiny {CHAIN} --lora 4", "peft"),
    ("vllm", f"{TRAIN} sampler=vllm", "vllm"),
    ("vllm", f"eval tiny {CHAIN} --sampler vllm", "vllm"),
]


@pytest.fixture
def files(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)


@pytest.mark.usefixtures("files", "own_registry")
@pytest.mark.parametrize(("kind", "command"), CASES, ids=[f"{kind}: {command}" for kind, command in CASES])
def test_one_line_and_nothing_written(refused: Callable[..., str], kind: str, command: str) -> None:
    complaint = refused(command)
    assert "Traceback" not in complaint
    assert 20 < len(complaint) < 2500


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("package", "command", "named"), EXTRAS)
def test_a_missing_extra_is_named_with_how_to_install_it(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, package: str, command: str, named: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    complaint = refused(command)
    assert named in complaint
    assert "install" in complaint
