"""Child processes with pipes: started without a loss of descriptors, and judged by the time that they had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from io import FileIO
from math import inf
from pathlib import Path
from typing import Any


def start(command: Sequence[str], piped: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process of which the `piped` streams (`stdin`, `stdout`, `stderr`) lead to us; `options` are those of `Popen`.

    Raises `OSError` where there are no descriptors, processes or memory for it. Then no pipe is left open, as one of
    `subprocess` would be where it is the next one that cannot be made.
    """
    of_child: dict[str, Any] = {}
    of_parent: dict[str, int] = {}
    try:
        for stream in piped:
            reading, writing = os.pipe()
            if stream == "stdin":
                of_child[stream], of_parent[stream] = reading, writing
            else:
                of_child[stream], of_parent[stream] = writing, reading
        process: subprocess.Popen[bytes] = subprocess.Popen(command, bufsize=0, **of_child, **options)
    except BaseException:
        for descriptor in of_parent.values():
            os.close(descriptor)
        raise
    finally:
        for descriptor in of_child.values():
            os.close(descriptor)
    for stream, descriptor in of_parent.items():
        setattr(process, stream, FileIO(descriptor, "w" if stream == "stdin" else "r"))
    return process


def seconds_withheld(pid: int) -> float:
    """Seconds for which a process could have run and was not let run; 0 where nobody counts them.

    By these a process that took too long is told from one that had no chance, because the machine had other things to
    do or because somebody has stopped it (infinity): a process that sleeps or computes is not withheld. The kernel
    counts, on Linux, how long its first thread was in the queue of a processor (`schedstat`).
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
        _, nanoseconds, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0
    if state == "T":
        return inf
    return int(nanoseconds) / 1e9
