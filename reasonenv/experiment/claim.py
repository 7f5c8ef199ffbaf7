"""The folder of a run: whose it is, with which settings and code, and that one process works in it at a time.

`OUT/run.json` has every setting of the run, defaults included, and beside them

    code                the version of the package and the hashes of the files that define the run; see `identity.py`
    weights             the hashes of the folders of weights that its settings name; see `weights.py`
    earlier_code        what `code` was before it has gone on with other code on purpose, oldest first

and `OUT/code/` has the files; those of earlier code are in `OUT/code-1/`, `OUT/code-2/`, ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig, check_writable, resolved
from reasonenv.experiment.identity import FOLDER, Code, difference
from reasonenv.experiment.weights import WEIGHTS, check_weights
from reasonenv.storage import owned, read_record, replace

RECORD, SUMMARY = "run.json", "summary.json"
MADE = ("dtype", "env_keys.max_tokens")  # settings that the policy or the task decides, if they are None


def check_claim(
    out: Path,
    run: RunConfig,
    code: Code,
    *,
    changed_code: bool = False,
    made: Mapping[str, Any] = MappingProxyType({}),
    weights: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raises `UserError` if `out` cannot be the folder of `run`: it holds another run, or nothing can be made there.

    A run with other settings is another one; so is one that starts from other `weights`, and one with other code,
    unless it is unfinished and `changed_code` says that going on is meant. `made` are the values of the settings
    `MADE`, once they are known.
    """
    path = out / RECORD
    if path.exists():
        record = read_record(path)
        _check_settings(out, record, {**_flat(resolved(run)), **made})
        _check_code(out, record, code, changed_code)
        check_weights(out, record, run, weights)
    elif out.is_file():
        raise UserError(f"cannot write to --out {out}: it is a file; give a folder")
    check_writable(out)


@contextmanager
def claim(
    out: Path,
    run: RunConfig,
    code: Code,
    *,
    changed_code: bool = False,
    made: Mapping[str, Any] = MappingProxyType({}),
    weights: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[None]:
    """Makes `out` the folder of `run`, in which no other process works meanwhile. Raises as `check_claim` does."""
    out.mkdir(parents=True, exist_ok=True)
    with owned(out):
        # Another process may have been first.
        check_claim(out, run, code, changed_code=changed_code, made=made, weights=weights)
        _write_record(out, run, code, made, weights)
        yield


def _check_settings(out: Path, record: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    there = _flat(record)
    for key, value in here.items():
        if value is None and key in MADE:
            continue  # not known yet
        if repr(there.get(key)) != repr(value):  # nan is nan
            name = key.rpartition(".")[2]
            raise UserError(
                f"{out} holds another run, settings differ: {name} is {there.get(key)!r} there, {value!r} here; "
                "choose another --out"
            )


def _check_code(out: Path, record: Mapping[str, Any], code: Code, changed_code: bool) -> None:
    differing = difference(record.get("code"), code.record)
    if differing is None:
        return
    if (out / SUMMARY).exists():
        raise UserError(f"{out} holds a finished run of other code: {differing}; choose another --out")
    if not changed_code:
        raise UserError(
            f"{out} was begun with other code: {differing}; choose another --out, or go on by --changed-code"
        )


def _write_record(out: Path, run: RunConfig, code: Code, made: Mapping[str, Any], weights: Mapping[str, str]) -> None:
    path = out / RECORD
    before = read_record(path) if path.exists() else {}
    earlier = before.get("earlier_code")
    earlier = list(earlier) if isinstance(earlier, list) else []
    current = bool(before) and difference(before.get("code"), code.record) is None
    if before and not current:
        earlier.append(before.get("code"))
        previous = out / f"{FOLDER}-{len(earlier)}"
        if (out / FOLDER).is_dir() and not previous.exists():  # it exists if a kill came between this and the record
            (out / FOLDER).rename(previous)
    if not current or not (out / FOLDER).is_dir():
        code.save(out)
    settings = resolved(run)
    for key, value in made.items():
        _place(settings, key.split("."), value)
    record = {**settings, "code": code.record, WEIGHTS: dict(weights), **({"earlier_code": earlier} if earlier else {})}
    replace(path, json.dumps(record, indent=1))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of agent and environment by names such as `agent_keys.lr`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key in ("agent_keys", "env_keys") and isinstance(value, Mapping):
            flat.update({f"{key}.{name}": setting for name, setting in value.items()})
        else:
            flat[key] = value
    return flat


def _place(settings: dict[str, Any], path: list[str], value: Any) -> None:
    *tables, name = path
    for table in tables:
        settings = settings[table]
    settings[name] = value
