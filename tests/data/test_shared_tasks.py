"""Equal arguments share one task, and nobody gets one that is out of date."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import reasonenv
from reasonenv.catalog import TASKS
from reasonenv.data import files, shared_tasks
from reasonenv.data.files import read
from reasonenv.data.shared_tasks import SHARED, shared_task
from reasonenv.mdp.make import make_mdp
from reasonenv.tasks import repeatable
from reasonenv.tokenizer import byte_tokenizer
from reasonenv.verify.grade import verify_math

CHAIN = "reasonenv/Chain-Token-v0"


def first_question(name: str, **keys: Any) -> str:
    return str(gymnasium.make(f"reasonenv/{name}-Token-v0", **keys).reset(options={"problem": 0})[1]["question"])


def write_gsm8k(path: Path, question: str, time: int | None = None) -> None:
    """One problem; with a `time`, in nanoseconds, as if the file had been written then."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"question": question, "answer": "1+1=2\n#### 2"}) + "\n")
    if time is not None:
        os.utime(path, ns=(time, time))


@pytest.fixture
def registered() -> Any:
    """Registers tasks that are forgotten behind the test."""
    before = dict(TASKS._entries)
    yield TASKS.register
    TASKS._entries.clear()
    TASKS._entries.update(before)


def test_environments_of_equal_arguments_share_task_problems_and_prompts() -> None:
    one, two = (gymnasium.make(CHAIN, size=5, operands=2).unwrapped.mdp for _ in range(2))
    other = gymnasium.make("reasonenv/Chain-Step-v0", operands=2, size=5, reward="dense", max_tokens=9).unwrapped.mdp
    for mdp in (two, other):
        assert mdp.task is one.task
        assert mdp.problems is one.problems
        assert mdp.prompts is one.prompts


@pytest.mark.parametrize(
    "keys",
    [{"size": 4}, {"size": 5, "seed": 1}, {"size": 5, "split": "test"}, {"size": 5, "operators": "+"}],
    ids=str,
)
def test_other_arguments_are_another_task(keys: dict[str, Any]) -> None:
    plain, other = make_mdp("Chain", size=5), make_mdp("Chain", **keys)
    assert [p.question for p in plain.problems] != [p.question for p in other.problems]


def test_prompts_are_those_of_their_own_tokenizer_and_style() -> None:
    class Doubling(type(byte_tokenizer())):  # type: ignore[misc]
        def encode_all(self, texts: Any) -> list[list[int]]:
            return [ids + ids for ids in super().encode_all(texts)]

    plain = make_mdp("Chain", size=3)
    doubled = make_mdp("Chain", size=3, tokenizer=Doubling(byte_tokenizer().hf))
    shown = make_mdp("Chain", size=3, prompt="few_shot")
    assert [2 * len(p) for p in plain.prompts] == [len(p) for p in doubled.prompts]
    assert plain.tokenizer.decode(shown.prompts[0]).endswith(f"Question: {plain.problems[0].question}\nAnswer: ")
    assert plain.tokenizer.decode(plain.prompts[0]) == f"{plain.problems[0].question}\n"


def test_a_hugging_face_tokenizer_is_wrapped_once_until_it_is_changed() -> None:
    hf = byte_tokenizer().hf
    one, two = make_mdp("Chain", size=3, tokenizer=hf), make_mdp("Chain", size=3, tokenizer=hf)
    assert one.prompts is two.prompts
    hf.chat_template = "{% for m in messages %}<{{ m.content }}>{% endfor %}{% if add_generation_prompt %}:{% endif %}"
    changed = make_mdp("Chain", size=3, tokenizer=hf)
    assert changed.tokenizer.decode(changed.prompts[0]).endswith(">:")
    hf.add_tokens(["=?"])  # one token from here on, behind 256 bytes and EOS
    assert make_mdp("Chain", size=3, tokenizer=hf, prompt="plain").prompts[0][-2] == 257


