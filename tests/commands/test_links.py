"""A run folder may be a stranger's: links in it lead nowhere, and nothing is deleted that was not written here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.learn import checkpoint
from reasonenv.storage import owned

Complaint = Callable[[list[str]], str]  # the one line of a command that is refused

Train = Callable[[str, Path], list[str]]
# Whatever a run writes or replaces, at every depth.
NAMES = [
    ".lock",
    ".owner",
    "run.json",
    "run.json.partial",
    "summary.json",
    "environment.json",
    "metrics.jsonl",
    "problems.jsonl",
    "evaluation.parquet",
    "error.txt",
    "cell.json",
    "checkpoints",
    "checkpoints/00000001",
    "policy",
    ".policy.new",
    ".policy.old",
    "scorer",
    "tensorboard",
    "evaluations",
    "evaluations/000000.parquet",
    "rollouts",
    "refused",
    "code",
    ".code.partial",
    "anything",
]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A user's folder of photographs by year, and notes."""
    for year in ("2019", "00000001", "20200101"):
        (tmp_path / "outside" / "photos" / year).mkdir(parents=True)
        (tmp_path / "outside" / "photos" / year / "a.jpg").write_text(year)
    (tmp_path / "outside" / "notes").write_text("precious")
    return tmp_path / "outside"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["photos", "notes", "nothing"])
def test_a_link_in_the_folder_of_a_run_is_refused_and_what_is_behind_it_untouched(
    name: str, target: str, train: Train, outside: Path, tmp_path: Path, complaint: Complaint
) -> None:
    link = tmp_path / "run" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / target)
    before = snapshot(outside)
    assert f"{link} is a link" in complaint(train("grpo", tmp_path / "run"))
    assert snapshot(outside) == before
    assert os.listdir(link.parent) == [link.name]


@pytest.mark.parametrize("name", ["cells", "cells/one", "cells/one/checkpoints", "suite.json", ".lock", "error.txt"])
def test_a_link_in_the_folder_of_a_suite_is_refused(
    name: str, outside: Path, tmp_path: Path, complaint: Complaint
) -> None:
    link = tmp_path / "suite" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "photos")
    before = snapshot(outside)
    command = ["bench", "run", "quickstart", "--scale", "tiny", "--out", str(tmp_path / "suite")]
    assert f"{link} is a link" in complaint(command)
    assert snapshot(outside) == before


def test_a_pipe_in_the_folder_of_a_run_is_refused_and_not_waited_for(
    train: Train, tmp_path: Path, complaint: Complaint
) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "metrics.jsonl")
    assert "metrics.jsonl is no regular file" in complaint(train("grpo", tmp_path / "run"))


def test_the_folder_itself_may_be_a_link_to_a_larger_disk(train: Train, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    assert main(train("sft", tmp_path / "run")) == 0
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "disk" / "summary.json").is_file()


def test_a_hard_link_keeps_its_content(train: Train, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("metrics.jsonl", "problems.jsonl", ".owner", "error.txt"):
        os.link(outside / "notes", tmp_path / "run" / name)
    assert main(train("sft", tmp_path / "run")) == 0
    assert (outside / "notes").read_text() == "precious"


def test_only_checkpoints_are_deleted(train: Train, outside: Path, tmp_path: Path) -> None:
    checkpoints = tmp_path / "run" / "checkpoints"
    shutil.copytree(outside / "photos", checkpoints)
    (checkpoints / "00000001").rename(checkpoints / "00000099")
    for name in ("7", "3-old", ".hidden.partial", ".00000009.partial"):
        (checkpoints / name).mkdir()
        (checkpoints / name / "mine").write_text(name)
    before = snapshot(checkpoints)
    assert main(train("sft", tmp_path / "run")) == 0
    after = snapshot(checkpoints)
    assert before.items() <= after.items()
    added = {Path(name).relative_to(checkpoints).parts[0] for name in after.keys() - before.keys()}
    assert added == {"00000008"}  # one is left of a run that has ended


def test_a_folder_with_the_name_of_a_checkpoint_and_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "00000002").mkdir()
    (tmp_path / "00000002" / "a.jpg").write_text("precious")
    with pytest.raises(UserError, match=r"00000002 holds a\.jpg"):
        checkpoint.save(tmp_path, 2, {"w": torch.ones(2)}, {})
    assert snapshot(tmp_path)[str(tmp_path / "00000002" / "a.jpg")] == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["00000002"]


