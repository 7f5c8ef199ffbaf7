"""Finding data: what is given solved_problems, and what is missing says how to give it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyarrow import Table, parquet

from reasonenv.data.files import Source, read, records
from reasonenv.data.from_problems import from_problems
from reasonenv.errors import UserError

SOURCE = Source("toy/rows.jsonl", "nobody/toy", ("default/train/0000.parquet",))


def write(path: Path, row: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(row)
    return path


def test_data_is_a_file_or_a_folder_and_goes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = write(tmp_path / "a" / "toy" / "rows.jsonl", '{"n": 1}')
    write(tmp_path / "b" / "toy" / "rows.jsonl", '{"n": 2}')
    monkeypatch.setenv("REASONENV_DATA", str(tmp_path / "b"))
    for given in (deep, deep.parent, tmp_path / "a", str(tmp_path / "a")):
        assert [record.fields for record in records(SOURCE, given)] == [{"n": 1}]
    assert [record.fields for record in records(SOURCE, None)] == [{"n": 2}]


def test_data_that_is_not_there_is_an_error_even_if_the_environment_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "toy" / "rows.jsonl", '{"n": 2}')
    monkeypatch.setenv("REASONENV_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"data='elsewhere' is neither") as error:
        records(SOURCE, "elsewhere")
    assert all(way in str(error.value) for way in ("data=PATH", "REASONENV_DATA=FOLDER", "Hugging Face hub"))


@pytest.mark.parametrize("name", ["gsm8k", "svamp"])
def test_missing_data_is_one_error_that_names_all_three_ways(tmp_path: Path, name: str) -> None:
    # A process of its own: the hub client reads its offline switch once, when it is imported.
    code = (
        f"from reasonenv.envs.{name} import {name}\nfrom reasonenv.errors import UserError\n"
        f"try:\n    {name}()\nexcept UserError as error:\n    print(error)"
    )
    env = {k: v for k, v in os.environ.items() if k != "REASONENV_DATA"}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    assert all(way in line for way in ("data=PATH", "REASONENV_DATA=FOLDER", "Hugging Face hub"))


def test_records_of_a_list_know_their_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.json", '[{"a": 1}, {"a": 2},\n\n{"a":\n3}\n, {"a": 4}]')
    assert [record.where.rpartition(" ")[2] for record in read(file)] == ["1", "1", "3", "5"]


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    rows = [{"q": "1 + 1?", "a": 2, "s": ["1+1=2"]}, {"q": "2 + 2?", "a": 4, "s": []}]
    parquet.write_table(Table.from_pylist(rows), file)
    assert [(record.where, record.fields) for record in read(file)] == [
        (f"{file}, row 1", rows[0]),
        (f"{file}, row 2", rows[1]),
    ]
    make = from_problems(file, question="q", answer="a", steps="s", test=0.5)
    found = {p.question: (p.answer, p.steps) for split in ("train", "test") for p in make(split=split).problems}
    assert found == {"1 + 1?": ("2", ("1+1=2",)), "2 + 2?": ("4", ())}


def test_a_data_set_of_the_hub_is_read_from_its_cache(tmp_path: Path) -> None:
    # The client's own layout: refs/REVISION holds a commit, snapshots/COMMIT its files. Offline it asks nobody else.
    def cached(repo: str, file: str, rows: list[dict[str, Any]]) -> None:
        folder = tmp_path / "hub" / f"datasets--{repo.replace('/', '--')}"
        write(folder / "refs" / "refs" / "convert" / "parquet", "0" * 40)
        path = folder / "snapshots" / ("0" * 40) / file
        path.parent.mkdir(parents=True)
        parquet.write_table(Table.from_pylist(rows), path)

    solved = [{"question": f"{n} + 1?", "answer": f"It is <<{n}+1={n + 1}>>{n + 1}.\n#### {n + 1}"} for n in range(4)]
    cached("openai/gsm8k", "main/train/0000.parquet", solved)
    cached("somebody/sums", "easy/dev/0000.parquet", [{"ask": f"{n} + 1?", "gold": n + 1} for n in range(8)])
    code = (
        "from reasonenv import from_problems\nfrom reasonenv.catalog import make_task\n"
        "task = make_task('GSM8K')\nprint(len(task.problems), task.problems[2].steps, task.problems[2].answer)\n"
        "make = from_problems('hub:somebody/sums/easy/dev', question='ask', answer='gold', test=0.25)\n"
        "print(*sorted(p.answer for split in ('train', 'test') for p in make(split=split).problems))"
    )
    env = {k: v for k, v in os.environ.items() if k != "REASONENV_DATA"}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["4 ('It is 3.',) 3", "1 2 3 4 5 6 7 8"]
