"""Reasoning as a Markov decision process, one token at a time. Everything else in the package is this, only faster.

    state       the prompt and the response tokens so far
    action      one token; a step or a whole response is a sequence of such actions
    transition  append, then whatever the environment writes until it is the policy's turn (`dynamics.py` at random,
                `dialogue.py` to what the policy says; by default nothing): a pure function of the state, which holds
                the seed of the environment's draws and what replies remember
    terminated  the policy chose an end of its turn and the environment let it stand: absorbing, nothing follows
    truncated   the token budget is used up: the episode was cut, not finished
    reward      a function of (state, next state); see `rewards.py`

A response is verified when it terminates. One that was cut off has given no answer, whatever numbers it holds.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from reasonenv.core import Completion, IntArray, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.dialogue import Dialogue, Recording, Speaker
from reasonenv.mdp.dynamics import Dynamics, Rewording, ToolFailure, View, named_variants
from reasonenv.mdp.progress import Progress
from reasonenv.mdp.prompts import Prompts, prompts_of, rendered, templated
from reasonenv.mdp.replies import named_replies
from reasonenv.mdp.rewards import as_term, reward_terms
from reasonenv.mdp.state import Outcome, State
from reasonenv.mdp.tool_calls import Schema, instruction, tool_format
from reasonenv.mdp.tools import Tools, named_tools
from reasonenv.mdp.turns import Turns
from reasonenv.mdp.user_functions import UserFunction, is_users
from reasonenv.mdp.verdicts import judged, with_canonical
from reasonenv.tasks import Task, reference_solution
from reasonenv.tokenizer import Tokenizer

MAX_TOKENS = 1 << 24  # of a response; an observation has a place for each


class ReasoningMDP:
    """A task seen through a tokenizer, with a reward and a token budget.

    Of its settings `reward` is as in `rewards.py`; `max_tokens` counts the response with its EOS and is at least 2,
    because an episode whose first token is its last leaves nothing to decide. `stochastic` names what is random in the
    environment and its strength, as in "sticky:0.1"; see `DYNAMICS`. `replies` and `tools` say what it answers; see
    `replies.py` and `tools.py`. Raises `UserError` for a bad setting.
    """

    rewording: Rewording | None = None
    tools: Tools | None = None
    dialogue: Speaker | None = None

    def __init__(self, task: Task, tokenizer: Tokenizer, config: EnvConfig = EnvConfig()) -> None:  # noqa: B008
        self.task = task
        self.tokenizer = tokenizer
        self.prompt_style = config.prompt
        self.templated = templated(tokenizer, config.prompt)
        # What closes a response that is written for the policy; the policy may end its own with any of the `ends`.
        self.end_id = tokenizer.eos_id
        if self.templated and tokenizer.turn_end is not None:
            self.end_id = tokenizer.turn_end
        self._last_read = State(0), 0, ""
        self._not_finite: set[str] = set()  # terms of the reward that somebody was warned of
        self._terms = reward_terms(config.reward, task.rewards)
        self._metrics = {name: as_term("metric", name, function) for name, function in task.metrics.items()}
        for term in (*self._terms.values(), *self._metrics.values()):
            if isinstance(term, UserFunction):
                term.check(task.problems[0])
        self.pays_steps = not all(getattr(term, "at_end", False) for term in self._terms.values())
        self.max_tokens = task.max_tokens
        self.dynamics: tuple[Dynamics, ...] = ()
        failure = None
        for kind, strength in named_variants(config.stochastic):
            variant = kind(tokenizer, config.prompt, strength)
            self.max_tokens = variant.budget(self.max_tokens)
            if isinstance(variant, Dynamics):
                self.dynamics = (*self.dynamics, variant)
            elif isinstance(variant, Rewording):
                self.rewording = variant
            elif isinstance(variant, ToolFailure):
                failure = variant
        self._converse(config, failure)
        if config.max_tokens is not None:
            self.max_tokens = config.max_tokens
        if self.max_tokens < 2:
            raise UserError(f"max_tokens is {self.max_tokens}; a response needs at least 2 (one token and EOS)")
        if self.max_tokens > MAX_TOKENS:
            raise UserError(f"max_tokens is {self.max_tokens}; it must be at most {MAX_TOKENS}")

    @cached_property
    def judged_by_users(self) -> bool:
        """Whether verifier, rewards or metrics are a user's own: only the main thread can stop what takes too long."""
        terms = (*self._terms.values(), *self._metrics.values())
        return is_users(self.task.verify) or any(isinstance(term, UserFunction) for term in terms)

    def _converse(self, config: EnvConfig, failure: ToolFailure | None) -> None:
        """Makes what answers the policy, if anything does."""
        verify = partial(self.verify, terminated=True)
        replies = [*named_replies(self.task.replies, verify), *named_replies(config.replies, verify)]
        tools = named_tools(config.tools)
        if tools:
            schemas = [tool.schema for tool in tools]
            self.tools = Tools(tools, tool_format(self.tokenizer, schemas, templated=self.templated))
        if not tools and not replies:
            if failure is not None:
                raise UserError("stochastic is tool_failure, and there are no tools; name some with tools=")
            return
        turns = Turns(self.tokenizer, templated=self.templated)
        dialogue = Dialogue(replies, self.tools, turns, failure)
        self.max_tokens = dialogue.budget(self.max_tokens)
        self.dialogue = dialogue

    @property
    def writes(self) -> bool:
        """Whether the environment may write anything."""
        return bool(self.dynamics) or self.dialogue is not None

    @property
    def slow(self) -> bool:
        """Whether what the environment says may take a moment, in which other episodes are to go on."""
        return self.dialogue is not None and self.dialogue.slow

    @property
    def stochastic(self) -> bool:
        """Whether an episode may depend on its `noise`, or on more than what the policy writes."""
        return self.writes or self.rewording is not None

    @property
    def stop(self) -> tuple[int, ...]:
        """Tokens of the policy after which the environment may write. They tell a sampler when to look."""
        tokens = set(() if self.dialogue is None else self.dialogue.stop)
        return tuple(sorted(tokens.union(*(dynamics.stop for dynamics in self.dynamics))))

    @property
    def patience(self) -> int | None:
        """After about so many tokens the environment may write anywhere; None where only `stop` and ends count."""
        return min((d.patience for d in self.dynamics if d.patience is not None), default=None)

    @cached_property
    def _asked(self) -> Prompts:
        return prompts_of(self._shown, self.tokenizer, self.prompt_style, self._schemas)

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of the task, each made once.  # N"""
        return self._asked.problems

    @cached_property
    def prompts(self) -> tuple[IntArray, ...]:
        """The prompt of every problem, in ids.  # N arrays [P]"""
        return self._asked.ids

    @cached_property
    def _reworded(self) -> tuple[IntArray, ...]:
        """The prompt of every problem in other words; none without a rewording.  # N arrays [P]"""
        if self.rewording is None:
            return ()
        problems = [replace(p, question=self.rewording.rephrase(p.question)) for p in self.problems]
        return rendered(self._shown, problems, self.tokenizer, self.prompt_style, self._schemas)

    @cached_property
    def _schemas(self) -> list[Schema]:
        """Of the tools, where the chat template tells the policy of them."""
        return self.tools.schemas if self.tools is not None and self.tools.in_template else []

    @cached_property
    def _shown(self) -> Task:
        """The task as prompts show it: where no template tells of the tools the instruction does."""
        if self.tools is None or self.tools.in_template:
            return self.task
        return replace(self.task, instruction=f"{self.task.instruction}\n{instruction(self.tools.schemas)}")

    @cached_property
    def context(self) -> int:
        """L: the longest prompt and the whole budget."""
        return max([self._asked.longest, *map(len, self._reworded)]) + self.max_tokens

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
        if not self.writes and not len(prefix):
            return state
        tokens = tuple(int(t) for t in prefix)
        legal = all(0 <= t < self.tokenizer.vocab_size for t in tokens)
        if legal and not self.writes:
            state = State(index, tokens, noise)
            legal = not self.tokenizer.is_end[list(tokens)].any()
        elif legal:
            state = self._reply(state)
            for token in tokens:
                legal = legal and not self.over(state)
                if legal:
                    state = self.transition(state, token)
        if not legal or self.over(state):
            last = self.tokenizer.vocab_size - 1
            raise UserError(
                f"prefix of {len(tokens)} tokens is no start: it must be shorter than max_tokens "
                f"({self.max_tokens}), hold no end of a turn (such as EOS) that ends the episode, and its ids must lie "
                f"in 0 to {last}"
            )
        return state

    def prefix(self, index: int, sequence: IntArray, noise: int = 0) -> list[int]:
        """The policy's tokens in a `sequence` [L'] of prompt and response: `initial` takes them as its prefix."""
        state, chosen = self.initial(index, noise=noise), list[int]()
        response: list[int] = sequence[len(self.prompt(state)) :].tolist()
        if not self.writes:
            return response
        while len(state.tokens) < len(response):
            chosen.append(response[len(state.tokens)])
            state = self.transition(state, chosen[-1])
        return chosen

    def transition(self, state: State, token: int) -> State:
        """The next state in which it is the policy's turn, or the last one."""
        tokens = (*state.tokens, int(token))
        after = State(state.index, tokens, state.noise, state.written, state.turns, state.memory)
        return self._reply(after) if self.writes else after

    def _reply(self, state: State) -> State:
        """`state` after all that the environment writes there. A reply that would fill the budget is left out."""
        before = None
        while state is not before:
            before, state = state, self._written(state)
        return state

    def _written(self, state: State) -> State:
        """`state` after the next thing that the environment writes; the same one if it has no more to say."""
        for dynamics in self.dynamics:
            after = self._appended(state, dynamics.reply(self._view(state)), own_turn=dynamics.own_turn)
            if after is not state:
                return after
        terminated = self.terminated(state)
        if self.dialogue is None or state.verdict is not None or not state.by_policy:
            return state
        if not terminated and state.tokens[-1] not in self.dialogue.stop:
            return state
        said = self.dialogue.answer(state, self.problem(state), self.answer(state), terminated=terminated)
        if said is None:
            return state
        if said.verdict is not None:
            return replace(state, memory=said.memory, verdict=with_canonical(said.verdict))
        after = self._appended(state, said.tokens, own_turn=said.own_turn)
        return state if after is state else replace(after, memory=said.memory)

    def _appended(self, state: State, tokens: Sequence[int], *, own_turn: bool) -> State:
        """`state` with `tokens` of the environment; the same one if there are none or they would fill the budget."""
        start, end = len(state.tokens), len(state.tokens) + len(tokens)
        if start == end or end >= self.max_tokens:
            return state
        written = (*state.written, *range(start, end))
        turns = (*state.turns, end) if own_turn else state.turns
        return State(state.index, (*state.tokens, *tokens), state.noise, written, turns, state.memory)

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
        """None until the episode is over. A truncated response is `no_answer`; a terminated one is verified.

        What a reply has judged has its verdict.
        """
        if state.verdict is not None:
            return state.verdict
        if not self.over(state):
            return None
        return self.verify(self.answer(state), self.problem(state), terminated=self.terminated(state))

    def verify(self, answer: str, problem: Problem, *, terminated: bool) -> Verdict:
        """The verdict on the `answer` of an episode that is over, `terminated` or truncated.

        Raises `UserError` if the verifier returns something else than `Task.judge` takes.
        """
        if not terminated:
            return Verdict(Reason.NO_ANSWER, None, problem.answer)
        return judged(self.task, answer, problem)

    def is_event(self, before: State, after: State) -> bool:
        """Whether what was written since `before` ended a step or the episode. Rewards fall on events alone."""
        appended = after.tokens[len(before.tokens) :]
        return any(map(self.tokenizer.ends_step.__getitem__, appended)) or self.over(after)

    def reward(self, before: State, after: State, verdict: Verdict | None) -> dict[str, float]:
        """The named terms of R(before, after); their sum is the reward. `verdict` is `self.verdict(after)`.

        There are none where nothing can be earned: inside a step, and before the end if all terms are paid `at_end`.
        A term of a user's own may be no finite number. It is passed on: agents leave such a sample out and count it.
        Raises `UserError` that names such a term if it fails, takes too long or returns no number.
        """
        pays = self.over(after) or (self.pays_steps and self.is_event(before, after))
        if not pays:
            return {}
        return self.event_reward(self.problem(after), self._progress(before, None), self._progress(after, verdict))

    def event_reward(self, problem: Problem, before: Progress, after: Progress) -> dict[str, float]:
        """The terms of the reward at an event, from what they may see of the two states."""
        terms = {name: term(problem, before, after) for name, term in self._terms.items()}
        for name, value in terms.items():
            if not math.isfinite(value) and name not in self._not_finite:
                self._not_finite.add(name)
                warnings.warn(f"reward {name!r} is {value} on {problem.id}; such samples teach nothing", stacklevel=2)
        return terms

    def measured(self, state: State, verdict: Verdict) -> dict[str, float]:
        """The metrics of the task of an episode that is over. Raises `UserError` for a value outside [0, 1]."""
        problem, end = self.problem(state), self._progress(state, verdict)
        values = {name: metric(problem, end, end) for name, metric in self._metrics.items()}
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise UserError(f"metric {name!r} returned {value} on {problem.id}; it must be in [0, 1]")
        return values

    def _progress(self, state: State, verdict: Verdict | None) -> Progress:
        terminated, truncated = self.terminated(state), self.truncated(state)
        return Progress(lambda: self.answer(state), len(state.tokens), self.max_tokens, verdict, terminated, truncated)

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
        if self.writes:
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

    def recorded(self, trajectory: Trajectory, index: int) -> ReasoningMDP:
        """This process, in which replies say what they said in a `trajectory` of problem `index`.

        It is the process itself where all that is said is a function of the episode, so that it is said anew.
        """
        if not isinstance(self.dialogue, Dialogue) or self.dialogue.deterministic:
            return self
        offset = len(trajectory.prompt) - len(self.prompt(State(index, noise=trajectory.noise)))
        process = copy.copy(self)
        process.dialogue = Recording(trajectory, offset, self.dialogue.stop)
        return process

    # Whole episodes ---------------------------------------------------------------------------------------------

    def trajectory(self, index: int, completion: Completion, noise: int = 0) -> Trajectory:
        """The episode that a sampler's completion is, the policy's tokens in it and no others.

        Equal to stepping them one by one (`replay` proves it).
        """
        start = self.initial(index, noise=noise)
        return self.episode(self._moves(start, completion.tokens.tolist()), completion)

    def episode(self, moves: Iterable[tuple[State, State]], completion: Completion) -> Trajectory:
        """The episode in which a sampler chose `completion` and the environment has written its part already.

        `moves` are the states (before, after) of each token that may have earned something, and of the last one. A
        reward stands at the policy's token that earned it.
        """
        chosen, verdict = completion.tokens, None
        earned: dict[int, float] = {}
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
            noise=state.noise,
            metrics=self.measured(state, verdict),
            selected=completion.selected,
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
        certain.dynamics, certain.rewording, certain.dialogue = (), None, None
        return certain.trajectory(index, Completion.unsampled(tokens, "eos"))
