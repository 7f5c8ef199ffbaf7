"""Finding data: what is given wins, and what is missing says how to give it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reasonenv.data import Source, read, records
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
    assert all(way in line for way in ("data=PATH", "REASONENV_DATA=FOLDER", "Hugging Face hub", "pyarrow"))


def test_records_of_a_list_know_their_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.json", '[{"a": 1}, {"a": 2},\n\n{"a":\n3}\n, {"a": 4}]')
    assert [record.where.rpartition(" ")[2] for record in read(file)] == ["1", "1", "3", "5"]


def test_a_parquet_copy_holds_the_same_records(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is optional: only the hub's copies are parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"n": [1, 2]}), file)
    assert [record.fields for record in read(file)] == [{"n": 1}, {"n": 2}]
