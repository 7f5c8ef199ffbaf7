"""The files of an adapter: those of peft, and beside them the seed of a policy made from scratch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reasonenv.errors import UserError
from reasonenv.storage import read_record

CONFIG = "adapter_config.json"  # what marks a folder as an adapter
SEED = "reasonenv.json"  # beside it, where the model below is made from scratch: peft has no field for its seed
MARK = ".lora_"  # in the names of an adapter's tensors


@dataclass(frozen=True)
class Base:
    """The policy that an adapter rests on."""

    name: str
    revision: str | None  # of a model on the hub
    seed: int  # of a model made from scratch


def write_seed(folder: Path, seed: int | None) -> None:
    """Leaves the seed of a model made from scratch beside its adapter."""
    if seed is not None:
        (folder / SEED).write_text(json.dumps({"seed": seed}) + "\n")


def base_of(folder: Path) -> Base:
    """The policy that the adapter in a folder rests on. Raises `UserError` if it does not say which."""
    stated = read_record(folder / CONFIG)
    name, revision = stated.get("base_model_name_or_path"), stated.get("revision")
    if not isinstance(name, str) or not isinstance(revision, str | None):
        raise UserError(
            f"{folder / CONFIG} names no base model (it is {name!r} at revision {revision!r}); save the adapter again"
        )
    below = Path(name).expanduser()
    for place in (below, below / "policy"):
        if (place / CONFIG).is_file():
            raise UserError(f"adapter {folder} rests on {name!r}, another adapter; merge that into its model first")
    return Base(name, revision or None, _seed(folder / SEED))


def _seed(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        return int(read_record(path)["seed"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no seed ({error}); save the adapter again") from error