@pytest.mark.parametrize("age", ["just written", "old"])
def test_a_file_that_was_edited_is_read_again(tmp_path: Path, age: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The edited file has the size and the modification time of the first. Of an old one the disk's own time tells.
    path = tmp_path / "train.jsonl"
    if age == "old":
        monkeypatch.setattr(files, "_TICK", -1)  # every file is older than that
    write_gsm8k(path, "one and one?")
    written = path.stat()
    assert first_question("GSM8K", data=path) == "one and one?"
    write_gsm8k(path, "two and two?", written.st_mtime_ns)
    while age == "old" and path.stat().st_ctime_ns == written.st_ctime_ns:
        write_gsm8k(path, "two and two?", written.st_mtime_ns)
    assert first_question("GSM8K", data=path) == "two and two?"


def test_files_that_appear_vanish_or_lie_elsewhere_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_gsm8k(tmp_path / name / "gsm8k" / "test.jsonl", f"from {name}?")
    keys: dict[str, Any] = {"split": "test", "data": Path("gsm8k")}
    monkeypatch.chdir(tmp_path / "a")
    assert make_mdp("GSM8K", **keys).problems[0].question == "from a?"
    with pytest.raises(reasonenv.UserError, match="no examples"):
        gymnasium.make("reasonenv/GSM8K-Token-v0", **keys, prompt="few_shot")
    write_gsm8k(Path("gsm8k") / "train.jsonl", "an example?")
    assert make_mdp("GSM8K", **keys).task.examples == ()  # of two, three and four steps: there is none
    monkeypatch.chdir(tmp_path / "b")  # the same words now name another folder
    assert make_mdp("GSM8K", **keys).problems[0].question == "from b?"
    monkeypatch.setenv("REASONENV_DATA", str(tmp_path / "a"))
    assert first_question("GSM8K", split="test") == "from a?"
    monkeypatch.setenv("REASONENV_DATA", str(tmp_path / "b"))
    assert first_question("GSM8K", split="test") == "from b?"
    (tmp_path / "b" / "gsm8k" / "test.jsonl").unlink()
    with pytest.raises(reasonenv.UserError, match="not found"):
        gymnasium.make("reasonenv/GSM8K-Token-v0", split="test")


def test_examples_are_looked_for_again_where_there_were_none(tmp_path: Path) -> None:
    write_gsm8k(tmp_path / "test.jsonl", "tested?")
    assert make_mdp("GSM8K", data=tmp_path, split="test").task.examples == ()
    steps = "\n".join(["1+1=2", "2+2=4"])
    (tmp_path / "train.jsonl").write_text(json.dumps({"question": "shown?", "answer": f"{steps}\n#### 4"}) + "\n")
    (example,) = make_mdp("GSM8K", data=tmp_path, split="test").task.examples
    assert example.question == "shown?"


def test_a_factory_that_is_not_marked_is_called_every_time_and_a_marked_one_once(registered: Any) -> None:
    calls: list[str] = []

    def counting(*, split: str = "train") -> reasonenv.Task:
        calls.append(split)
        problem = reasonenv.Problem("p", f"What is {len(calls)}?", str(len(calls)))
        return reasonenv.Task("Counting", split, [problem], verify_math)

    registered("Counting", counting)
    assert [make_mdp("Counting").problems[0].answer for _ in range(3)] == ["1", "2", "3"]
    registered("Counting", repeatable(counting))
    assert [make_mdp("Counting").problems[0].answer for _ in range(3)] == ["4", "4", "4"]


def test_what_is_registered_anew_is_used_from_then_on(registered: Any) -> None:
    def made(answer: str) -> Callable[..., reasonenv.Task]:
        return reasonenv.from_problems([("How much?", answer), ("And now?", answer)])

    registered("Own", made("1"))
    before = make_mdp("Own")
    assert make_mdp("Own").task is before.task
    registered("Own", made("2"))
    assert (before.problems[0].answer, make_mdp("Own").problems[0].answer) == ("1", "2")


def test_a_users_file_that_is_read_by_a_repeatable_factory_may_be_edited(tmp_path: Path, registered: Any) -> None:
    path = tmp_path / "own.csv"

    @repeatable
    def own(*, split: str = "train") -> reasonenv.Task:
        rows = read(path)
        problems = [reasonenv.Problem(f"own/{i}", r.text("question"), r.value("answer")) for i, r in enumerate(rows)]
        return reasonenv.Task("Own", split, problems, verify_math)

    registered("Own", own)
    for answer in ("7", "8"):
        path.write_text(f"question,answer\nWhat?,{answer}\n")
        assert [make_mdp("Own").problems[0].answer for _ in range(2)] == [answer] * 2


def test_a_factory_that_failed_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("no json\n")
    for _ in range(2):
        with pytest.raises(reasonenv.UserError, match="line 1"):
            shared_task("GSM8K", data=path)
    write_gsm8k(path, "mended?")
    assert shared_task("GSM8K", data=path).problems[0].question == "mended?"


def test_a_value_of_another_type_is_refused_although_it_is_equal() -> None:
    assert len(make_mdp("Chain", size=1).problems) == 1
    with pytest.raises(reasonenv.UserError, match="size is True"):
        make_mdp("Chain", size=True)


def test_only_so_many_tasks_are_kept() -> None:
    oldest = shared_task("Chain", size=1, seed=10**6)
    for seed in range(SHARED):
        shared_task("Chain", size=1, seed=seed)
    assert shared_tasks._slot.cache_info().currsize == SHARED
    assert shared_task("Chain", size=1, seed=10**6) is not oldest


def test_threads_get_the_same_problems() -> None:
    def questions(_: int) -> list[str]:
        return [p.question for p in make_mdp("Countdown", size=50, seed=77).problems]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(questions, range(16)))
    assert answers == [answers[0]] * 16


def test_copies_and_changed_copies_of_a_shared_task_are_right() -> None:
    task = shared_task("Chain", size=4)
    assert pickle.loads(pickle.dumps(task)) is task
    turned = replace(task, problems=tuple(task.problems)[::-1])
    assert [p.id for p in copy.deepcopy(turned).problems] == [p.id for p in task.problems][::-1]


def test_an_environment_that_is_stepped_does_not_move_its_neighbour() -> None:
    one, two = (gymnasium.make(CHAIN, size=4) for _ in range(2))
    one.reset(seed=1)
    before, _ = two.reset(seed=2)
    expected = before["tokens"].copy()
    for token in b"1+1=2":
        one.step(token)
    assert (two.step(ord("7"))[0]["tokens"][: before["length"]] == expected[: before["length"]]).all()
    assert (two.reset(seed=2)[0]["tokens"] == expected).all()
