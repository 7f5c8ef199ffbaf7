"""A user's file is read as it stands or refused by its line: no field is cut, rounded, dropped or made up."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import Table, parquet

from reasonenv import Problem, UserError, from_problems
from reasonenv.checks import check_task
from reasonenv.data.files import read


def golds(source: Any, **settings: Any) -> dict[str, str]:
    """The answers of a source by their questions."""
    make = from_problems(source, test=0.5, **settings)
    return {p.question: p.answer for split in ("train", "test") for p in make(split=split).problems}


def refused(source: Any, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        from_problems(source, test=0.5, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e", "\u00a0"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_only_line_ends_end_a_row(tmp_path: Path, separator: str, ending: str) -> None:
    rows = ("question,answer", f"a{separator}b?,1", "c?,2", "")
    assert golds(file(tmp_path, "a.csv", ending.join(rows))) == {f"a{separator}b?": "1", "c?": "2"}


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS.filter(str.strip)), min_size=1, max_size=6), st.sampled_from([",", "\t"]))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("q", "a"), *rows])
    path = file(tmp_path_factory.mktemp("written"), "a.csv" if delimiter == "," else "a.TSV", text.getvalue())
    assert [(record.fields["q"], record.fields["a"]) for record in read(path)] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "question,answer\nWhat is 1000+234?,1,234\nb?,2\n", "line 2: has 3 fields for 2 columns"),
        ("a.csv", "question,answer\nb?,2\n\n\nc?\n", "line 5: has 1 fields for 2 columns"),
        ("a.csv", 'question,answer\n"a\n\nb",2\nc,3,4\n', "line 5: has 3 fields"),
        ("a.csv", 'question,answer\nb?,2\n"c\n\n?,3\nd?,4\n', "line 3: not CSV (unexpected end of data)"),
        ("a.csv", 'question,answer\nb?,2\n"c" d,3\n', "line 3: not CSV"),
        ("a.csv", "question,answer,answer\na?,1,2\n", "line 1: two columns are called 'answer'"),
        ("a.tsv", "question\tanswer\na?\t1\t2\n", "line 2: has 3 fields for 2 columns"),
        ("a.csv", "question,answer\na?,1\nb?,nan\n", "line 3: the answer 'nan' is a missing value"),
        ("a.csv", "question,answer\na?,1\nb?,N/A\n", "line 3: the answer 'N/A' is a missing value"),
        ("a.csv", "question,answer\na?,1\nb?,\n", "line 3: field 'answer' is ''"),
        ("a.csv", "question,answer\na?,1\nb?, \n", "line 3: field 'answer' is ' '"),
        ("a.csv", b"question,answer\na?,1\nb\xe9?,2\n", "line 3: not UTF-8"),
        (
            "a.jsonl",
            '{"question": "a?", "answer": 2}\n\n{"question": "b?", "answer": NaN}\n',
            "line 3: not readable (NaN",
        ),
        ("a.jsonl", '{"question": "a?", "answer": -Infinity}\n', "line 1: not readable (-Infinity"),
        (
            "a.jsonl",
            '{"question": "a?", "answer": 1, "answer": 2}',
            "line 1: not readable (the field 'answer' comes twice",
        ),
        ("a.jsonl", '{"question": "a?", "answer": 1e99999999999999999999}', "line 1: not readable"),
        ("a.jsonl", '{"question": "a?", "answer": true}', "line 1: field 'answer' is True"),
        ("a.jsonl", '{"question": "a?", "answer": null}', "line 1: field 'answer' is None"),
        (
            "a.jsonl",
            '{"question": "a?", "answer": "1"}\n{"question": "b\\ud83d?", "answer": "2"}',
            "line 2: field 'question' has half",
        ),
        ("a.jsonl", '{"question": "a?", "answer": "\\udc00"}', "line 1: field 'answer' has half a character"),
        (
            "a.json",
            '[{"question": "a?", "answer": 1},\n\n{"question": "b?", "answer": NaN}]',
            "line 3: not readable (NaN",
        ),
        ("a.json", '[{"question": "a?", "answer": 1},\n{"question": "b?",\n"question": "c?"}]', "line 2: not readable"),
        (
            "a.json",
            '[{"question": "a?", "answer": 1},\n{"question": "b?", "answer": ' + "9" * 5000 + "}]",
            "line 2: not read",
        ),
        ("a.parquet", "PAR1xxxx", "not Parquet"),
        ("a.PARQUET", "", "not Parquet"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = file(tmp_path, name, content)
    assert f"{path}{',' if message.startswith('line') else ':'} {message}" in refused(path)


def test_a_parquet_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(Table.from_pylist([{"question": f"{n}?", "answer": n} for n in range(99)]), path)
    whole = path.read_bytes()
    assert len(golds(path)) == 99
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:40] + b"\xff" * 200 + whole[240:]):
        path.write_bytes(damaged)
        assert f"{path}: not Parquet" in refused(path)


def test_a_missing_value_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for missing, message in ((float("nan"), "is nan"), (None, "is None"), (float("inf"), "is inf")):
        parquet.write_table(
            Table.from_pylist([{"question": "a?", "answer": 1.5}, {"question": "b?", "answer": missing}]), path
        )
        assert f"{path}, row 2: field 'answer' {message}" in refused(path)


def test_fields_of_any_length_are_read(tmp_path: Path) -> None:
    long = "x" * 300_000  # the csv module refuses more than 131,072 by default
    assert golds(file(tmp_path, "a.csv", f"question,answer\n{long},1\nb?,2\n"))[long] == "1"


@pytest.mark.parametrize("name", ["UP.CSV", "a.Csv"])
def test_a_suffix_may_be_written_in_capitals(tmp_path: Path, name: str) -> None:
    assert golds(file(tmp_path, name, 'question,answer\n"a, b?",1\nb?,"1,234"\n')) == {"a, b?": "1", "b?": "1,234"}


def test_tabs_divide_the_columns_of_tsv(tmp_path: Path) -> None:
    assert golds(file(tmp_path, "a.tsv", "question\tanswer\na, b?\t1,234\nb?\t2\n")) == {"a, b?": "1,234", "b?": "2"}


@pytest.mark.parametrize("blank", ["", "  ", "\t", "\r"])
def test_blank_lines_are_skipped(tmp_path: Path, blank: str) -> None:
    lines = [json.dumps({"question": f"{n}?", "answer": n}) for n in range(3)]
    assert len(golds(file(tmp_path, "a.jsonl", f"{blank}\n".join(["", *lines, "", ""])))) == 3
    assert len(golds(file(tmp_path, "a.csv", "question,answer\n\na?,1\n\n\nb?,2\n\n"))) == 2


NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.fractions(),
    st.decimals(allow_nan=False, allow_infinity=False, places=12),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 255).map(np.uint8),
    st.floats(allow_nan=False, allow_infinity=False, width=16).map(np.float16),
    st.floats(allow_nan=False, allow_infinity=False).map(np.float64),
)


@given(NUMBERS)
def test_numbers_of_every_type_are_read_exactly(number: Any) -> None:
    written = golds([("a?", number), ("b?", 2)], verifier=lambda text, problem: None)["a?"]
    if isinstance(number, (int, Fraction, Decimal, np.integer)):
        assert Fraction(written) == Fraction(int(number) if isinstance(number, np.integer) else number)
    else:  # the shortest text that is this number of its type
        assert type(number)(written) == number


@pytest.mark.parametrize("digits", ["1e400", "0.1", "-2.50", "1E-7", "123456789012345678901234567890.5", "7", "-0.0"])
def test_numbers_of_json_are_not_rounded(tmp_path: Path, digits: str) -> None:
    path = file(tmp_path, "a.jsonl", f'{{"question": "a?", "answer": {digits}}}\n{{"question": "b?", "answer": 2}}')
    assert Fraction(golds(path)["a?"]) == Fraction(digits)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (float("nan"), "problem 0: field 'answer' is nan; it must be a text or a finite number"),
        (np.float32("inf"), "problem 0: field 'answer' is np.float32(inf)"),
        (Decimal("NaN"), "problem 0: field 'answer' is Decimal('NaN')"),
        (Decimal("sNaN"), "problem 0: field 'answer' is Decimal('sNaN')"),
        (10**5000, "problem 0: field 'answer' is a int too large to be written"),
        (Fraction(1, 10**5000), "problem 0: field 'answer' is a Fraction too large to be written"),
        (True, "problem 0: field 'answer' is True"),
        (np.bool_(True), "problem 0: field 'answer' is"),
        (1 + 2j, "problem 0: field 'answer' is (1+2j)"),
        (["1", "2"], "problem 0: field 'answer' is ['1', '2']"),
        (b"1", "problem 0: field 'answer' is b'1'"),
        ("\ud83d", "problem 0: field 'answer' has half a character"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_answer_is_refused(answer: Any, message: str) -> None:
    assert message in refused([("a?", answer), ("b?", 2)])


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem("x", "a\ud800?", "1"), "problem 1: field 'question' has half a character"),
        (Problem("x", "", "1"), "problem 1: field 'question' is ''"),
        (Problem("x", "a?", 5), "problem 1: field 'answer' is 5"),  # type: ignore[arg-type]
        (Problem("x", "a?", "1", ("one", "\udfff")), "problem 1: field 'steps' has half a character"),
        ((1, 2, 3), "problem 1 is (1, 2, 3); it must be"),
        ((10**5000, 2, 3), "problem 1 is a tuple too large to be written"),
        ({"question": "a?", "answer": "1", "work": None}, None),
        ({"question": "a?", "answer": "1", "work": 5}, "problem 1: field 'work' is 5; it must be a text or a list"),
        ({"question": "a?", "answer": "1", "work": [None]}, "problem 1: field 'work' is None"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_problem_that_is_none_is_refused(problem: Any, message: str | None) -> None:
    steps = "work" if isinstance(problem, dict) else None
    source = [{"question": "b?", "answer": 2, "work": ["x", "", 3]}, problem]
    if message is None:
        assert golds(source, steps=steps) == {"b?": "2", "a?": "1"}
    else:
        assert message in refused(source, steps=steps)


def test_two_golds_for_one_question_fail_the_check() -> None:
    rows = [("1+1?", "2"), ("1+1?", "3"), ("half?", "1/2"), ("half?", "0.5"), ("2+2?", "4"), ("2+3?", "5")]
    checks = {check.name: check for check in check_task(from_problems(rows, test=0.3))}
    claim = checks["one question, one answer"]
    assert not claim.holds
    assert claim.seen == "1 questions have several answers: '1+1?' has '2' and '3'"
    same = {check.name: check for check in check_task(from_problems(rows[2:], test=0.3))}
    assert same["one question, one answer"].holds  # 1/2 and 0.5 are one answer
