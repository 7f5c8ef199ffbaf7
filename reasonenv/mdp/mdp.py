"""Reasoning as a Markov decision process, one token at a time. Everything else in the package is this, only faster.

    state       the prompt and the response tokens so far
    action      one token; a step or a whole response is a sequence of such actions
    transition  append, then whatever the environment writes until it is the policy's turn (`dynamics.py`; by default
                nothing): a pure function of the state, which holds the seed of the environment's draws
    terminated  the policy chose an end of its turn and the environment let it stand: absorbing, nothing follows
    truncated   the token budget is used up: the episode was cut, not finished
    reward      a function of (state, next state); see `rewards.py`

A response is verified when it terminates. One that was cut off has given no answer, whatever numbers it holds.
"""

from __future__ import annotations

import copy
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from reasonenv.core import Completion, IntArray, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.dynamics import Dynamics, Rewording, View, named_variant
from reasonenv.mdp.rewards import Progress, reward_terms
from reasonenv.mdp.state import Outcome, State
from reasonenv.tasks import Task, reference_solution, render_prompt
from reasonenv.tokenizer import Tokenizer
from reasonenv.verify.canonical import canonical

MAX_TOKENS = 1 << 24  # of a response; an observation has a place for each


class ReasoningMDP:
    """A task seen through a tokenizer, with a reward and a token budget.

    Of its settings `reward` is as in `rewards.py`; `max_tokens` counts the response with its EOS and is at least 2,
    because an episode whose first token is its last leaves nothing to decide. `stochastic` names what is random in the
    environment and its strength, as in "sticky:0.1"; see `DYNAMICS`. Raises `UserError` for a bad setting.
    """

    dynamics: Dynamics | None = None
    rewording: Rewording | None = None

    def __init__(self, task: Task, tokenizer: Tokenizer, config: EnvConfig = EnvConfig()) -> None:  # noqa: B008
        self.task = task
        self.tokenizer = tokenizer
        self.prompt_style = config.prompt
        self.templated = tokenizer.has_chat_template and config.prompt != "plain"  # prompts are in the chat template
        # What closes a response that is written for the policy; the policy may end its own with any of the `ends`.
        self.end_id = tokenizer.eos_id
        if self.templated and tokenizer.turn_end is not None:
            self.end_id = tokenizer.turn_end
        self._last_read = State(0), 0, ""
        self._terms = reward_terms(config.reward)
        self.pays_steps = not all(getattr(term, "at_end", False) for term in self._terms.values())
        self.max_tokens = task.max_tokens
        if config.stochastic is not None:
            kind, strength = named_variant(config.stochastic)
            variant = kind(tokenizer, config.prompt, strength)
            self.max_tokens = variant.budget(task.max_tokens)
            if isinstance(variant, Dynamics):
                self.dynamics = variant
            elif isinstance(variant, Rewording):
                self.rewording = variant
        if config.max_tokens is not None:
            self.max_tokens = config.max_tokens
        if self.max_tokens < 2:
            raise UserError(f"max_tokens is {self.max_tokens}; a response needs at least 2 (one token and EOS)")
        if self.max_tokens > MAX_TOKENS:
            raise UserError(f"max_tokens is {self.max_tokens}; it must be at most {MAX_TOKENS}")

    @property
    def stochastic(self) -> bool:
        """Whether anything in an episode depends on its `noise`."""
        return self.dynamics is not None or self.rewording is not None

    @property
    def stop(self) -> tuple[int, ...]:
        """Tokens of the policy after which the environment may write. They tell a sampler when to look."""
        return () if self.dynamics is None else self.dynamics.stop

    @property
    def patience(self) -> int | None:
        """After about so many tokens the environment may write anywhere; None where only `stop` and ends count."""
        return None if self.dynamics is None else self.dynamics.patience

    @property
    def slow(self) -> bool:
        """Whether what the environment writes may take a moment, in which other episodes are to go on."""
        return self.dynamics is not None and self.dynamics.slow

    @cached_property
    def problems(self) -> list[Problem]:
        """The problems of the task, each made once.  # N"""
        return list(self.task.problems)

    @cached_property
    def prompts(self) -> list[IntArray]:
        """The prompt of every problem, in ids.  # N arrays [P]"""
        return self._rendered(self.problems)

    @cached_property
    def _reworded(self) -> list[IntArray]:
        """The prompt of every problem in other words; none without a rewording.  # N arrays [P]"""
        if self.rewording is None:
            return []
        return self._rendered([replace(p, question=self.rewording.rephrase(p.question)) for p in self.problems])

    def _rendered(self, problems: Sequence[Problem]) -> list[IntArray]:
        texts = [render_prompt(self.task, p, self.tokenizer, self.prompt_style) for p in problems]
        rows = self.tokenizer.encode_all(texts)
        if not self.templated:  # a template writes its BOS itself
            prefix = self.tokenizer.prefix
            rows = [ids if ids[: len(prefix)] == prefix else prefix + ids for ids in rows]
        return [np.array(ids, dtype=np.int64) for ids in rows]

    @cached_property
    def context(self) -> int:
        """L: the longest prompt and the whole budget."""
        return max(map(len, [*self.prompts, *self._reworded])) + self.max_tokens

    def fits(self, context: int, *, name: str) -> None:
        """Raises `UserError` if some prompt and the budget exceed the `context` of the model called `name`."""
        if self.context > context:
            longest = self.context - self.max_tokens
            remedy = "use a longer context"
            if longest + 2 <= context:
                remedy = f"set max_tokens to at most {context - longest}"
            raise UserError(
                f"the longest prompt of {self.task.name} has {longest} tokens and max_tokens is {self.max_tokens}: "
                f"together {self.context}, over the context of {name}, {context}; {remedy}"
            )

    # The process itself -----------------------------------------------------------------------------------------

    def initial(self, index: int, prefix: Sequence[int] = (), noise: int = 0) -> State:
        """The start of problem `index`, or any unfinished point of it: every prefix is a legal start.

        `prefix` holds the policy's tokens; the environment writes its own between them.
        """
        if not 0 <= index < len(self.problems):
            raise UserError(f"problem is {index}; {self.task.name} {self.task.split} has 0 to {len(self.problems) - 1}")
        state = State(index, noise=noise)
        if self.dynamics is None and not len(prefix):
            return state
        tokens = tuple(int(t) for t in prefix)
        legal = all(0 <= t < self.tokenizer.vocab_size and t not in self.tokenizer.ends for t in tokens)
        if legal and self.dynamics is None:
            state = State(index, tokens, noise)
        elif legal:
            state = self._reply(state)
            for token in tokens:
                state = self.transition(state, token)
        if not legal or self.truncated(state):
            last = self.tokenizer.vocab_size - 1
            raise UserError(
                f"prefix of {len(tokens)} tokens is no start: it must be shorter than max_tokens "
                f"({self.max_tokens}), hold no end of a turn such as EOS, and its ids must lie in 0 to {last}"
            )
        return state

    def prefix(self, index: int, sequence: IntArray, noise: int = 0) -> list[int]:
        """The policy's tokens in a `sequence` [L'] of prompt and response: `initial` takes them as its prefix."""
        state, chosen = self.initial(index, noise=noise), list[int]()
        response: list[int] = sequence[len(self.prompt(state)) :].tolist()
        if self.dynamics is None:
            return response
        while len(state.tokens) < len(response):
            chosen.append(response[len(state.tokens)])
            state = self.transition(state, chosen[-1])
        return chosen

    def transition(self, state: State, token: int) -> State:
        """The next state in which it is the policy's turn, or the last one."""
        after = State(state.index, (*state.tokens, int(token)), state.noise, state.written, state.turn)
        return after if self.dynamics is None else self._reply(after)

    def _reply(self, state: State) -> State:
        """`state` after all that the environment writes there. A reply that would fill the budget is left out."""
        assert self.dynamics is not None
        while reply := self.dynamics.reply(self._view(state)):
            start, end = len(state.tokens), len(state.tokens) + len(reply)
            if end >= self.max_tokens:
                break
            turn = end if self.dynamics.own_turn else state.turn
            written = (*state.written, *range(start, end))
            state = State(state.index, (*state.tokens, *reply), state.noise, written, turn)
        return state

    def _view(self, state: State) -> View:
        answer, verdict = partial(self.answer, state), partial(self.verdict, state)
        return View(state, self.problem(state), self.terminated(state), answer, verdict)

    def path(self, state: State, tokens: Sequence[int]) -> Iterator[State]:
        """The states that an action leads through, one a token.

        It ends where the environment writes, because the policy has not seen that yet, and where the episode is over:
        what follows in `tokens` is not taken.
        """
        for token in tokens:
            length = len(state.tokens) + 1
            state = self.transition(state, token)
            yield state
            if len(state.tokens) > length or self.over(state):
                return

    def terminated(self, state: State) -> bool:
        """The last token ends the policy's turn."""
        return bool(state.tokens) and state.tokens[-1] in self.tokenizer.ends

    def truncated(self, state: State) -> bool:
        """The budget is used up and the last action ended no turn. Never true together with `terminated`."""
        return len(state.tokens) >= self.max_tokens and not self.terminated(state)

    def over(self, state: State) -> bool:
        """Whether nothing follows."""
        return self.terminated(state) or self.truncated(state)

    def text(self, state: State) -> str:
        """The response as text, without the token that ends it."""
        return self._read(state, 0)

    def answer(self, state: State) -> str:
        """The part of the text that is verified and rewarded: the last turn, with what a tool wrote into it."""
        return self._read(state, state.turn)

    def _read(self, state: State, start: int) -> str:
        last, begin, text = self._last_read  # verifiers, rewards and infos ask for the same text
        if last is not state or begin != start:
            text = self.tokenizer.decode(state.tokens[start : len(state.tokens) - self.terminated(state)])
            self._last_read = state, start, text
        return text

    def prompt(self, state: State) -> IntArray:
        """The prompt of this episode.  # [P]"""
        if self.rewording is not None and self.rewording.applies(state):
            return self._reworded[state.index]
        return self.prompts[state.index]

    def problem(self, state: State) -> Problem:
        """The problem that is being solved."""
        return self.problems[state.index]

    def verdict(self, state: State) -> Verdict | None:
        """None until the episode is over. A truncated response is `no_answer`; a terminated one is verified."""
        if not self.over(state):
            return None
        return self.verify(self.answer(state), self.problem(state), terminated=self.terminated(state))

    def verify(self, answer: str, problem: Problem, *, terminated: bool) -> Verdict:
        """The verdict on the `answer` of an episode that is over, `terminated` or truncated.

        A verifier that raises gives no verdict on the answer: the reason is `error`, and a warning tells the cause.
        Raises `UserError` if it returns something else than a verdict.
        """
        if not terminated:
            return Verdict(Reason.NO_ANSWER, None, problem.answer)
        try:
            verdict = self.task.judge(answer, problem)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}"
            warnings.warn(f"the verifier of {self.task.name} failed on {problem.id}: {cause}", stacklevel=2)
            return Verdict(Reason.ERROR, None, problem.answer)
        if verdict.canonical is not None:
            return verdict
        # The verifier has no canonical form: equal answers are equal texts.
        return replace(verdict, canonical=canonical(verdict.reason, verdict.extracted, verdict.gold, "text"))

    def is_event(self, before: State, after: State) -> bool:
        """Whether what was written since `before` ended a step or the episode. Rewards fall on events alone."""
        appended = after.tokens[len(before.tokens) :]
        return any(map(self.tokenizer.ends_step.__getitem__, appended)) or self.over(after)

    def reward(self, before: State, after: State, verdict: Verdict | None) -> dict[str, float]:
        """The named terms of R(before, after); their sum is the reward. `verdict` is `self.verdict(after)`.

        A term of a user's own may be no finite number. It is passed on: agents leave such a sample out and count it.
        Raises `UserError` from what such a term raises.
        """
        if not self.is_event(before, after):
            return {}
        return self.event_reward(self.problem(after), self._progress(before, None), self._progress(after, verdict))

    def event_reward(self, problem: Problem, before: Progress, after: Progress) -> dict[str, float]:
        """The terms of the reward at an event, from what they may see of the two states."""
        try:
            return {name: float(term(problem, before, after)) for name, term in self._terms.items()}
        except (Exception, SystemExit) as error:
            names, cause = ", ".join(self._terms), f"{type(error).__name__}: {error}"
            raise UserError(f"a term of the reward ({names}) failed on {problem.id}: {cause}") from error

    def _progress(self, state: State, verdict: Verdict | None) -> Progress:
        return Progress(lambda: self.answer(state), len(state.tokens), self.max_tokens, verdict, self.over(state))

    def take(self, state: State, tokens: Sequence[int]) -> Outcome:
        """Several tokens in a row, as far as `path` follows them: their sum of rewards, by name."""
        terms: dict[str, float] = {}
        verdict, start, taken = None, len(state.tokens), 0
        for before, after in self._moves(state, tokens):
            state, verdict, taken = after, self.verdict(after), len(before.tokens) + 1 - start
            for name, value in self.reward(before, after, verdict).items():
                terms[name] = terms.get(name, 0.0) + value
            if verdict is not None or len(after.tokens) > start + taken:
                break
        return Outcome(state, terms, verdict, taken)

    def _moves(self, state: State, tokens: Sequence[int]) -> Iterator[tuple[State, State]]:
        """(before, after) of each of the policy's `tokens` that may earn something, and of the last one."""
        if self.dynamics is not None:
            for token in tokens:
                before, state = state, self.transition(state, token)
                yield before, state
        elif len(tokens):  # every state is a slice of the tokens, so only those that may earn are made
            whole = (*state.tokens, *tokens)
            inner: list[int] = []
            if self.pays_steps:
                inner = np.flatnonzero(self.tokenizer.ends_step[list(tokens[:-1])]).tolist()
            for end in (*inner, len(tokens) - 1):
                cut = len(state.tokens) + end
                yield State(state.index, whole[:cut], state.noise), State(state.index, whole[: cut + 1], state.noise)

    def _moves_to(self, end: State) -> Iterator[tuple[State, State]]:
        """(before, after) of each of the policy's tokens that may have earned something in the episode that is over."""
        chosen = np.flatnonzero(end.roles == Role.POLICY)
        for start, stop in pairwise([*chosen.tolist(), len(end.tokens)]):
            ends_step = self.pays_steps and self.tokenizer.ends_step[list(end.tokens[start:stop])].any()
            if ends_step or stop == len(end.tokens):
                yield self._cut(end, start), self._cut(end, stop)

    def _cut(self, end: State, length: int) -> State:
        """The state of an episode, of which `end` is the last one, after `length` tokens."""
        written = end.written[: bisect_left(end.written, length)]
        turn = 0
        if written and self.dynamics is not None and self.dynamics.own_turn:
            turn = written[-1] + 1
        return State(end.index, end.tokens[:length], end.noise, written, turn)

    # Whole episodes ---------------------------------------------------------------------------------------------

    def trajectory(self, index: int, completion: Completion, noise: int = 0, *, end: State | None = None) -> Trajectory:
        """The episode that a sampler's completion is, the policy's tokens in it and no others.

        Equal to stepping them one by one (`replay` proves it). A reward stands at the policy's token that earned it.
        Where the last state of the episode is known already it is `end`, and the environment does nothing again.
        """
        chosen, verdict = completion.tokens, None
        state = self.initial(index, noise=noise) if end is None else end
        earned: dict[int, float] = {}
        moves = self._moves(state, chosen.tolist()) if end is None else self._moves_to(end)
        for before, state in moves:
            verdict = self.verdict(state)
            earned[len(before.tokens)] = sum(self.reward(before, state, verdict).values())
        if verdict is None:
            raise ValueError(f"a completion of {len(chosen)} tokens neither ends a turn nor fills {self.max_tokens}")
        tokens, roles = np.array(state.tokens, dtype=np.int64), state.roles  # [T]
        by_policy = roles == Role.POLICY
        rewards, logprobs = np.zeros((2, len(tokens)), dtype=np.float32)
        rewards[list(earned)] = list(earned.values())
        logprobs[by_policy] = completion.logprobs
        last_of_turn = np.append(~by_policy[1:], True)  # [T], the environment writes behind it, or nobody does
        return Trajectory(
            problem=self.problem(state),
            prompt=self.prompt(state),
            tokens=tokens,
            roles=roles,
            logprobs=logprobs,
            versions=completion.versions[np.maximum(np.cumsum(by_policy) - 1, 0)],
            rewards=rewards,
            ends=np.flatnonzero(by_policy & (self.tokenizer.ends_step[tokens] | last_of_turn)),
            terminated=self.terminated(state),
            truncated=self.truncated(state),
            verdict=verdict,
            noise=noise,
        )

    def demonstration(self, index: int) -> Trajectory:
        """The reference solution as an episode: what supervised agents imitate. The environment writes nothing in it.

        It ends as the policy is to end: with the token by which the chat template closes an answer, or with EOS.

        Raises `UserError` where it does not fit the budget; cutting it would teach a solution without an answer.
        """
        problem = self.problems[index]
        ids = [*self.tokenizer.encode(reference_solution(problem)), self.end_id]
        if len(ids) > self.max_tokens:
            raise UserError(
                f"the reference solution of {problem.id} has {len(ids)} tokens; set max_tokens to at least that "
                f"(it is {self.max_tokens})"
            )
        tokens = np.array(ids, dtype=np.int64)
        certain = copy.copy(self)
        certain.dynamics = certain.rewording = None
        return certain.trajectory(index, Completion.unsampled(tokens, "eos"))
