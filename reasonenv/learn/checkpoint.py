"""Checkpoints: safetensors and JSON with their sums, whole or not there at all. Loading executes nothing.

A checkpoint is written to a temporary name, synced and renamed. It and the one before stay: if the newest is damaged,
a run goes on from the other. Of a run that has ended `finish` leaves as little as it was told to.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.storage import PARTIAL, SUMS, Damaged, check, read_record, replace, seal
from reasonenv.terminal import complain

T = TypeVar("T")

OPTIMIZER = "optimizer"  # of the names of its tensors the first part; False in a state that lacks them
SMALL = 2**28  # bytes of a checkpoint that stays whole behind the end of a run

TENSORS, STATE = "state.safetensors", "state.json"
FILES = (TENSORS, STATE, SUMS)
WHOLE = re.compile(r"[0-9]{8}")  # the name of a checkpoint
REMAINS = re.compile(r"\.[0-9]{8}(\.old)?\.partial")  # of a save that was killed
UNFINISHED = re.compile(r"\.tmp[0-9A-Za-z]{6}")  # what safetensors writes before it is `TENSORS`


def save(folder: Path, iteration: int, tensors: dict[str, Tensor], state: dict[str, Any], *, keep: int = 2) -> Path:
    """Writes `folder/<iteration>` and keeps the newest `keep`, this one and older ones, and no other. Returns its path.

    Raises `UserError` if it cannot be written; then the older ones are as they were.
    """
    from safetensors import SafetensorError

    final = folder / f"{iteration:08d}"
    temporary, previous = folder / f".{iteration:08d}.partial", folder / f".{iteration:08d}.old.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if final.exists() and _others(final):
            raise UserError(f"{final} holds {_others(final)[0]}, so it is no checkpoint and stays; move it elsewhere")
        for remains in (temporary, previous):
            _remove(remains)
        _write(temporary, tensors, state)
        if final.exists():
            final.rename(previous)
        temporary.rename(final)
        _sync_folder(folder)
    except (OSError, SafetensorError) as error:
        _remove(temporary)
        why = error.strerror if isinstance(error, OSError) else error
        before = saved(folder)
        last = f"the last is {before[-1].name}" if before else "there is none yet"
        raise UserError(f"cannot save a checkpoint in {folder} ({why}), {last}; mend that and go on") from error
    older = [path for path in saved(folder) if path < final]
    _keep(folder, {final, *older[len(older) - keep + 1 :]})
    return final


def finish(folder: Path, keep: int | None) -> None:
    """Leaves the last `keep` checkpoints of a run that has ended.

    Without a number the last, and that without the state of the optimiser, most of its size, if it is not `SMALL`.
    """
    paths = [path for path in saved(folder) if (path / TENSORS).is_file()]  # others may have such a name too
    if not paths:
        return
    _keep(folder, set(paths[-(keep or 1) :]))
    last = paths[-1]
    if keep is None and (last / TENSORS).stat().st_size > SMALL:
        tensors, state = load(last)
        rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{OPTIMIZER}.")}
        save(folder, int(last.name), rest, {**state, OPTIMIZER: False}, keep=1)


def _keep(folder: Path, kept: set[Path]) -> None:
    """Removes the checkpoints that are not `kept`, and what kills have left of them."""
    for path in saved(folder):
        if path not in kept and (path / SUMS).is_file() and not _others(path):
            path.rename(folder / f".{path.name}.old.partial")
    for path in folder.iterdir():
        if REMAINS.fullmatch(path.name):
            _remove(path)


def _write(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, folder / TENSORS)
    replace(folder / STATE, json.dumps(state, indent=1))
    with (folder / TENSORS).open("rb") as file:
        os.fsync(file.fileno())
    seal(folder, (folder / TENSORS, folder / STATE))


def _others(folder: Path) -> list[str]:
    """What a folder holds that is no part of a checkpoint."""
    return sorted({path.name for path in folder.iterdir()}.difference(FILES))


def _remove(folder: Path) -> None:
    """Removes the files of a checkpoint, and its folder unless that holds anything else."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in FILES or PARTIAL.fullmatch(path.name) or UNFINISHED.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    """The names in a folder reach the disk too; where a folder cannot be opened they do so on their own."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_batch(path: Path, batch: Batch) -> None:
    """Writes the tensors of a batch by the names of its fields."""
    from safetensors.torch import save as packed

    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, packed({name: value.cpu().contiguous() for name, value in vars(batch).items() if value is not None}))


def saved(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first: whole ones, and perhaps one of which a kill left a piece."""
    return sorted(path for path in folder.glob("[0-9]*") if WHOLE.fullmatch(path.name))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the state of a checkpoint. Raises `Damaged` if a byte of it is not what was written."""
    from safetensors.torch import load_file

    check(path, (path / TENSORS,))
    return load_file(path / TENSORS), load_state(path)


def load_state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint. Raises `Damaged` as `load`."""
    check(path, (path / STATE,))
    return read_record(path / STATE)


def newest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest intact checkpoint of a folder; None if there is none. Says which ones are passed over."""
    return _newest(folder, load)


def newest_state(folder: Path) -> dict[str, Any] | None:
    """As `newest`, the state alone."""
    return _newest(folder, load_state)


def _newest(folder: Path, read: Callable[[Path], T]) -> T | None:
    paths = saved(folder)[::-1]
    for damaged, path in enumerate(paths):  # all before `path` are
        try:
            contents = read(path)
        except Damaged as error:
            complain(str(error))
            continue
        if damaged:
            complain(f"going on from the checkpoint before, {path}")
        return contents
    if paths:
        complain("no checkpoint is left; beginning anew")
    return None
