"""The weights that a run starts from or is judged by, where they lie in a folder of this machine.

A folder's name stays while what is in it may be trained anew, so `run.json` keeps a hash of it. A name such as `tiny`
and an id of the hub mean the same weights always, and are settings like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig
from reasonenv.policy.adapter_files import CONFIG, base_of
from reasonenv.policy.pretrained import KNOWN

WEIGHTS = "weights"  # in a run's record
SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt")  # of weights, and of what says how to read them
# Where in the folder of a run each lies.
NAMES = {"policy": ("policy",), "orm": ("scorer",), "rank": ("scorer",), "search_value": ("scorer",)}
ANY = ("scorer", "policy")


def weights_of(run: RunConfig, places: Collection[str] = ()) -> dict[str, str]:
    """Setting -> the hash of the folder that it names. Settings that name one of `places` are left out.

    A place is the folder of a run of the same suite, whose name holds all that decides its weights.
    """
    hashes = {}
    for setting, name, parts in _named(run):
        path = Path(name).expanduser()
        if name not in places and name not in KNOWN and path.is_dir():
            hashes[setting] = _hash(path, parts)
    return hashes


def check_weights(out: Path, record: Mapping[str, Any], run: RunConfig, here: Mapping[str, str]) -> None:
    """Raises `UserError` if the run whose `record` lies in `out` had other weights than those of `run` are `here`."""
    there = record.get(WEIGHTS, {})
    there = there if isinstance(there, Mapping) else {}
    for setting, name, _ in _named(run):
        if there.get(setting) != here.get(setting):
            key = setting.rpartition(".")[2]
            raise UserError(
                f"{out} holds a run with other weights: {key}={name} is not what it was; choose another --out"
            )


def _named(run: RunConfig) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(setting, its value, where in the folder of a run the weights lie) of all that may name a folder."""
    for setting, parts in NAMES.items():
        name = getattr(run, setting)
        if name is not None:
            yield setting, name, parts
    for key, value in run.agent_keys.items():
        if isinstance(value, (str, Path)):
            yield f"agent_keys.{key}", str(value), ANY


def _hash(path: Path, parts: tuple[str, ...]) -> str:
    """SHA-256 over the names and contents of a folder's files; of an adapter, over those of the model below it too."""
    path = next((path / part for part in parts if (path / part).is_dir()), path)
    digest = hashlib.sha256()
    try:
        for file in sorted(path.iterdir()):
            if file.suffix in SUFFIXES and file.is_file():
                with file.open("rb") as content:
                    digest.update(file.name.encode() + b"\0" + hashlib.file_digest(content, "sha256").digest())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a folder of weights") from error
    if (path / CONFIG).is_file():
        below = Path(base_of(path).name).expanduser()
        if below.is_dir() and below.resolve() != path.resolve():
            digest.update(_hash(below, ("policy",)).encode())
    return digest.hexdigest()
