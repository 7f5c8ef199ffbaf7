"""A task from a user's own problems: three lines, any format, disjoint splits, and errors that say what to mend."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import reasonenv
from reasonenv import Problem, Reason, UserError, Verdict, from_problems
from reasonenv.learn.dataset import pack, unpack
from reasonenv.mdp.make import make_env
from reasonenv.measures.questions import read_questions, write_questions
from reasonenv.tasks import render_prompt
from reasonenv.tokenizer import Tokenizer, byte_tokenizer

PAIRS = [(f"{n} + 1?", str(n + 1)) for n in range(20)]


def test_three_lines_make_an_environment() -> None:
    reasonenv.register_task("Plus", from_problems(PAIRS))
    env = gymnasium.make("reasonenv/Plus-Response-v0")
    _, info = env.reset(seed=0)
    assert info["question"] in dict(PAIRS)
    for granularity in reasonenv.catalog.GRANULARITIES:
        del gymnasium.registry[f"reasonenv/Plus-{granularity}-v0"]
    del reasonenv.catalog.TASKS._entries["Plus"]


def test_a_factory_needs_no_name() -> None:
    env = make_env(from_problems(PAIRS), "response")
    env.reset(options={"problem": 0})
    tokens = env.mdp.tokenizer.encode(f"#### {env.mdp.task.problems[0].answer}")
    assert env.step(tokens)[1] == 1.0


def test_splits_are_disjoint_whole_and_independent_of_order() -> None:
    twice = [*PAIRS, *PAIRS]
    train, test = (from_problems(twice)(split=split).problems for split in ("train", "test"))
    assert len(train) + len(test) == 40
    assert len(test) == 2 * 2  # a tenth of 20 questions, each of them twice
    assert not {p.question for p in train} & {p.question for p in test}
    again = from_problems(PAIRS[::-1])(split="test").problems
    assert {p.question for p in again} == {p.question for p in test}


def test_every_format_gives_the_same_problems(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"q": "1+1?", "a": 2, "s": "1+1=2"}\n{"q": "a, b", "a": "x", "s": ["so", "x"]}\n'
    )
    (tmp_path / "a.json").write_text('[{"q": "1+1?", "a": 2, "s": ["1+1=2"]}, {"q": "a, b", "a": "x", "s": "so\\nx"}]')
    (tmp_path / "a.csv").write_text('q,a,s\n1+1?,2,1+1=2\n"a, b",x,"so\nx"\n')
    rows = [{"q": "1+1?", "a": 2, "s": ["1+1=2"]}, {"q": "a, b", "a": "x", "s": ["so", "x"]}]
    sources: list[Any] = [rows, *(tmp_path / f"a.{kind}" for kind in ("jsonl", "json", "csv"))]
    found = []
    for source in sources:
        make = from_problems(source, question="q", answer="a", steps="s", test=0.5)
        found.append(sorted((make(split=split).problems[0] for split in ("train", "test")), key=lambda p: p.id))
    assert found[0] == found[1] == found[2] == found[3]
    assert [(p.question, p.answer, p.steps) for p in found[0]] == [
        ("1+1?", "2", ("1+1=2",)),
        ("a, b", "x", ("so", "x")),
    ]


def test_the_verifier_is_a_kind_or_a_function() -> None:
    latex = from_problems([("half?", "\\frac{1}{2}"), ("third?", "1/3")])
    task = latex(split="train")
    assert task.judge(f"\\boxed{{{task.problems[0].answer}}}", task.problems[0]).correct

    def long(text: str, problem: Problem) -> Verdict:
        return Verdict(Reason.of(len(text) > 3), text, problem.answer)

    own = from_problems(PAIRS, verifier=long)()
    assert own.judge("long enough", own.problems[0]).correct
    code = from_problems(PAIRS, verifier="code")()
    named = from_problems(PAIRS, verifier="reasonenv.verify.sandbox.unit_tests:verify_code")()
    assert code.verify is named.verify

    # a verifier that gives no canonical form: answers are the same if their texts are
    mdp = make_env(from_problems(PAIRS, verifier=long), "response").mdp
    one, other, third = (
        mdp.verify(text, mdp.task.problems[0], terminated=True).canonical for text in ("no  way ", "no way", "No way")
    )
    assert one == other != third


def test_a_test_set_of_its_own() -> None:
    make = from_problems(PAIRS[:5], test=PAIRS[5:8])
    assert [len(make(split=split).problems) for split in ("train", "test")] == [5, 3]
    assert len(make(limit=2).problems) == 2
    with pytest.raises(UserError, match="1 questions are in both splits"):
        from_problems(PAIRS[:5], test=PAIRS[4:8])


@pytest.mark.parametrize(
    ("source", "settings", "told"),
    [
        ("nowhere.csv", {}, "there is no file nowhere.csv"),
        ("hub:gsm8k", {}, "must read hub:owner/name/config/split"),
        (PAIRS, {"verifier": "maths"}, "unknown verifier 'maths'; did you mean math"),
        (PAIRS, {"test": 1.5}, "test is 1.5 of 20 questions"),
        (PAIRS[:1], {}, "of 1 questions; it must be between 0 and 1, of at least 2"),
        ([*PAIRS, 7], {}, "problem 20 is 7; it must be"),
        ([{"question": "?", "anwser": "1"}], {}, "problem 0: unknown column 'answer'; did you mean anwser"),
        ([{"question": "", "answer": "1"}], {}, "problem 0: field 'question' is ''"),
        ([("?", None)], {}, "problem 0: field 'answer' is None"),
    ],
)
def test_a_mistake_says_what_to_mend(source: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        from_problems(source, **settings)
    assert told in str(error.value)


def test_other_columns_are_kept_as_plain_values(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"q": "1+1?", "a": 2, "level": 0.5, "tags": ["x", "y"], "who": {"name": "A"}, "none": null}\n'
        '{"q": "2+2?", "a": 4, "level": 3, "tags": [], "who": {}, "none": true}\n'
    )
    make = from_problems(tmp_path / "a.jsonl", question="q", answer="a", test=0.5)
    metas = sorted((make(split=split).problems[0].meta for split in ("train", "test")), key=lambda meta: meta["level"])
    assert metas == [
        {"level": 0.5, "tags": ["x", "y"], "who": {"name": "A"}, "none": None},
        {"level": 3, "tags": [], "who": {}, "none": True},
    ]
    assert isinstance(metas[0]["level"], float)  # a file's decimals are exact; a reward computes with floats
    rows = [{"question": str(n), "answer": n, "at": date(2026, 1, n), "x": np.float32(n)} for n in (1, 2)]
    problem = from_problems(rows, test=0.5)().problems[0]
    assert problem.meta == {"at": f"2026-01-0{problem.answer}", "x": float(problem.answer)}


def test_columns_survive_files_buffers_and_what_a_run_leaves(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "answer": n, "level": n / 4, "tags": ["x"]} for n in range(4)]
    mdp = make_env(from_problems(rows), "response").mdp
    episode = mdp.demonstration(0)
    assert unpack(pack([episode]))[0].problem == episode.problem == mdp.problems[0]
    write_questions(
        tmp_path / "problems.jsonl", [replace(mdp.problems[0], meta={**episode.problem.meta, "o": object()})]
    )
    held_out = read_questions(tmp_path / "problems.jsonl")[episode.problem.id]
    assert held_out.columns == {"level": episode.problem.meta["level"]}  # plain values; an object is in no file
    assert json.loads((tmp_path / "problems.jsonl").read_text())["meta"]["tags"] == ["x"]


def test_broken_records_can_be_left_out_with_a_count() -> None:
    rows: list[Any] = [{"question": f"{n}?", "answer": n} for n in range(4)]
    rows += [{"question": "4?", "answer": None}, {"question": " ", "answer": 5}, {"answer": 6}, 7]
    with pytest.raises(UserError, match="problem 4: field 'answer' is None"):
        from_problems(rows)
    with pytest.warns(UserWarning, match="Own: 4 of 8 records are left out; the first: problem 4: field 'answer'"):
        make = from_problems(rows, skip_broken=True)
    left = [problem.id for split in ("train", "test") for problem in make(split=split).problems]
    assert sorted(left) == [f"Own/{n}" for n in range(4)]  # each is still called by its place
    with pytest.raises(UserError, match="unknown column 'answr'; did you mean answer"):  # no record has it
        from_problems(rows[:4], answer="answr", skip_broken=True)


def test_a_system_prompt_is_written_by_the_chat_template() -> None:
    plain = from_problems(PAIRS, system="Be brief.")()
    assert "Be brief." not in render_prompt(plain, plain.problems[0], byte_tokenizer())  # which has no template
    told = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
    )
    deaf = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    strict = "{{ raise_exception('System role not supported') }}"
    prompts = []
    for template in (told, deaf, strict):
        hf = copy.deepcopy(byte_tokenizer().hf)
        hf.chat_template = template
        try:
            prompts.append(render_prompt(plain, plain.problems[0], Tokenizer(hf)))
        except UserError as error:
            prompts.append(str(error))
    assert prompts[0] == f"<system>Be brief.<user>{plain.problems[0].question}\n{plain.instruction}<a>"
    assert "leaves a system prompt out" in prompts[1]
    assert "refuses a system prompt: System role not supported" in prompts[2]


def test_one_alias_of_a_column_is_a_text_and_not_its_letters() -> None:
    rows = [{"question": f"capital {n}?", "answer": f"Paris {n}", "aliases": f"Lutetia {n}"} for n in "ab"]
    task = from_problems(rows, verifier="text", test=0.5)()
    problem = task.problems[0]
    assert task.judge(f"#### {problem.meta['aliases']}", problem).correct
    assert not task.judge("#### L", problem).correct


def test_a_csv_error_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n1+1?,2\n2+2?,\n")
    with pytest.raises(UserError, match=r"a\.csv, line 3: field 'answer' is ''"):
        from_problems(tmp_path / "a.csv")
