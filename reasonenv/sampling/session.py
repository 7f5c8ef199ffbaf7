"""Sessions: rows that a sampler draws part by part, and others write between the parts.

    with sampler.open(prompts, jobs, sampling) as session:
        for row, completion in session.run(reply):
            ...

A tool, an environment and a goal are such replies. A search opens a session with its histories as prompts: rows of one
prompt share what was read of it, and the stop tokens say where a step ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.seeding import derive_seed

Job = tuple[int, int]  # the number of a prompt, and a seed
Drawn = tuple[int, Completion]  # the number of a job, and its completion
Part = tuple[int, list[int]]  # the number of a row, and what it has drawn since it last went on


class Continuation(NamedTuple):
    """What follows a part."""

    tokens: Sequence[int] = ()  # which the policy reads before it goes on
    keep: int | None = None  # of the part only so many tokens stand, at least one; the others are taken back
    limit: int | None = None  # the most tokens of the next part
    over: bool = False  # there is none


class Session(ABC):
    """Rows under way: row number r is job number r, its prompt and all that was drawn or appended behind it.

    A row is paused at first, and again after each part: at an end of a turn, a stop token or stop string, after `limit`
    tokens, and when it has drawn `max_tokens` in all. `append` lets it go on, behind an end of a turn too. Rows that
    are paused cost the others nothing.

    A sample is a function of (weights, prompt, seed, sampling, what was appended and where) and never of other rows.
    Draw t of the seed's stream decides the t-th token that the policy chose, so that pauses play no part. Only where a
    sampler cannot enter its stream in the middle, each part has a seed of its own: see `Row.part_seed`.
    """

    # A sampler to which a pause costs nothing is to pause wherever somebody may write. Others draw ahead: what was
    # drawn in vain is taken back.
    pauses_freely: ClassVar[bool] = False

    @abstractmethod
    def draw(self) -> list[Part]:
        """Draws on for a moment: the parts of the rows that have paused in it, perhaps none."""

    @abstractmethod
    def append(
        self, row: int, tokens: Sequence[int] = (), *, keep: int | None = None, limit: int | None = None
    ) -> None:
        """Lets a paused row go on behind what it has drawn and these `tokens`; see `Continuation`.

        Raises `UserError` if the row has drawn all its `max_tokens`, or if it has no room in the model's context.
        """

    @abstractmethod
    def finish(self, row: int, *, keep: int | None = None) -> Completion:
        """All that the policy chose in a paused row, which is over; `keep` as in `append`."""

    def close(self) -> None:
        """Ends what is still being drawn."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, rows: int, reply: Callable[[int, list[int]], Continuation], pool: Executor | None = None
    ) -> Iterator[Drawn]:
        """Draws all of so many rows; their completions as they end.

        `reply(row, part)` says what follows a part; of no tokens it says how the row begins. Replies that take long are
        made in `pool` while the others are drawn on. Without it each is made at once, so that no clock decides which
        rows are drawn together.
        """
        for row in range(rows):
            first = reply(row, [])
            self.append(row, first.tokens, limit=first.limit)
        pending: dict[Future[Continuation], int] = {}
        while rows:
            replies = []
            for row, tokens in self.draw():
                if pool is None:
                    replies.append((row, reply(row, tokens)))
                else:
                    pending[pool.submit(reply, row, tokens)] = row
            if pending:
                timeout = None if len(pending) == rows else 0  # nothing is left to draw
                done, _ = wait(pending, timeout, FIRST_COMPLETED)
                replies = sorted((pending.pop(future), future.result()) for future in done)
            for row, answer in replies:
                if answer.over:
                    rows -= 1
                    yield row, self.finish(row, keep=answer.keep)
                else:
                    self.append(row, answer.tokens, keep=answer.keep, limit=answer.limit)


def whole(session: Session, rows: int) -> Iterator[Drawn]:
    """The completions of so many rows in which nobody else writes."""
    return session.run(rows, lambda row, part: Continuation(over=bool(part)))


