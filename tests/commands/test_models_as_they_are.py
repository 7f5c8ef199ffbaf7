"""Checkpoints with more rows than tokens, and with several ends of a turn, from a folder through the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from reasonenv.cli import main
from reasonenv.tokenizer import byte_tokenizer

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16", "max_tokens=16")
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<end_of_turn>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def saved(folder: Path, spare: int, *, template: str | None = None) -> str:
    """A random model with so many rows more than its tokenizer has tokens; they are the likeliest of all."""
    hf = byte_tokenizer().hf
    if template is not None:
        hf.add_tokens(["<end_of_turn>"], special_tokens=True)
        hf.chat_template = template
    config = LlamaConfig(
        vocab_size=len(hf) + spare,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        eos_token_id=hf.eos_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[len(hf) :] *= 50
    model.save_pretrained(folder)
    hf.save_pretrained(folder)
    return str(folder)


def findings(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["doctor", *words, "--json"]) in (0, 1)
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("spare", [1, 7])
def test_rows_that_are_no_token_are_never_drawn(spare: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = saved(tmp_path / "wide", spare)
    seen = findings(capsys, policy, ENV, *EASY)
    assert f"{spare} of {257 + spare} ids of the model are no token" in seen["tokenizer"]["seen"]
    assert seen["gap"]["state"] == "fine"
    assert main(["eval", policy, ENV, *EASY, "--samples", "4", "--problems", "4", "--json"]) == 0
    for agent, keys in {
        "grpo": ("problems_per_iteration=2", "samples_per_problem=4"),
        "dppo": ("problems_per_iteration=2", "samples_per_problem=4"),
        "sft": ("problems_per_iteration=4",),
        "random_tokens": (),
    }.items():
        out = str(tmp_path / agent)
        short = ("--iterations", "2", "eval_problems=4", "eval_samples=2", "--out", out, "--json")
        assert main(["train", agent, ENV, "--policy", policy, *EASY, *keys, *short]) == 0, capsys.readouterr().err


def test_the_ends_of_a_turn_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = findings(capsys, saved(tmp_path / "turns", 0, template=TEMPLATE), ENV, *EASY)
    assert "a response ends at <eos>, <end_of_turn>; demonstrations end with <end_of_turn>" in seen["tokenizer"]["seen"]
    assert seen["template"]["state"] == "fine"
    open_ended = TEMPLATE.replace("<end_of_turn>", "|")
    seen = findings(capsys, saved(tmp_path / "text", 0, template=open_ended), ENV, *EASY)
    assert "closes an answer with ordinary text and not with <eos>" in seen["template"]["seen"]
    assert seen["template"]["state"] == "note"
