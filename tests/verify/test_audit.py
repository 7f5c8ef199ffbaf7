"""The audit: the corpus and the attacks hold, and it finds what is wrong where something is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.catalog import TASKS, check_keys, task_settings
from reasonenv.cli import main
from reasonenv.core import Problem, Reason, Verdict
from reasonenv.data.published import SETS
from reasonenv.errors import UserError
from reasonenv.tasks import Task
from reasonenv.verify.audit import Trial, attacks, check, check_golds, corpus, tally
from reasonenv.verify.grade import verify_math

PATIENCE = 60.0  # seconds; the tests are about verdicts, also on a machine that is busy


def test_no_false_accept_and_at_most_one_false_reject_in_a_hundred() -> None:
    trials = corpus()
    rows = check(trials, PATIENCE)
    rejected = [line for row in rows for line in row.rejected]
    right = sum(trial.right for trial in trials)
    assert len(trials) >= 4_000
    assert 0.4 <= right / len(trials) <= 0.6
    assert len(rows) >= 40
    assert [row.accepted for row in rows if row.accepted] == []
    assert len(rejected) <= 0.01 * right, rejected
    assert sum(row.right + row.wrong for row in rows) == len(trials)


def test_no_pair_of_the_corpus_stands_twice_and_none_contradicts_its_reverse() -> None:
    # equality is symmetric, so a pair and its reverse have one truth; a pair that stands twice would count twice
    trials = corpus()
    truths = {(trial.kind, trial.text, trial.gold): trial.right for trial in trials}
    assert len(truths) == len(trials)
    boxed = {(trial.kind, trial.answer, trial.gold): trial.right for trial in trials if trial.answer is not None}
    reverses = [(right, boxed.get((kind, gold, answer), right)) for (kind, answer, gold), right in boxed.items()]
    assert [pair for pair in reverses if pair[0] != pair[1]] == []
    assert [key for key, right in boxed.items() if key[1] == key[2] and not right] == []


def test_no_attack_is_accepted() -> None:
    rows = check(attacks(), PATIENCE)
    assert [row.accepted for row in rows if row.accepted] == []
    assert [row.category for row in rows if row.right] == []


def test_what_is_misjudged_is_counted_and_told() -> None:
    a, b = Trial("c", "#### 1", "2", False), Trial("c", "#### 3", "3", True)
    accept, reject = (
        Verdict(Reason.CORRECT, "1", "2"),
        Verdict(Reason.ERROR, "3", "3"),
    )
    (row,) = tally([(a, accept), (b, reject), (b, accept), (a, reject)])
    assert (row.right, row.wrong, row.failed) == (2, 2, 2)
    assert row.accepted == ("'1' against '2': correct",)
    assert row.rejected == ("'3' against '3': error",)


def whole(text: str, problem: Problem) -> Verdict:
    """A verifier of whole numbers alone."""
    if problem.answer.isdigit():
        return verify_math(text, problem)
    return Verdict(Reason.UNPARSABLE_GOLD, None, problem.answer)


def test_a_gold_that_its_own_verifier_refuses_is_found() -> None:
    problems = [Problem("1", "?", "18"), Problem("2", "?", "eighteen"), Problem("3", "?", "3")]
    task = Task("Broken", "test", problems, whole)
    row = check_golds(task, "Broken")
    assert (row.category, row.right, row.rejected) == (
        "Broken",
        3,
        ("'#### eighteen' against 'eighteen': unparsable_gold",),
    )
    assert check_golds(task, "Broken", 1).rejected == ()
    assert check_golds(Task("None", "test", [Problem("1", "?", "")], verify_math), "None").right == 0


PAIRS = """# made up
[fractions]
1/2 ≡ 0.5
3 ≡ 4
5 ≢ 6
[responses kind=numeric raw]
#### 7 ≡ 7
It is 8.⏎So the answer is 8. ≡ 8
It is 8.⏎So the answer is 8. ≢ 9
"""


def test_the_command_prints_rates_with_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text(PAIRS, encoding="utf-8")
    command = ["audit-verifier", "Chain", "--problems", "20", "--corpus", str(pairs)]
    assert main([*command, "--json"]) == 0  # rejecting 3 for 4 is right: the pair is false
    told = json.loads(capsys.readouterr().out)
    assert told["rates"]["corpus"]["false rejects"]["rate"] == 0.25
    assert told["rates"]["corpus"]["false accepts"]["rate"] == told["rates"]["attacks"]["false accepts"]["rate"] == 0
    # Wilson for 0 of 20: z^2 / (n + z^2) = 3.8415 / 23.8415
    assert told["rates"]["golds"]["false rejects"]["high"] == pytest.approx(0.16113, abs=1e-5)
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "falsely rejected, fractions: '3' against '4': wrong" in out
    rows = [line.split() for line in out.splitlines()]
    # columns: right, rejected, wrong, accepted, failed
    assert ["fractions", "2", "1", "1", "0", "0"] in rows
    assert ["responses", "2", "0", "1", "0", "0"] in rows
    assert ["total", "4", "1", "2", "0", "0"] in rows
    assert ["Chain", "test", "20", "0", "0", "0", "0"] in rows


def test_a_false_accept_and_an_unverified_gold_are_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REASONENV_DATA", raising=False)
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("5 ≢ 5\n", encoding="utf-8")
    assert main(["audit-verifier", "--corpus", str(pairs)]) == 1
    assert "falsely accepted, pairs: '5' against '5': correct" in capsys.readouterr().out
    pairs.write_text("5 ≡ 5\n", encoding="utf-8")
    assert main(["audit-verifier", "--corpus", str(pairs)]) == 0
    script = tmp_path / "script.py"
    script.write_text(
        "from reasonenv import Reason, Verdict, from_problems\n"
        "def verify(text, problem): return Verdict(Reason.of(problem.answer == '1'), text, problem.answer)\n"
        "mine = from_problems([('a?', '1'), ('b?', '2')], test=0.5, verifier=verify)\n"
    )
    codes = [
        main(["audit-verifier", f"{script}:mine", "--split", s, "--corpus", str(pairs)]) for s in ("train", "test")
    ]
    assert sorted(codes) == [0, 1]


def test_every_set_in_the_data_folder_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gsm8k").mkdir()
    solved = {"question": "2 and 2?", "answer": "It is 4.\n#### 4"}
    (tmp_path / "gsm8k" / "test.jsonl").write_text(json.dumps(solved))
    (tmp_path / "math").mkdir()
    (tmp_path / "math" / "train.jsonl").write_text(json.dumps({"problem": "?", "solution": "So \\boxed{\\pi}."}))
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("5 ≡ 5\n", encoding="utf-8")
    assert main(["audit-verifier", "--corpus", str(pairs), "--data", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]["golds"]
    assert [(row["category"], row["right"], row["rejected"]) for row in rows] == [
        ("GSM8K test", 1, []),
        ("MATH train", 1, []),
    ]


def test_published_sets_are_named_once_and_by_settings_that_their_tasks_take() -> None:
    with_files = {name for name in TASKS if "data" in task_settings(name)}
    assert {name for name, _ in SETS} == with_files
    for name, keys in SETS:
        assert SETS.count((name, keys)) == 1
        check_keys(name, keys)


@pytest.mark.parametrize(
    "arguments",
    [["Chian"], ["--problems", "0"], ["--timeout", "0"], ["--corpus", "none.txt"], ["Chain", "--split", "x"]],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit-verifier", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_line_that_is_no_pair_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("1 = 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"pairs.txt, line 1: write 'answer ≡ gold'"):
        corpus(path)


def test_a_corpus_holds_boxes_and_whole_responses_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(
        "#\n# a note\n1/2 ≡ 0.5\n[a-1 kind=choice]\nB ≢ A\n\n"
        "[b raw]\n#### 2⟨U+200B⟩ ≡ 2\n one⏎\\neq two ≢ 2 ⟨U+2261⟩ 5\n ≢ 18\nx\x85y\u2028z ≢ 1\n[a-1]\n[2,3] ≡ [2,3]\n",
        encoding="utf-8",
    )
    assert corpus(path) == [
        Trial("pairs", r"So it is \boxed{1/2}", "0.5", True, "math", "1/2"),
        Trial("a-1", r"So it is \boxed{B}", "A", False, "choice", "B"),
        Trial("b", "#### 2\u200b", "2", True),
        Trial("b", " one\n\\neq two", "2 ≡ 5", False),
        Trial("b", "", "18", False),
        Trial("b", "x\x85y\u2028z", "1", False),
        Trial("a-1", r"So it is \boxed{[2,3]}", "[2,3]", True, "math", "[2,3]"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[a kind=numric]", "line 2: 'numric'; did you mean numeric"),
        ("[A]", "line 2: write 'answer ≡ gold'"),
        ("[a raw kind=math]", "line 2: write 'answer ≡ gold'"),
        ("1 ≡ 1 ≡ 1", "line 2: write 'answer ≡ gold'"),
        ("#1 = 1", "line 2: write 'answer ≡ gold'"),
    ],
)
def test_a_heading_or_a_pair_that_cannot_be_read_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(f"1 ≡ 1\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        corpus(path)
    assert message in str(error.value)


def test_each_pair_is_judged_by_the_kind_of_its_heading() -> None:
    # (b) is the choice B, and no number
    rows = check([Trial(kind, "The answer is (b)", "B", True, kind) for kind in ("choice", "numeric")], PATIENCE)
    assert [(row.category, len(row.rejected)) for row in rows] == [("choice", 0), ("numeric", 1)]
