"""Checkpoints: safetensors and JSON, whole or not there at all.

A checkpoint is written to a temporary name and renamed; the previous one is removed only after that. Loading executes
nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from reasonenv.core import Batch

TENSORS, STATE = "state.safetensors", "state.json"


def save(folder: Path, iteration: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Writes `folder/<iteration>` and removes the older ones. Returns its path."""
    from safetensors.torch import save_file

    final, temporary = folder / f"{iteration:08d}", folder / f".{iteration:08d}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary / TENSORS)
    (temporary / STATE).write_text(json.dumps(state, indent=1))
    for path in (temporary / TENSORS, temporary / STATE):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    for older in (*folder.glob("[0-9]*"), *folder.glob(".*.partial")):  # whole, or what a kill left of one
        if older != final:
            shutil.rmtree(older)
    return final


def save_batch(path: Path, batch: Batch) -> None:
    """Writes the tensors of a batch by the names of its fields."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    save_file({name: value.cpu().contiguous() for name, value in vars(batch).items() if value is not None}, partial)
    partial.rename(path)


def saved(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    return sorted(p for p in folder.glob("[0-9]*") if (p / STATE).is_file()) if folder.is_dir() else []


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the state of a checkpoint."""
    from safetensors.torch import load_file

    return load_file(path / TENSORS), json.loads((path / STATE).read_text())
