"""The folder of a run: one process at a time, damage and changed data are seen, a full disk is told."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reasonenv.cli import main
from reasonenv.learn import checkpoint, loop
from reasonenv.learn.agent import Plan
from reasonenv.storage import owned

Train = Callable[[str, Path], list[str]]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, complaint = capsys.readouterr()
    assert out == ""
    assert complaint.startswith("reasonenv: ")
    assert complaint.count("\n") == 1
    return complaint


def test_a_folder_in_use_is_refused_with_the_pid(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (train("grpo", tmp_path), ["bench", "run", "quickstart", "--out", str(tmp_path)]):
        with owned(tmp_path):
            before = sorted(tmp_path.iterdir())
            assert main(command) == 2
            assert f"process {os.getpid()} is at work in {tmp_path}" in one_line(capsys)
            assert sorted(tmp_path.iterdir()) == before


def test_damaged_checkpoints_are_said_and_cost_nothing_but_time(
    train: Train,
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "SAVING_SHARE", 1e9)  # after every iteration
    out = tmp_path / "run"
    command = [*train("grpo", out), "keep_checkpoints=2"]
    assert main(command) == 0
    assert [path.name for path in checkpoint.saved(out / "checkpoints")] == ["00000007", "00000008"]
    for lost in (1, 2):  # the newest one, then both
        (out / "summary.json").unlink()
        for path in checkpoint.saved(out / "checkpoints")[-lost:]:
            tensors = bytearray((path / checkpoint.TENSORS).read_bytes())
            tensors[len(tensors) // 2] ^= 1
            (path / checkpoint.TENSORS).write_bytes(tensors)
        capsys.readouterr()
        assert main(command) == 0
        said = capsys.readouterr().err
        assert said.count("is damaged") == lost
        assert ("going on from the checkpoint before" if lost == 1 else "beginning anew") in said
        assert result(out) == result(whole("grpo"))


def test_changed_data_are_refused_unless_that_is_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(split: str, answers: range) -> None:
        lines = [json.dumps({"question": f"{n}?", "answer": f"It is {n}.\n#### {n}"}) for n in answers]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))

    out = tmp_path / "run"
    keys = f"data={tmp_path} eval_problems=2 problems_per_iteration=2 max_tokens=24 --iterations 1"
    command = f"train sft reasonenv/GSM8K-Response-v0 {keys} --out {out} --json".split()
    write("train", range(4))
    write("test", range(4, 8))
    assert main(command) == 0
    for split in ("train", "test"):
        (out / "summary.json").unlink()
        write(split, range(1, 6))
        capsys.readouterr()
        assert main(command) == 2
        assert f"the problems of GSM8K, split {split}, have changed since {out} was begun" in one_line(capsys)
        assert main([*command, "--changed-data"]) == 0


def small_disk(at: Path, options: str) -> None:
    """Mounts a disk of its own for this process. `OSError` where that is not allowed."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(0x10000000 | 0x20000):  # new user and mount namespaces
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    if libc.mount(
        b"none", bytes(at), b"tmpfs", 1 if options == "ro" else 0, b"" if options == "ro" else options.encode()
    ):
        raise OSError(ctypes.get_errno(), "mount")


def on_small_disk(at: Path, options: str, arguments: list[str], told: Path) -> None:
    try:
        small_disk(at, options)
    except OSError:
        sys.exit(77)
    file = os.open(told, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(main(arguments))


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux has them")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("ro", "no permission to write in"),
        ("size=16k", "No space left on device"),  # for the log
        ("size=1m", "No space left on device"),  # for a checkpoint: three times a million numbers
        ("size=13m", "No space left on device"),  # for the policy at the end
    ],
)
def test_a_full_or_read_only_disk_is_one_line(
    options: str, words: str, apart: Callable[..., int], train: Train, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    told = tmp_path / "told"
    code = apart(on_small_disk, tmp_path / "disk", options, train("grpo", tmp_path / "disk" / "run"), told)
    if code == 77:
        pytest.skip("no mount namespaces here")
    assert code == 2, told.read_text()
    assert told.read_text().count("\n") == 1, told.read_text()
    assert words in told.read_text()


def test_sigterm_saves_in_the_middle_of_sampling(
    train: Train,
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    apart: Callable[..., int],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    assert apart(asked_to_end, train("grpo", out)) == 130
    assert [path.name for path in checkpoint.saved(out / "checkpoints")][-1] == "00000003"
    assert main(train("grpo", out)) == 0
    assert result(out) == result(whole("grpo"))


def asked_to_end(arguments: list[str]) -> None:
    """A run that gets SIGTERM, as from a scheduler, at the beginning of its fourth iteration."""
    sampling = loop.Loop.experience

    def experience(self: loop.Loop, plan: Plan) -> Any:
        if self.progress.iteration == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        groups = sampling(self, plan)
        assert self.progress.iteration < 3
        return groups

    loop.Loop.experience = experience
    loop.SAVING_SHARE = 1e-9
    sys.exit(main(arguments))
