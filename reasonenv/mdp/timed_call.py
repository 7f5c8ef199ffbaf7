"""Calls of a user's code with a time-out, from any thread: functions in a thread, coroutines on one event loop.

A thread cannot be ended from outside: a function that hangs is left behind in one that ends with the process.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any


def call(function: Callable[[], Any], seconds: float | None) -> Any:
    """What `function()` returns or raises; of a coroutine, its result. Raises `TimeoutError` after so many seconds.

    With None there is no time-out, and the function is called in this thread.
    """
    if seconds is None:
        return result(function())
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(result(function(), seconds))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        except BaseException as error:  # it is not to end whoever waits
            future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    threading.Thread(target=run, daemon=True, name="reasonenv-call").start()
    return future.result(seconds)


def result(value: Any, seconds: float | None = None) -> Any:
    """`value`, or the result of the coroutine that it is, which is cancelled after so many seconds."""
    return wait(submit(value), seconds) if inspect.iscoroutine(value) else value


def submit(coroutine: Any) -> Future[Any]:
    """Starts a coroutine on the event loop, beside all others there."""
    return asyncio.run_coroutine_threadsafe(_contained(coroutine), loop())


async def _contained(coroutine: Any) -> Any:
    """The result of a coroutine. What would end the event loop is an error like any other."""
    try:
        return await coroutine
    except (KeyboardInterrupt, SystemExit) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def wait(future: Future[Any], seconds: float | None) -> Any:
    """The result of what `submit` has started, which is cancelled after so many seconds."""
    try:
        return future.result(seconds)
    except TimeoutError:
        future.cancel()
        raise


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process, which runs in a thread of its own."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, daemon=True, name="reasonenv-async").start()
    return made


os.register_at_fork(after_in_child=loop.cache_clear)  # the thread of a loop exists in its own process only
