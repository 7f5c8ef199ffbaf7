"""The folder of a run: whose it is, with which settings and code, and that one process works in it at a time.

`OUT/run.json` has every setting of the run, defaults included, and beside them

    code                the version of the package and the hashes of the files that define the run; see `identity.py`
    weights             the hashes of the folders of weights that its settings name; see `weights.py`
    earlier_code        what `code` was before it has gone on with other code on purpose, oldest first
    fresh_optimizer     after which iterations it has gone on with a new optimiser on purpose

and `OUT/code/` has the files; those of earlier code are in `OUT/code-1/`, `OUT/code-2/`, ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig, defaults, flat, resolved
from reasonenv.experiment.identity import FOLDER, Code, difference
from reasonenv.experiment.weights import WEIGHTS, check_weights
from reasonenv.learn.checkpoint import OPTIMIZER, newest_state
from reasonenv.learn.loop import CHECKPOINTS, TOTAL
from reasonenv.measures.records import RUN, SUMMARY
from reasonenv.policy.pretrained import AUTO, best_device
from reasonenv.storage import LOCK, check_writable, owned, read_record
from reasonenv.storage import replace as write

REPLACED = (FOLDER, "policy", "scorer")  # folders that a run replaces as a whole
FRESH = "fresh_optimizer"
DERIVED = ("dtype", "env_keys.max_tokens")  # settings that the policy or the task decides, if they are None


def on_its_device(run: RunConfig, out: Path) -> RunConfig:
    """The run with a device in place of `auto`: the one on which it has begun in `out`, else the best there is."""
    if run.device != AUTO:
        return run
    path = out / RUN
    begun = read_record(path).get("device") if path.is_file() else None
    return replace(run, device=str(begun or best_device(run.device)))


@dataclass(frozen=True)
class Claim:
    """The folder `out` as that of a run with its settings, code, and hashes of weights."""

    out: Path
    run: RunConfig
    code: Code
    weights: Mapping[str, str] = field(default_factory=dict)
    changed_code: bool = False  # whether a run that is not finished, or grows, may go on with other code
    fresh_optimizer: bool = False  # whether a finished run may go on without the state of its optimiser

    def check(self) -> None:
        """Raises `UserError` if the folder holds another run, or nothing can be made there.

        A run with other settings, weights or code is another one; of `DERIVED` settings, once they are known.
        """
        path = self.out / RUN
        if path.exists():
            record = read_record(path)
            self._check_settings(record)
            self._check_code(record)
            check_weights(self.out, record, self.run, self.weights)
        elif (self.out / SUMMARY).exists():
            raise UserError(f"{self.out} holds {SUMMARY} of a run without its {RUN}; choose another --out")
        elif not (self.out / LOCK).exists():  # no run has begun here
            for name in REPLACED:
                if (self.out / name).exists():
                    raise UserError(
                        f"{self.out} is no folder of a run and holds {name}, which a run would replace; choose another "
                        "--out"
                    )
        check_writable(self.out)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Makes the folder that of the run; no other process works in it meanwhile. Raises as `check` does."""
        self.out.mkdir(parents=True, exist_ok=True)
        with owned(self.out):
            self.check()  # another process may have been first
            self._write_record()
            yield

    def _check_settings(self, record: Mapping[str, Any]) -> None:
        there = {**flat(resolved(defaults(self.run))), **flat(record)}  # an older version has fewer settings
        for key, value in flat(resolved(self.run)).items():
            if value is None and key in DERIVED:
                continue  # not known yet
            if key == "iterations" and self.extends(record):
                continue
            if repr(there.get(key)) != repr(value):  # nan is nan
                name = key.rpartition(".")[2]
                raise UserError(
                    f"{self.out} holds another run, settings differ: {name} is {there.get(key)!r} there, {value!r} "
                    "here; choose another --out"
                )

    def extends(self, record: Mapping[str, Any]) -> bool:
        """Whether this is the run in the folder with another number of iterations, to which that can come.

        More of them; or fewer, if it has not ended and has done no more than these. Raises `UserError` if what it did
        depends on their number.
        """
        there, here = record.get("iterations"), self.run.iterations
        if not isinstance(there, int) or there == here:
            return False
        saved = newest_state(self.out / CHECKPOINTS)
        done = 0 if saved is None else saved["progress"]["iteration"]
        if here < there and ((self.out / SUMMARY).exists() or here < done):
            return False
        if saved is not None and saved.get(TOTAL, there) is not None:
            raise UserError(
                f"{self.out} holds a run of {there} iterations, and what it did depends on their number (a schedule or "
                f"curriculum), so one of {here} is another run: choose another --out, and perhaps begin "
                f"with what this one has learned by --policy {self.out}"
            )
        if saved is not None and saved.get(OPTIMIZER) is False and not self.fresh_optimizer:
            raise UserError(
                f"{self.out} has ended and keeps no state of its optimiser (keep_checkpoints=1 would), so it cannot go "
                "on as if it had not: go on with a new one by --fresh-optimizer, which run.json will say, or choose "
                f"another --out and begin with what this one has learned by --policy {self.out}"
            )
        return True

    def _check_code(self, record: Mapping[str, Any]) -> None:
        differing = difference(record.get("code"), self.code.record)
        if differing is None:
            return
        if (self.out / SUMMARY).exists() and not self.extends(record):
            raise UserError(f"{self.out} holds a finished run of other code: {differing}; choose another --out")
        if not self.changed_code:
            raise UserError(
                f"{self.out} was begun with other code: {differing}; choose another --out, or go on by --changed-code"
            )

    def _write_record(self) -> None:
        path, folder = self.out / RUN, self.out / FOLDER
        before = read_record(path) if path.exists() else {}
        grows = bool(before) and self.extends(before)
        if grows:
            (self.out / SUMMARY).unlink(missing_ok=True)  # it is finished no more
        earlier = before.get("earlier_code")
        earlier = list(earlier) if isinstance(earlier, list) else []
        current = bool(before) and difference(before.get("code"), self.code.record) is None
        if before and not current:
            earlier.append(before.get("code"))
            previous = self.out / f"{FOLDER}-{len(earlier)}"
            if folder.is_dir() and not previous.exists():  # it exists if a kill came between this and the record
                folder.rename(previous)
        if not current or not folder.is_dir():
            self.code.save(self.out)
        record = {**resolved(self.run), "code": self.code.record, WEIGHTS: dict(self.weights)}
        if earlier:
            record["earlier_code"] = earlier
        fresh = list(before.get(FRESH, ()))
        saved = newest_state(self.out / CHECKPOINTS)
        if grows and saved is not None and saved.get(OPTIMIZER) is False:
            fresh.append(saved["progress"]["iteration"])
        if fresh:
            record[FRESH] = fresh
        write(path, json.dumps(record, indent=1))