def test_a_checkpoint_beside_which_somebody_put_a_file_stays(tmp_path: Path) -> None:
    for iteration in (1, 2, 3):
        path = checkpoint.save(tmp_path, iteration, {"w": torch.ones(2)}, {})
        if iteration == 1:
            (path / "mine").write_text("precious")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "00000002", "00000003"]
    checkpoint.save(tmp_path, 4, {"w": torch.ones(2)}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "00000003", "00000004"]


@pytest.mark.parametrize("name", ["code", "policy", "scorer"])
def test_a_project_that_is_no_run_keeps_its_folders(
    name: str, train: Train, tmp_path: Path, complaint: Complaint
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("precious")
    before = snapshot(tmp_path)
    assert f"is no folder of a run and holds {name}" in complaint(train("grpo", tmp_path))
    assert snapshot(tmp_path) == before


def test_a_summary_without_its_run_is_one_line(train: Train, tmp_path: Path, complaint: Complaint) -> None:
    (tmp_path / "summary.json").write_text("{}")
    assert "summary.json of a run without its run.json" in complaint(train("grpo", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_charts_are_not_drawn_through_a_link(prior: Path, outside: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "charts").symlink_to(outside / "photos")
    (tmp_path / "out" / "table.csv").symlink_to(outside / "notes")
    before = snapshot(outside)
    assert main(["report", str(prior), "--out", str(tmp_path / "out"), "--png"]) == 2
    assert main(["report", str(prior), "--out", str(tmp_path / "out")]) == 0
    assert snapshot(outside) == before
    assert not (tmp_path / "out" / "table.csv").is_symlink()


def test_a_lock_file_that_was_removed_still_locks(train: Train, tmp_path: Path, complaint: Complaint) -> None:
    with owned(tmp_path):
        (tmp_path / ".lock").unlink()
        assert f"process {os.getpid()} is at work in {tmp_path}" in complaint(train("grpo", tmp_path))


def test_what_a_kill_left_of_a_file_is_removed_and_similar_names_are_not(tmp_path: Path) -> None:
    names = [".run.json.0123abcd.partial", "below/.a.0123abcd.partial", ".notes.partial", "run.json.partial"]
    names += ["cells/one/.a.0123abcd.partial", "cells/one/.lock"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with owned(tmp_path):
        assert [name for name in names if (tmp_path / name).exists()] == names[2:]


@pytest.mark.parametrize("kind", ["dangling", "loop", "below dangling", "/proc/x", "file", "below file", "surrogate"])
@pytest.mark.parametrize("command", ["train", "bench run", "bench tune", "report"])
def test_an_out_that_cannot_be_is_one_line_before_anything_is_loaded(
    kind: str,
    command: str,
    train: Train,
    prior: Path,
    tmp_path: Path,
    complaint: Complaint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reasonenv.policy import pretrained

    def load(*_: object, **__: object) -> None:
        raise AssertionError("a policy was loaded")

    monkeypatch.setattr(pretrained, "_load", load)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    places = {
        "below dangling": tmp_path / "dangling" / "run",
        "below file": tmp_path / "file" / "run",
        "/proc/x": Path("/proc/x"),
        "surrogate": tmp_path / "a\udcff",
    }
    out = str(places.get(kind, tmp_path / kind))
    commands = {
        "train": [*train("grpo", tmp_path / "other")[:-3], "--out", out],
        "bench run": ["bench", "run", "quickstart", "--out", out],
        "bench tune": ["bench", "tune", "quickstart", "--out", out],
        "report": ["report", str(prior), "--out", out],
    }
    assert "cannot write to --out" in complaint(commands[command])
    assert not (tmp_path / "nothing").exists()
