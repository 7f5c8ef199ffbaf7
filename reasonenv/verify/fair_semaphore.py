"""A semaphore that serves in the order of arrival.

`threading.Semaphore` lets a thread that comes back at once pass those that wait: with 8 threads before 2 workers one
verdict was seen to wait for 100 seconds.
"""

from __future__ import annotations

import threading
from collections import deque


class FairSemaphore:
    """At most `count` threads inside a `with` block of it; the others wait in a queue."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            released = threading.Lock()
            released.acquire()
            self._waiting.append(released)
        try:
            released.acquire()  # by the thread that leaves
        except BaseException:  # Ctrl-C while waiting: the place in the queue, or the permit itself, is handed back
            with self._lock:
                has_permit = released not in self._waiting
                if not has_permit:
                    self._waiting.remove(released)
            if has_permit:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
