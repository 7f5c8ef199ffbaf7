"""Reasoning as a Markov decision process, one token at a time. Everything else in the package is this, only faster.

    state       the prompt and the response tokens so far
    action      one token; a step or a whole response is a sequence of such actions
    transition  deterministic append
    terminated  the policy chose EOS: absorbing, nothing follows
    truncated   the token budget is used up: the episode was cut, not finished
    reward      a function of (state, next state); see `rewards.py`

A response is verified when it terminates. One that was cut off has given no answer, whatever numbers it holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reasonenv.core import Completion, IntArray, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.errors import UserError, unknown
from reasonenv.mdp.rewards import AT_END, Progress, Reward, reward_terms
from reasonenv.tasks import PROMPTS, Task, reference_solution, render_prompt
from reasonenv.tokenizer import Tokenizer


@dataclass(frozen=True)
class State:
    """Problem number `index`, and the response tokens so far. The prompt is a function of the index."""

    index: int
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Where some actions led, what they earned, and the verdict if the episode is over."""

    state: State
    terms: dict[str, float]
    verdict: Verdict | None


class ReasoningMDP:
    """A task seen through a tokenizer, with a reward and a token budget.

    `reward` is as in `rewards.py`; `max_tokens` counts the response with its EOS and is at least 2, because an episode
    whose first token is its last leaves nothing to decide. Raises `UserError` for a bad argument.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: Tokenizer,
        *,
        reward: Reward = "sparse",
        max_tokens: int | None = None,
        prompt: str = "auto",
    ) -> None:
        if prompt not in PROMPTS:
            raise unknown("prompt", prompt, PROMPTS)
        self.max_tokens = task.max_tokens if max_tokens is None else max_tokens
        if self.max_tokens < 2:
            raise UserError(f"max_tokens is {self.max_tokens}; a response needs at least 2 (one token and EOS)")
        self.task = task
        self.tokenizer = tokenizer
        self.prompt_style = prompt
        self._terms = reward_terms(reward)
        self.pays_steps = any(term not in AT_END for term in self._terms.values())

    @cached_property
    def problems(self) -> list[Problem]:
        """The problems of the task, each made once.  # N"""
        return list(self.task.problems)

    @cached_property
    def prompts(self) -> list[IntArray]:
        """The prompt of every problem, in ids.  # N arrays [P]"""
        texts = [render_prompt(self.task, p, self.tokenizer, self.prompt_style) for p in self.problems]
        return [np.array(ids, dtype=np.int64) for ids in self.tokenizer.encode_all(texts)]

    @cached_property
    def context(self) -> int:
        """L: the longest prompt and the whole budget."""
        return max(len(p) for p in self.prompts) + self.max_tokens

    def fits(self, context: int, *, name: str) -> None:
        """Raises `UserError` if some prompt and the budget exceed the `context` of the model called `name`."""
        if self.context > context:
            longest = self.context - self.max_tokens
            raise UserError(
                f"the longest prompt of {self.task.name} has {longest} tokens and max_tokens is {self.max_tokens}: "
                f"together {self.context}, over the context of {name}, {context}; "
                + (
                    f"set max_tokens to at most {context - longest}"
                    if longest + 2 <= context
                    else "use a longer context"
                )
            )

    # The process itself -----------------------------------------------------------------------------------------

    def initial(self, index: int, prefix: Sequence[int] = ()) -> State:
        """The start of problem `index`, or any unfinished point of it: every prefix is a legal start."""
        if not 0 <= index < len(self.task.problems):
            raise UserError(
                f"problem is {index}; {self.task.name} {self.task.split} has 0 to {len(self.task.problems) - 1}"
            )
        state = State(index, tuple(int(t) for t in prefix))
        outside = [t for t in state.tokens if not 0 <= t < self.tokenizer.vocab_size]
        if outside or self.tokenizer.eos_id in state.tokens or self.truncated(state):
            raise UserError(
                f"prefix of {len(state.tokens)} tokens is no start: it must be shorter than max_tokens "
                f"({self.max_tokens}), hold no EOS, and its ids must lie in 0 to {self.tokenizer.vocab_size - 1}"
            )
        return state

    def transition(self, state: State, token: int) -> State:
        """The next state: deterministic append."""
        return State(state.index, (*state.tokens, int(token)))

    def terminated(self, state: State) -> bool:
        """The last action was EOS."""
        return bool(state.tokens) and state.tokens[-1] == self.tokenizer.eos_id

    def truncated(self, state: State) -> bool:
        """The budget is used up and the last action was not EOS. Never true together with `terminated`."""
        return len(state.tokens) >= self.max_tokens and not self.terminated(state)

    def text(self, state: State) -> str:
        """The response as text, without its EOS."""
        return self.tokenizer.decode(state.tokens[:-1] if self.terminated(state) else state.tokens)

    def problem(self, state: State) -> Problem:
        """The problem that is being solved."""
        return self.problems[state.index]

    def verdict(self, state: State) -> Verdict | None:
        """None until the episode is over. A truncated response is `no_answer`; a terminated one is verified."""
        if self.terminated(state):
            return self.task.verify(self.text(state), self.problem(state))
        if self.truncated(state):
            return Verdict(False, Reason.NO_ANSWER, None, self.problem(state).answer)
        return None

    def is_event(self, state: State) -> bool:
        """Whether the last token ended a step or the episode. Rewards fall on events alone."""
        return bool(state.tokens) and (
            bool(self.tokenizer.ends_step[state.tokens[-1]]) or self.terminated(state) or self.truncated(state)
        )

    def reward(self, before: State, after: State, verdict: Verdict | None) -> dict[str, float]:
        """The named terms of R(before, after); their sum is the reward. `verdict` is `self.verdict(after)`.

        Raises `UserError` for a term that is no finite number.
        """
        if not self.is_event(after):
            return {}
        problem, old, new = self.problem(after), self._progress(before, None), self._progress(after, verdict)
        terms = {name: float(term(problem, old, new)) for name, term in self._terms.items()}
        for name, value in terms.items():
            if not math.isfinite(value):
                raise UserError(f"reward term {name!r} is {value} on {problem.id}; it must return a finite number")
        return terms

    def _progress(self, state: State, verdict: Verdict | None) -> Progress:
        over = self.terminated(state) or self.truncated(state)
        return Progress(lambda: self.text(state), len(state.tokens), self.max_tokens, verdict, over)

    def take(self, state: State, tokens: Sequence[int]) -> Outcome:
        """Several actions in a row, the last of which may end the episode: their sum of rewards, by name."""
        terms: dict[str, float] = {}
        verdict = None
        for before, after in self._events(state, tuple(map(int, tokens))):
            state, verdict = after, self.verdict(after)
            for name, value in self.reward(before, state, verdict).items():
                terms[name] = terms.get(name, 0.0) + value
        return Outcome(state, terms, verdict)

    def _events(self, state: State, tokens: tuple[int, ...]) -> Iterator[tuple[State, State]]:
        """(before, after) of each of the `tokens` that may earn something, and of the last: others need no state."""
        whole, start = (*state.tokens, *tokens), len(state.tokens)
        inner = self.tokenizer.ends_step[list(tokens[:-1])].nonzero()[0].tolist() if self.pays_steps else []
        for end in [*inner, len(tokens) - 1] if tokens else []:
            yield State(state.index, whole[: start + end]), State(state.index, whole[: start + end + 1])

    # Whole episodes ---------------------------------------------------------------------------------------------

    def trajectory(self, index: int, completion: Completion) -> Trajectory:
        """The episode that a sampler's completion is. Equal to stepping its tokens one by one (`replay` proves it)."""
        tokens = completion.tokens
        last = len(tokens) - 1
        events = np.flatnonzero(self.tokenizer.ends_step[tokens])
        ends = events if len(events) and events[-1] == last else np.append(events, last)
        rewards = np.zeros(len(tokens), dtype=np.float32)
        state, verdict = self.initial(index), None
        for end in ends:
            before, state = State(index, tuple(tokens[:end].tolist())), State(index, tuple(tokens[: end + 1].tolist()))
            verdict = self.verdict(state)
            rewards[end] = sum(self.reward(before, state, verdict).values())
        if verdict is None:
            raise ValueError(f"a completion of {len(tokens)} tokens neither ends in EOS nor fills {self.max_tokens}")
        return Trajectory(
            problem=self.problem(state),
            prompt=self.prompts[index],
            tokens=tokens,
            roles=np.full(len(tokens), Role.POLICY, dtype=np.int8),
            logprobs=completion.logprobs,
            rewards=rewards,
            ends=ends,
            terminated=self.terminated(state),
            truncated=self.truncated(state),
            verdict=verdict,
            version=completion.version,
        )

    def demonstration(self, index: int) -> Trajectory:
        """The reference solution as an episode: what supervised agents imitate.

        Raises `UserError` where it does not fit the budget; cutting it would teach a solution without an answer.
        """
        problem = self.task.problems[index]
        ids = [*self.tokenizer.encode(reference_solution(problem)), self.tokenizer.eos_id]
        if len(ids) > self.max_tokens:
            raise UserError(
                f"the reference solution of {problem.id} has {len(ids)} tokens; set max_tokens to at least that "
                f"(it is {self.max_tokens})"
            )
        tokens = np.array(ids, dtype=np.int64)
        return self.trajectory(
            index, Completion(tokens, np.zeros(len(ids), dtype=np.float32), "eos", version=0, seed=0)
        )
