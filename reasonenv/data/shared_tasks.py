"""One task for all environments of equal arguments: GSM8K is read once, not once an environment.

Only what is marked as `repeatable` is shared. It is made again when a file has changed that it was made from, or that
was looked for and was not there, and when something new has been registered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from reasonenv.catalog import make_task, task_factory
from reasonenv.data.files import VARIABLE, Stamp, noted_files, stamp
from reasonenv.registry import registrations
from reasonenv.settings import PLAIN
from reasonenv.tasks import Task

SHARED = 16  # tasks; GSM8K takes some 20 MB


class _Slot:
    """The task of some arguments, and the files that it was made from as they were."""

    content: tuple[Task, Mapping[Path, Stamp]] | None = None

    def task(self, make: Callable[[], Task]) -> Task:
        """The task. Threads that ask at the same time may each make one; the last is used from then on."""
        content = self.content
        if content is None or any(stamp(path) != before for path, before in content[1].items()):
            with noted_files() as files:
                content = make(), files
            self.content = content
        return content[0]


@lru_cache(maxsize=SHARED, typed=True)
def _slot(*identity: Any, **keys: Any) -> _Slot:
    return _Slot()


def shared_task(name: str | Callable[..., Task], **keys: Any) -> Task:
    """As `make_task`; of a repeatable factory the same task for the same `keys`, if these are plain values."""
    factory = task_factory(name)
    plain = all(isinstance(value, (*PLAIN, Path)) for value in keys.values())
    if not plain or not getattr(factory, "repeatable", False):
        return make_task(name, **keys)
    ordered = dict(sorted(keys.items()))
    slot = _slot(name, factory, registrations(), os.environ.get(VARIABLE), **ordered)
    return slot.task(partial(_made, name, **keys))


def _made(name: str | Callable[..., Task], **keys: Any) -> Task:
    task = make_task(name, **keys)
    object.__setattr__(task, "remake", partial(shared_task, name, **keys))
    return task
