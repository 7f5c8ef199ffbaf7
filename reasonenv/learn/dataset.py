"""Trajectories as flat tensors: ids and offsets, no padding, loadable without executing anything."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from reasonenv.codec import ARRAYS, decode, encode
from reasonenv.core import Trajectory

PREFIX = "trajectories."


def pack(trajectories: Iterable[Trajectory]) -> dict[str, Tensor]:
    """Every array of the records laid end to end, its offsets, and the rest of each record as one line of JSON."""
    rows = list(trajectories)
    lines = [json.dumps(encode(t)) for t in rows]
    packed = {f"{PREFIX}records": torch.frombuffer(bytearray("\n".join(lines).encode() or b"\n"), dtype=torch.uint8)}
    for name in ARRAYS:
        arrays = [getattr(t, name) for t in rows]
        packed[f"{PREFIX}{name}"] = torch.from_numpy(np.concatenate(arrays)) if arrays else torch.zeros(0)
        packed[f"{PREFIX}{name}.offsets"] = torch.tensor([0, *np.cumsum([len(a) for a in arrays]).tolist()])
    return packed


def unpack(state: dict[str, Tensor]) -> list[Trajectory]:
    """The inverse of `pack`, from a state that may hold other tensors too."""
    lines = filter(None, bytes(state[f"{PREFIX}records"].numpy()).decode().split("\n"))
    columns = []
    for name in ARRAYS:
        offsets = state[f"{PREFIX}{name}.offsets"].tolist()
        columns.append(np.split(state[f"{PREFIX}{name}"].numpy(), offsets[1:-1]))
    rows = zip(lines, *columns, strict=False)  # of no record at all, `split` still makes an empty one
    return [decode(json.loads(line), dict(zip(ARRAYS, arrays, strict=True))) for line, *arrays in rows]