def room(drawn: int, max_tokens: int, limit: int | None) -> int:
    """The most tokens of the next part of a row that has drawn so many. Raises `UserError` if there are none."""
    left = max_tokens - drawn
    if left <= 0:
        raise UserError(f"a row has drawn {drawn} tokens and max_tokens is {max_tokens}; finish it or raise max_tokens")
    return left if limit is None else min(left, limit)


def check_room(read: int, part: int, context: int) -> None:
    """Raises `UserError` where a row that has read so many tokens has no room for a part."""
    if read + part > context:
        raise UserError(
            f"a row has {read} tokens with what was appended and may draw {part} more, together more than the model's "
            f"context of {context}; append less or lower max_tokens"
        )


@dataclass
class Row:
    """A row of a sampler that reads its history anew."""

    history: list[int]  # the prompt and all behind it
    seed: int
    tokens: list[int] = field(default_factory=list)  # that the policy chose
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    part: int = 0  # how many of them are of the last part
    limit: int = 0  # of the next part
    stop: Literal["eos", "length"] = "length"
    selected: bool = False  # as `Completion.selected`, of any part

    @property
    def part_seed(self) -> int:
        """The seed of the next part, where a part is drawn from a seed of its own."""
        return derive_seed(self.seed, "turn", len(self.tokens)) if self.tokens else self.seed


class HistorySession(Session):
    """A session of a sampler that continues a row by reading all of it, or finds in a cache what it knows of it."""

    def __init__(
        self,
        prompts: Sequence[IntArray],
        jobs: Sequence[Job],
        *,
        max_tokens: int,
        stop: Collection[int],
        context: int | None,
    ) -> None:
        self.max_tokens, self.stop = max_tokens, stop
        self.context = context  # of the model, where it is known
        self.rows = {row: Row(prompts[n].tolist(), seed) for row, (n, seed) in enumerate(jobs)}
        self.ready: list[int] = []  # the rows that are to go on, in the order in which they were told to

    def append(
        self, row: int, tokens: Sequence[int] = (), *, keep: int | None = None, limit: int | None = None
    ) -> None:
        state = self.rows[row]
        self._take_back(state, keep)
        state.limit = room(len(state.tokens), self.max_tokens, limit)
        state.history += tokens
        if self.context is not None:
            check_room(len(state.history), state.limit, self.context)
        self.ready.append(row)

    def finish(self, row: int, *, keep: int | None = None) -> Completion:
        state = self.rows.pop(row)
        self._take_back(state, keep)
        return Completion(
            tokens=np.array(state.tokens, dtype=np.int64),
            logprobs=np.array(state.logprobs, dtype=np.float32),
            stop=state.stop,
            versions=np.array(state.versions, dtype=np.int64),
            seed=state.seed,
            selected=state.selected,
        )

    def _take_back(self, state: Row, keep: int | None) -> None:
        """Of the last part only the first `keep` tokens stand."""
        if keep is not None and keep < state.part:
            for entries in (state.history, state.tokens, state.logprobs, state.versions):
                del entries[keep - state.part :]
            state.stop = "length"

    def pause(self, row: int, completion: Completion) -> Part:
        """Takes what was drawn as the next part of a row: a sampler may write on behind a stop token or its limit."""
        state = self.rows[row]
        drawn = completion.tokens[: state.limit]
        stops = np.flatnonzero(np.isin(drawn, list(self.stop)))
        state.part = int(stops[0]) + 1 if len(stops) else len(drawn)
        state.selected |= completion.selected
        state.stop = completion.stop if state.part == len(completion.tokens) else "length"
        tokens: list[int] = drawn[: state.part].tolist()
        state.history += tokens
        state.tokens += tokens
        state.logprobs += completion.logprobs[: state.part].tolist()
        state.versions += completion.versions[: state.part].tolist()
        return row, tokens
