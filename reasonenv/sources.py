"""Source files that are the user's own: which they are, and that what runs of them is what they hold.

A compiled copy in `__pycache__` is taken for a source's own if time (in seconds) and size agree, as they may after a
quick edit. Results are remembered by the hash of the source, so from the first user's module on, sources that are
neither installed nor of the standard library are compiled from the bytes that are read.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}  # folders whose files are not the user's own
PACKAGE = __name__.partition(".")[0]


def _standard_folders() -> frozenset[Path]:
    names = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__))
    folders = [Path(name) for name in names]
    return frozenset([*folders, *(folder.resolve() for folder in folders)])


STANDARD = _standard_folders()


def is_installed(path: Path) -> bool:
    """Whether a file lies among those that an installer has put there."""
    return not INSTALLED.isdisjoint(path.parts)


def is_standard(path: Path) -> bool:
    """Whether a file is of the standard library. Its place decides: a user's `trace.py` has the name of another."""
    if is_installed(path):
        return False
    return not STANDARD.isdisjoint(path.parents) or not STANDARD.isdisjoint(path.resolve().parents)


class SourceLoader(SourceFileLoader):
    """Runs the bytes of a file as they are now, and remembers them. Reads and leaves no compiled copy."""

    source: bytes = b""

    def get_code(self, fullname: str) -> CodeType:
        self.source = self.get_data(self.path)
        code: CodeType = self.source_to_code(self.source, self.path)
        return code


def is_users_code(variables: Mapping[str, Any]) -> bool:
    """Whether a frame with these globals runs a module that was named by a reference, or that such a one imports."""
    return isinstance(variables.get("__loader__"), SourceLoader)


class SourceFinder:
    """Finds what the finders after it find, and loads the user's own sources by `SourceLoader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        after = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = None
        for finder in after:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return spec
        origin = Path(spec.origin)
        if name.partition(".")[0] != PACKAGE and not is_installed(origin) and not is_standard(origin):
            spec.loader = SourceLoader(name, spec.origin)
        return spec


_FINDER = SourceFinder()


def compile_from_source() -> None:
    """From now on the user's modules run as their sources are. Call it before the first of them is imported."""
    if _FINDER in sys.meta_path:
        return
    place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(place, _FINDER)
