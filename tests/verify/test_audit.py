"""The audit: the corpus and the attacks hold, and it finds what is wrong where something is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.core import Problem, Reason, Verdict
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
    assert min(right, len(trials) - right) >= 150
    assert [row.accepted for row in rows if row.accepted] == []
    assert len(rejected) <= 0.01 * right, rejected
    assert sum(row.right + row.wrong for row in rows) == len(trials)


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


def test_a_gold_that_its_own_verifier_refuses_is_found() -> None:
    problems = [Problem("1", "?", "18"), Problem("2", "?", "eighteen"), Problem("3", "?", "3")]
    row = check_golds(Task("Broken", "test", problems, verify_math))
    assert (row.right, row.rejected) == (3, ("'eighteen' against 'eighteen': unparsable_gold",))
    assert check_golds(Task("Broken", "test", problems, verify_math), 1).rejected == ()


def test_the_command_prints_rates_with_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("[own]\n1/2 ≡ 0.5\n3 ≡ 4\n5 ≢ 6\n", encoding="utf-8")
    command = ["audit-verifier", "Chain", "--problems", "20", "--corpus", str(pairs)]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rates"]["corpus"]["false rejects"]["rate"] == 0.5
    assert told["rates"]["corpus"]["false accepts"]["rate"] == told["rates"]["attacks"]["false accepts"]["rate"] == 0
    # Wilson for 0 of 20: z^2 / (n + z^2) = 3.8415 / 23.8415
    assert told["rates"]["golds"]["false rejects"]["high"] == pytest.approx(0.16113, abs=1e-5)
    assert main(command) == 0
    assert "falsely rejected, own: '3' against '4': wrong" in capsys.readouterr().out


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
