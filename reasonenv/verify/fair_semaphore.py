"""A counted gate that serves in the order of arrival.

`threading.Semaphore` lets a thread that comes back at once pass those that wait: with 8 threads before 2 workers one
verdict was seen to wait for 100 seconds.
"""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """At most `count` threads inside a `with` block of it; the others wait their turn."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()  # released by the thread that leaves
        except BaseException:  # Ctrl-C while waiting: the place in the queue, or the turn itself, is given back
            with self._lock:
                given = turn not in self._waiting
                if not given:
                    self._waiting.remove(turn)
            if given:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
