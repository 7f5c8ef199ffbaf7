"""A task from a user's own problems: three lines, any format, disjoint splits, and errors that say what to mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import reasonenv
from reasonenv import Problem, Reason, UserError, Verdict, from_problems
from reasonenv.mdp.make import make_env

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


def test_a_csv_error_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n1+1?,2\n2+2?,\n")
    with pytest.raises(UserError, match=r"a\.csv, line 3: field 'answer' is ''"):
        from_problems(tmp_path / "a.csv")
