"""A user's mistake: exit code 2, one line on stderr that names it and what would be right, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

CHAIN = "reasonenv/Chain-Response-v0"
TRAIN = f"train grpo {CHAIN} --out out"
SUITE = f"""
envs = ["{CHAIN}"]
seeds = [0]
[inits.prior]
iterations = 1
[agents.grpo]
iterations = 1
"""

Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("command", "named", "nearest"),
    [
        ("lsit", "'lsit'", "list"),
        ("list agent", "'agent'", "agents"),
        ("list --jsn", "'--jsn'", "--json"),
        ("play reasonenv/Chian-Step-v0", "'reasonenv/Chian-Step-v0'", "reasonenv/Chain-Step-v0"),
        ("play reasonenv/Chain-Stop-v0", "'reasonenv/Chain-Stop-v0'", "reasonenv/Chain-Step-v0"),
        (f"play {CHAIN} operand=3", "'operand'", "operands"),
        (f"train gropo {CHAIN} --out out", "'gropo'", "grpo"),
        ("train grpo reasonenv/GSM8-Token-v0 --out out", "'reasonenv/GSM8-Token-v0'", "reasonenv/GSM8K-Token-v0"),
        ("train grpo Chain --out out", "'Chain'", "reasonenv/Chain-Response-v0"),
        (f"{TRAIN} --policy tiyn", "'tiyn'", "tiny"),
        (f"{TRAIN} lrr=1", "'lrr'", "lr"),
        (f"{TRAIN} max_token=9", "'max_token'", "max_tokens"),
        (f"{TRAIN} reward=spars", "'spars'", "sparse"),
        (f"{TRAIN} prompt=plane", "'plane'", "plain"),
        (f"{TRAIN} sampler=tosch", "'tosch'", "torch"),
        (f"{TRAIN} dtype=float7", "'float7'", "float32"),
        ("eval smollm-135m reasonenv/Chain-Token-v0", "'smollm-135m'", "smollm2-135m"),
        ("eval tiny reasonenv/Chain-Tokem-v0", "'reasonenv/Chain-Tokem-v0'", "reasonenv/Chain-Token-v0"),
        (f"eval tiny {CHAIN} digit=1", "'digit'", "digits"),
        (f"eval tiny {CHAIN} --dtype float7", "'float7'", "float32"),
        ("bench run quikstart", "'quikstart'", "quickstart"),
        ("bench rnu quickstart", "'rnu'", "run"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(refused: Refused, command: str, named: str, nearest: str) -> None:
    complaint = refused(command)
    assert named in complaint
    assert nearest in complaint.split(named, 1)[1]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("max_tokens=0", "max_tokens is 0; a response needs at least 2"),
        ("lr=abc", "lr is 'abc'; it must be float"),
        ("lr=-1", "lr is -1.0; it must be greater than 0"),
        ("lr=inf", "lr is 'inf'; it must be float and finite"),
        ("lr=nan", "lr is 'nan'; it must be float and finite"),
        ("weight_decay=-1", "weight_decay is -1.0; it must be at least 0"),
        ("clip=-0.1", "clip is -0.1; it must be greater than 0"),
        ("samples_per_problem=1", "samples_per_problem is 1; a group baseline needs at least 2"),
        ("samples_per_problem=2.5", "samples_per_problem is '2.5'; it must be int"),
        ("problems_per_iteration=0", "problems_per_iteration is 0; it must be at least 1, or none"),
        ("eval_problems=0", "eval_problems is 0; it must be at least 1"),
        ("--iterations -1", "iterations is -1; it must be at least 0"),
        ("--iterations few", "iterations is 'few'; it must be int"),
        ("--lr abc", "lr is 'abc'; it must be float"),
        ("--lr", "--lr has no value; settings are written as lr=1e-4 or --lr 1e-4"),
        ("lora=0", "lora is 0; it must be at least 1, or none"),
        ("operands=99", "operands is 99; it must be 2 to 12"),
        ("operands=2 size=5000", "size is 5000, but with these settings Chain has "),
        ("lr", "'lr' is not KEY=VALUE"),
        ("=3", "'=3' is not KEY=VALUE"),
        ("--seeds 3", "unknown key 'seeds'; did you mean seed"),
        ("--out below/a/file", "cannot write to --out below/a/file: "),
        ("--out below", "cannot write to --out below: it is a file; give a folder"),
    ],
)
def test_a_bad_setting_of_train_is_told_before_the_policy_is_looked_for(
    refused: Refused, tmp_path: Path, settings: str, told: str
) -> None:
    (tmp_path / "below").write_text("a file")
    assert told in refused(f"{TRAIN} --policy nowhere/to/be/found {settings}")


@pytest.mark.parametrize("setting", ["top_p=0.9", "top_k=20", "min_p=0.1"])
def test_training_refuses_a_truncated_sampler_and_says_where_there_is_one(refused: Refused, setting: str) -> None:
    told = refused(f"train grpo {CHAIN} --out out {setting}")
    assert f"{setting.split('=')[0]} is {setting.split('=')[1]}; training draws from the whole distribution" in told
    assert "--top-k or --top-p of reasonenv eval" in told


@pytest.mark.parametrize("setting", ["solutions_per_step=0", "epochs=0", "solutions_per_problem=0", "temperature=0"])
def test_expert_iteration_refuses_what_it_would_stumble_over(refused: Refused, setting: str) -> None:
    assert f"{setting.split('=')[0]} is 0" in refused(f"train ei {CHAIN} --out out {setting}")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--samples -1", "samples is -1; it must be at least 0"),
        ("--problems 0", "problems is 0; it must be at least 1"),
        ("--temperature -1", "temperature is -1.0; it must be at least 0"),
        ("--top-k -1", "top_k is -1; it must be at least 0"),
        ("--top-p 1.5", "top_p is 1.5; it must be at most 1"),
        ("sampler=vlm", "unknown sampler 'vlm'; did you mean vllm?"),
        ("address=http://x", "address is 'http://x' and sampler is torch; only sampler=vllm can be at an address"),
        ("max_tokens=1", "max_tokens is 1; a response needs at least 2"),
        ("--out below/a/file", "cannot write to --out below/a/file: "),
        ("--out answers.jsonl", "give a name that ends in .parquet"),
        ("lr", "'lr' is not KEY=VALUE"),
    ],
)
def test_a_bad_option_of_eval_is_told_before_the_policy_is_looked_for(
    refused: Refused, tmp_path: Path, options: str, told: str
) -> None:
    (tmp_path / "below").write_text("a file")
    assert told in refused(f"eval nowhere/to/be/found {CHAIN} {options}")


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there(refused: Refused, device: str) -> None:
    assert f"device '{device}' cannot be used" in refused(f"eval tiny {CHAIN} --device {device}")
    assert f"device '{device}' cannot be used" in refused(f"{TRAIN} device={device}")


def test_a_prompt_longer_than_the_context(refused: Refused, tmp_path: Path) -> None:
    for split in ("train", "test"):
        record = {"question": "How many? " * 60, "answer": "It is 1+1=<<1+1=2>>2.\n#### 2"}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(record))
    complaint = refused(f"train grpo reasonenv/GSM8K-Response-v0 --out out data={tmp_path}")
    # 599 letters after the ends are cut, and the line break of a plain prompt; one byte is one token
    assert "the longest prompt of GSM8K has 600 tokens" in complaint
    assert "over the context of tiny, 512" in complaint


@pytest.mark.parametrize("command", [TRAIN.replace("Chain", "GSM8K"), "eval tiny reasonenv/GSM8K-Response-v0"])
def test_missing_data_names_the_three_ways_to_give_it(refused: Refused, command: str) -> None:
    complaint = refused(f"{command} data=nowhere")
    assert "data='nowhere'" in complaint
    for way in ("data=PATH", "REASONENV_DATA=FOLDER", "openai/gsm8k"):
        assert way in complaint


@pytest.mark.usefixtures("own_registry")
def test_an_empty_task(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text(
        "from reasonenv import Task, grade, register_task\n"
        "register_task('Empty', lambda split='train': Task('Empty', split, [], grade))\n"
    )
    told = "task 'Empty' has no problems in split 'train'"
    assert told in refused("train grpo empty.py:reasonenv/Empty-Response-v0 --policy nowhere/to/be/found --out out")
    assert told in refused("play empty.py:reasonenv/Empty-Step-v0")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("*.safetensors",), "has no weights (*.safetensors)"),
        (("tok*", "special*", "vocab*"), "has no tokenizer (tokenizer.json)"),
        (("config.json",), "has no config.json"),
    ],
)
def test_a_model_folder_that_lacks_a_part(
    refused: Refused, damaged: Callable[..., Path], missing: tuple[str, ...], told: str
) -> None:
    folder = damaged(*missing)
    for command in (TRAIN, f"eval tiny {CHAIN}".replace("tiny", str(folder))):
        complaint = refused(f"{command} --policy {folder}" if command == TRAIN else command)
        assert f"policy folder {folder} {told}" in complaint


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        ("model.safetensors", lambda whole: whole[:1000], "cannot be read"),
        ("config.json", lambda whole: b"{}", "cannot be read"),
        ("config.json", lambda whole: whole[:20], "is damaged"),
        (
            "tokenizer_config.json",
            lambda whole: json.dumps({k: v for k, v in json.loads(whole).items() if k != "eos_token"}).encode(),
            "has no EOS token",
        ),
    ],
)
def test_a_model_folder_with_a_broken_part(
    refused: Refused, damaged: Callable[..., Path], file: str, damage: Callable[[bytes], bytes], told: str
) -> None:
    folder = damaged()
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    complaint = refused(f"{TRAIN} --policy {folder}")
    assert str(folder) in complaint
    assert told in complaint


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ("nowhere.py:Mine", "nowhere.py"),
        ("no_such_module:Mine", "cannot import 'no_such_module'"),
        ("mine.py:Mien", "unknown name in 'mine.py' 'Mien'; did you mean Mine?"),
        ("mine.py:Mine", "it must be a class derived from reasonenv.learn.agent.Agent"),
        ("broken.py:Mine", "(broken.py, line 2)"),
        (":Mine", "':Mine' names no module; write module:name or file.py:name"),
    ],
)
def test_an_agent_of_the_user_that_is_none(refused: Refused, tmp_path: Path, agent: str, told: str) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    pass\n")
    (tmp_path / "broken.py").write_text("class Mine:\n    learn(\n")
    assert told in refused(f"train {agent} {CHAIN} --out out")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("--seed 1", "seed is 0 there, 1 here"),
        ("lr=1e-5", "lr is 0.003 there, 1e-05 here"),
        ("operands=3", "operands is 2 there, 3 here"),
    ],
)
def test_a_folder_of_another_run_names_what_differs(refused: Refused, prior: Path, change: str, field: str) -> None:
    there = json.loads((prior / "run.json").read_text())
    keys = [f"{key}={value}" for room in ("agent_keys", "env_keys") for key, value in there[room].items()]
    settings = [*keys, "eval_problems=8", "eval_every=8", "--iterations", "8", "--out", str(prior), change]
    complaint = refused(f"train sft {CHAIN} {' '.join(settings)}")
    assert f"{prior} holds another run, settings differ: {field}" in complaint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seeds = [", "not a TOML file"),
        ("seads = [1]\n" + SUITE, "suite.toml: unknown setting 'seads'; did you mean seeds?"),
        (SUITE.replace("seeds = [0]\n", ""), "suite.toml: seeds is missing"),
        (SUITE.replace("seeds = [0]", "seeds = []"), "suite.toml: seeds is (); it must have at least 1 item"),
        (SUITE.replace("seeds = [0]", "seeds = 3"), "suite.toml: seeds is 3; it must be a list of int"),
        (SUITE.replace("seeds = [0]", "seeds = [0, 0]"), "suite.toml, asks twice for grpo-Chain-Response-seed0-"),
        (SUITE.replace("agents.grpo", "agents.gropo"), "suite.toml, gropo: unknown agent 'gropo'; did you mean grpo"),
        (SUITE.replace("Chain", "Chian"), "unknown environment 'reasonenv/Chian-Response-v0'; did you mean"),
        ("policy = 'tiyn'\n" + SUITE, "suite.toml: unknown policy 'tiyn'; did you mean tiny?"),
        ("ks = [0]\n" + SUITE, "suite.toml: ks is [0]; each must be at least 1"),
        (SUITE + "lrr = 1", "suite.toml, grpo: unknown key 'lrr'; did you mean lr or lora?"),
        (SUITE.replace("iterations = 1", "iterations = 'few'"), "iterations is 'few'; it must be int"),
        (SUITE + "[keys]\nmax_tokens = 0", "max_tokens is 0; a response needs at least 2"),
        (SUITE + "[keys]\noperands = 99", "operands is 99; it must be 2 to 12"),
    ],
)
def test_a_bad_suite_file_is_told_before_anything_runs(refused: Refused, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "suite.toml").write_text(text)
    assert told in refused("bench run suite.toml --out out")


@pytest.mark.parametrize("command", ["report", "bench report"])
def test_a_folder_that_is_no_suite(refused: Refused, command: str) -> None:
    assert "nowhere is not the folder of a suite: it has no suite.json" in refused(f"{command} nowhere")


def test_a_suite_that_cannot_be_written(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "below").write_text("a file")
    assert "cannot write to --out below/a/file" in refused("bench run quickstart --out below/a/file")
    assert "--jobs is 0; it must be at least 1" in refused("bench run quickstart --jobs 0")


@pytest.mark.parametrize("command", [f"train grpo {CHAIN} --out", "report x --png=yes", "bench run quickstart --scale"])
def test_an_option_without_its_value_or_a_flag_with_one_is_one_line(refused: Refused, command: str) -> None:
    assert command.split()[-1].partition("=")[0] in refused(command)


@pytest.mark.parametrize(
    ("setting", "instead"),
    [("seed=7", "`seeds`"), ("seeds=7", "`seeds`"), ("eval_samples=9", "`ks`"), ("iterations=3", "changes nothing")],
)
def test_what_a_suite_decides_elsewhere_is_no_setting_of_it(
    refused: Refused, tmp_path: Path, setting: str, instead: str
) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    assert instead in refused(f"bench run s.toml {setting} --dry-run")
