"""Trajectories as flat tensors: ids and offsets, no padding, loadable without executing anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Problem, Reason, Trajectory, Verdict

PREFIX = "trajectories."
_ARRAYS = ("prompt", "tokens", "roles", "logprobs", "rewards", "ends")


def pack(trajectories: Iterable[Trajectory]) -> dict[str, Tensor]:
    """Every array of the records laid end to end, its offsets, and the rest of each record as one line of JSON."""
    rows = list(trajectories)
    lines = []
    for t in rows:
        p, v = t.problem, t.verdict
        problem = {"id": p.id, "question": p.question, "answer": p.answer, "steps": p.steps}
        verdict = {"correct": v.correct, "reason": v.reason, "extracted": v.extracted, "gold": v.gold}
        verdict["canonical"] = v.canonical
        ended = {"terminated": t.terminated, "truncated": t.truncated, "version": t.version, "noise": t.noise}
        lines.append(json.dumps({"problem": problem, "verdict": verdict, **ended}))
    packed = {f"{PREFIX}records": torch.frombuffer(bytearray("\n".join(lines).encode() or b"\n"), dtype=torch.uint8)}
    for name in _ARRAYS:
        arrays = [getattr(t, name) for t in rows]
        packed[f"{PREFIX}{name}"] = torch.from_numpy(np.concatenate(arrays)) if arrays else torch.zeros(0)
        packed[f"{PREFIX}{name}.offsets"] = torch.tensor([0, *np.cumsum([len(a) for a in arrays]).tolist()])
    return packed


def unpack(state: dict[str, Tensor]) -> list[Trajectory]:
    """The inverse of `pack`, from a state that may hold other tensors too."""
    lines = bytes(state[f"{PREFIX}records"].numpy()).decode().splitlines()
    rows = []
    for i, line in enumerate(filter(None, lines)):
        record = json.loads(line)
        arrays: dict[str, Any] = {}
        for name in _ARRAYS:
            start, stop = state[f"{PREFIX}{name}.offsets"][i : i + 2].tolist()
            arrays[name] = state[f"{PREFIX}{name}"][start:stop].numpy()
        problem = Problem(**{**record.pop("problem"), "steps": tuple(json.loads(line)["problem"]["steps"])})
        verdict = record.pop("verdict")
        verdict["reason"] = Reason(verdict["reason"])
        rows.append(Trajectory(problem=problem, verdict=Verdict(**verdict), **arrays, **record))
    return rows
