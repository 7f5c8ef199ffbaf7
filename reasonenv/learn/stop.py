"""Ctrl-C and SIGTERM while a run works: it saves and leaves. A second one leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from reasonenv.errors import UserError


class Stopped(Exception):
    """A callback has stopped a run, which is saved; the message says how far it is."""


class Stop:
    """Within it a signal raises `KeyboardInterrupt`, at once or, after `hold`, at the next `release`.

    On the way out `save` is called, and the interrupt carries the message that it returns. It is called too where a
    `UserError` ends an iteration before anything was learned in it: a reward that fails loses no iteration.
    """

    def __init__(self, say: Callable[[str], None], save: Callable[[], str]) -> None:
        self._say, self._save = say, save
        self._requested = self._held = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():  # signals come nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is KeyboardInterrupt and not self._held:
                raise KeyboardInterrupt(self._save()) from None
            if kind is not None and issubclass(kind, UserError) and not self._held:
                self._save()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def hold(self) -> None:
        """From here on signals wait."""
        self._held = True

    def release(self) -> None:
        """Signals that have waited take effect, and later ones at once."""
        self._held = False
        if self._requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested or not self._held:
            self._requested = True
            raise KeyboardInterrupt
        self._requested = True
        self._say("stopping when this iteration is over; once more stops at once and loses it")
