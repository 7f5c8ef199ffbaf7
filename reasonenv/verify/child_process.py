"""Child processes with pipes: started without a loss of descriptors, and judged by the time that they had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from io import FileIO
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


def seconds_queued(pid: int) -> float:
    """Seconds that the first thread of a process was ready to run and had no processor; 0 where nobody counts them.

    By these a process that took too long is told from one that was not let run, because the machine had other things to
    do: a process that sleeps or computes is not in the queue. The kernel counts them on Linux (`schedstat`).
    """
    try:
        _, nanoseconds, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0
    return int(nanoseconds) / 1e9
