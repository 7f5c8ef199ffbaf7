"""Nothing half written, nothing damaged unseen, nobody in each other's folder."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from reasonenv.errors import UserError
from reasonenv.learn import checkpoint
from reasonenv.storage import SUMS, Damaged, check, check_free, owned, read_text, replace, seal

FORK = multiprocessing.get_context("fork")
WEIGHTS = {"w": torch.arange(300.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}


@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.STATE, SUMS])
def test_a_flipped_byte_and_a_cut_are_detected_wherever_they_are(tmp_path: Path, file: str) -> None:
    path = checkpoint.save(tmp_path, 3, WEIGHTS, {"progress": {"iteration": 3}})
    sound = (path / file).read_bytes()
    draw = random.Random(0)
    damages = [(at, flip) for at in {0, len(sound) - 1, *draw.sample(range(len(sound)), 30)} for flip in (1, 128)]
    for at, flip in damages:
        (path / file).write_bytes(sound[:at] + bytes([sound[at] ^ flip]) + sound[at + 1 :])
        with pytest.raises(Damaged, match=path.name):
            checkpoint.load(path)
    for length in {0, 1, len(sound) // 2, len(sound) - 1}:
        (path / file).write_bytes(sound[:length])
        with pytest.raises(Damaged, match=path.name):
            checkpoint.load(path)
    (path / file).unlink()
    with pytest.raises(Damaged, match=file):
        checkpoint.load(path)
    (path / file).write_bytes(sound)
    assert checkpoint.load(path)[0]["w"].equal(WEIGHTS["w"])


def test_the_checkpoint_before_takes_the_place_of_a_damaged_one_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint.newest(tmp_path) is None
    for iteration in (3, 5):
        checkpoint.save(tmp_path, iteration, WEIGHTS, {"at": iteration})
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found[1] == {"at": 5}
    assert capsys.readouterr().err == ""
    tensors = tmp_path / "00000005" / checkpoint.TENSORS
    tensors.write_bytes(tensors.read_bytes()[:-1])
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found[1] == {"at": 3}
    said = capsys.readouterr().err
    assert f"{tensors} is damaged" in said
    assert f"going on from the checkpoint before, {tmp_path / '00000003'}" in said
    checkpoint.save(tmp_path, 4, WEIGHTS, {"at": 4})  # the damaged one goes, the sound one before stays
    assert [path.name for path in checkpoint.saved(tmp_path)] == ["00000003", "00000004"]
    for path in checkpoint.saved(tmp_path):
        (path / checkpoint.STATE).unlink()
    assert checkpoint.newest(tmp_path) is None
    assert "no checkpoint is left; beginning anew" in capsys.readouterr().err


# A limit on the size of files stops a write in its middle on every Unix, as a full disk does; what the two say differs.
def save_too_much(folder: Path, told: Any) -> None:
    checkpoint.save(folder, 1, {"w": torch.ones(10)}, {"at": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    for count in (10**6, 20):
        said = ""
        try:
            checkpoint.save(folder, 2, {"w": torch.ones(count)}, {"at": 2})
        except UserError as error:
            said = str(error)
        found = checkpoint.newest(folder)
        told.put((said, sorted(path.name for path in folder.iterdir()), found and found[1]))


def test_a_write_that_is_cut_short_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    told = FORK.Queue()
    child = FORK.Process(target=save_too_much, args=(tmp_path / "c", told))
    child.start()
    said, names, state = told.get(timeout=60)
    assert said.startswith(f"cannot save a checkpoint in {tmp_path / 'c'} (")
    assert "the last is 00000001" in said
    assert (names, state) == (["00000001"], {"at": 1})
    assert told.get(timeout=60) == ("", ["00000001", "00000002"], {"at": 2})
    child.join()


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    replace(path, "old")
    with pytest.raises(UnicodeEncodeError):
        replace(path, "half \ud800")
    assert path.read_text() == "old"


def test_a_seal_names_what_is_missing_or_changed(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    files = [tmp_path / "a", tmp_path / "below" / "b"]
    for path in files:
        path.write_text(path.name)
    with pytest.raises(Damaged, match="SHA256SUMS cannot be read"):
        check(tmp_path, files)
    seal(tmp_path, files)
    check(tmp_path, files)
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path)
    assert done.returncode == 0  # what others know too
    files[1].write_text("c")
    with pytest.raises(Damaged, match="below/b is damaged"):
        check(tmp_path, files)


def hold(folder: Path, ready: Any) -> None:
    with owned(folder):
        ready.set()
        signal.pause()


def test_a_folder_has_one_owner_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    ready = FORK.Event()
    owner = FORK.Process(target=hold, args=(tmp_path, ready))
    check_free(tmp_path)
    owner.start()
    assert ready.wait(60)
    for ask in (lambda: check_free(tmp_path), owned(tmp_path, wait=0.1).__enter__):
        with pytest.raises(UserError, match=f"process {owner.pid} is at work in {tmp_path}"):
            ask()
    assert owner.pid is not None
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    check_free(tmp_path)
    with owned(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()}"), owned(tmp_path):
        pass


def test_a_pipe_or_a_device_in_place_of_a_text_is_not_read(tmp_path: Path) -> None:
    """Reading either would never end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(Damaged, match="no regular file"):
            read_text(tmp_path / name)


def test_what_a_kill_leaves_of_a_checkpoint_is_written_over(tmp_path: Path) -> None:
    # safetensors writes under a name of its own first: a kill in the middle leaves that, and no file of ours
    remains = tmp_path / ".00000004.partial"
    remains.mkdir()
    (remains / ".tmpv3z3Hr").write_bytes(b"a piece")
    (remains / ".state.json.0123abcd.partial").write_text("{")
    path = checkpoint.save(tmp_path, 4, {"x": torch.arange(3)}, {"iteration": 4})
    assert sorted(file.name for file in path.iterdir()) == sorted(checkpoint.FILES)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    tensors, state = checkpoint.load(path)
    assert tensors["x"].tolist() == [0, 1, 2]
    assert state == {"iteration": 4}
