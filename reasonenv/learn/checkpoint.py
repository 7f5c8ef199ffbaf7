"""Checkpoints: safetensors and JSON with their sums, whole or not there at all. Loading executes nothing.

A checkpoint is written to a temporary name, synced and renamed. It and the one before stay: if the newest is damaged,
a run goes on from the other.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.storage import Damaged, check, replace, seal

TENSORS, STATE = "state.safetensors", "state.json"


def save(folder: Path, iteration: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Writes `folder/<iteration>`, keeps the newest older one, and removes all others. Returns its path.

    Raises `UserError` if it cannot be written; then the older ones are as they were.
    """
    from safetensors import SafetensorError

    final, temporary = folder / f"{iteration:08d}", folder / f".{iteration:08d}.partial"
    try:
        _write(temporary, tensors, state)
        if final.exists():
            final.rename(folder / f".{iteration:08d}.old.partial")
        temporary.rename(final)
        _sync_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        why = error.strerror if isinstance(error, OSError) else error
        before = saved(folder)
        last = f"the last is {before[-1].name}" if before else "there is none yet"
        raise UserError(f"cannot save a checkpoint in {folder} ({why}), {last}; mend that and go on") from error
    older = [path for path in saved(folder) if path < final]
    for other in (*folder.glob("[0-9]*"), *folder.glob(".*.partial")):  # whole, damaged, or what a kill left of one
        if other not in (final, *older[-1:]):
            shutil.rmtree(other)
    return final


def _write(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, folder / TENSORS)
    (folder / STATE).write_text(json.dumps(state, indent=1))
    for path in (folder / TENSORS, folder / STATE):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    seal(folder, (folder / TENSORS, folder / STATE))


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
    return sorted(folder.glob("[0-9]*"))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the state of a checkpoint. Raises `Damaged` if a byte of it is not what was written."""
    from safetensors.torch import load_file

    check(path, (path / TENSORS, path / STATE))
    return load_file(path / TENSORS), json.loads((path / STATE).read_text())


def newest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest intact checkpoint of a folder; None if there is none. Says which ones are passed over."""
    paths = saved(folder)[::-1]
    for damaged, path in enumerate(paths):  # all before `path` are
        try:
            contents = load(path)
        except Damaged as error:
            print(f"reasonenv: {error}", file=sys.stderr)
            continue
        if damaged:
            print(f"reasonenv: going on from the checkpoint before, {path}", file=sys.stderr)
        return contents
    if paths:
        print("reasonenv: no checkpoint is left; beginning anew", file=sys.stderr)
    return None
