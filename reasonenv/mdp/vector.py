"""`BatchedReasoningEnv`: many episodes as one array, a real Gymnasium vector environment.

Most tokens neither end a step nor an episode and earn nothing, so a step is an array assignment; only rows at such an
event go through `ReasoningMDP`, which therefore defines every reward, flag and verdict here too. In a `stochastic`
process every row does.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reasonenv.core import BoolArray, IntArray
from reasonenv.errors import UserError, check_known
from reasonenv.mdp.dialogue import tool_calls
from reasonenv.mdp.env import (
    Observation,
    action_space,
    check_ids,
    completed_action,
    completed_actions,
    not_ids,
    observation_space,
)
from reasonenv.mdp.infos import RESPONSE, Info, StepInfos, Texts, gathered
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.progress import Progress
from reasonenv.mdp.state import Outcome, State
from reasonenv.seeding import derive_seed

Rewards = npt.NDArray[np.float64]
Seeds = int | Sequence[int | None] | None  # one of which all others come, or one a row
MAX_THREADS = 32  # in which replies and tools of several rows are waited for


def _broadcast(option: Any, count: int) -> list[int] | None:
    """An option of `reset` that holds one value for all, or one for each."""
    if option is None:
        return None
    values: list[int] = np.broadcast_to(np.asarray(option, dtype=np.int64), (count,)).tolist()
    return values


class BatchedReasoningEnv(VectorEnv[Observation, Any, Any]):
    """`num_envs` episodes of one process. `group_size=G` keeps G neighbours on the same problem, episode by episode.

    `reset(options={"problem": i or one a group, "prefix": ids, "noise": n or one a row, "reset_mask": [num_envs]
    bool})`; the mask is how `AutoresetMode.DISABLED` restarts finished rows. The problem of an episode is a pure
    function of (seed, group, number of the episode), its noise of (seed, row, number of the episode): siblings share
    the one and not the other. With `copy=False` observations are the live arrays, valid until the next step, and so are
    the responses in the infos.

    Infos hold, by key and mask, what single environments tell; see `StepInfos`.
    """

    def __init__(
        self,
        mdp: ReasoningMDP,
        granularity: str = "token",
        num_envs: int = 1,
        *,
        group_size: int = 1,
        autoreset_mode: AutoresetMode | str | None = None,
        copy: bool = True,
    ) -> None:
        if num_envs < 1 or group_size < 1 or num_envs % group_size:
            raise UserError(f"num_envs is {num_envs} and group_size {group_size}; num_envs must be a multiple of it")
        self.mdp = mdp
        self.granularity = granularity
        self.num_envs = num_envs
        self.group_size = group_size
        self.autoreset_mode = AutoresetMode(autoreset_mode or AutoresetMode.NEXT_STEP)
        self.metadata = {"autoreset_mode": self.autoreset_mode}
        self.copy = copy
        self.single_observation_space = observation_space(mdp)
        self.single_action_space = action_space(mdp, granularity)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._rows = np.arange(num_envs)
        # Whether something may happen at token id i - 1; whatever is no token id is clipped to the two ends.
        self._event_token = np.ones(mdp.tokenizer.vocab_size + 2, dtype=bool)  # [V + 2]
        self._event_token[1:-1] = mdp.tokenizer.ends_step & mdp.pays_steps
        self._event_token[1:-1] |= mdp.tokenizer.is_end
        self._tokens = np.zeros((num_envs, mdp.context), dtype=np.int64)  # [num_envs, L]
        self._offset = self._rows * mdp.context  # [num_envs], where each row begins in it
        self._room = 0  # no row runs out of budget before so many steps
        # Where the next token of each row goes, in its row and in all of them: one addition moves both.
        self._cursors = np.stack([np.zeros(num_envs, dtype=np.int64), self._offset])  # [2, num_envs]
        self._view()
        self._one_each = np.ones((2, num_envs), dtype=np.int64)
        self._begin = np.zeros(num_envs, dtype=np.int64)  # where the response of each row begins: its prompt's length
        self._index = [0] * num_envs  # of the problem of each row
        self._episode = [0] * num_envs
        self._over = np.ones(num_envs, dtype=bool)
        self._some_over = True
        self._stochastic = mdp.stochastic  # asked at every step, and a property
        self._at_end = not self._stochastic and not mdp.pays_steps  # nothing but the end of an episode earns
        self._seeds = [0] * (num_envs // group_size)
        self._states: dict[int, State] = {}  # of each row, where the environment itself may write
        # What infos say of the episode of each row; arrays [num_envs] by key.
        self._episodes = {key: np.empty(num_envs, dtype=object) for key in ("problem_id", "question")}
        if mdp.stochastic:
            self._episodes["noise"] = np.zeros(num_envs, dtype=np.int64)

    def _view(self) -> None:
        """What is the same memory as another array, which a copy of the environment must have of its own."""
        self._flat = self._tokens.reshape(-1)  # one index is faster than two
        self._length, self._at = self._cursors

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a pickle or a copy, in which the views have become arrays of their own."""
        self.__dict__.update(state)
        self._view()

    def reset(self, *, seed: Seeds = None, options: Info | None = None) -> tuple[Observation, Info]:
        options = options or {}
        for key in options:
            check_known("reset option", key, ("problem", "prefix", "noise", "reset_mask"))
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs)), dtype=bool)
        if seed is not None or not any(self._episode):
            self._reseed(seed)
        infos = self._start(
            np.flatnonzero(mask).tolist(),
            _broadcast(options.get("problem"), len(self._seeds)),
            options.get("prefix", ()),
            _broadcast(options.get("noise"), self.num_envs),
        )
        self._some_over = bool(self._over.any())
        return self._observation(), gathered(infos, self.num_envs)

    def step(self, actions: Any) -> tuple[Observation, Rewards, BoolArray, BoolArray, Info]:
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, dtype=bool), np.zeros(self.num_envs, dtype=bool)
        restarted: list[int] = []
        if self._some_over:
            restarted = np.flatnonzero(self._over).tolist()
            if self.autoreset_mode != AutoresetMode.NEXT_STEP:
                remedy = "reset(options={'reset_mask': ...}) them first"
                raise gymnasium.error.ResetNeeded(f"rows {restarted} are over: {remedy}")
            self._start(restarted)
        earned = self._take(actions, restarted, rewards, terminated, truncated)
        final: dict[int, Info] = {}
        if earned or restarted:
            self._over = terminated | truncated
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                restarted = np.flatnonzero(self._over).tolist()
                for row in restarted:
                    last = {"tokens": self._tokens[row].copy(), "length": self._length[row]}
                    final[row] = {"final_obs": last, "final_info": {**self._episode_info(row), **earned.pop(row)}}
                self._start(restarted)
            self._some_over = bool(self._over.any())
        observation = self._observation()
        infos = partial(self._step_infos, self._episodes, restarted, earned, final)
        responses = partial(self._responses, observation, self._begin, terminated, restarted)
        return observation, rewards, terminated, truncated, StepInfos(infos, responses)

    def _episode_info(self, row: int) -> Info:
        """What all infos of the present episode of a row hold."""
        return {key: values[row] for key, values in self._episodes.items()}

    def _step_infos(
        self, episodes: dict[str, Any], restarted: list[int], earned: dict[int, Info], final: dict[int, Info]
    ) -> Info:
        """The infos of all rows, as single environments would give them; those of `restarted` rows tell of a reset."""
        stepped = np.ones(self.num_envs, dtype=bool)
        infos: Info = {f"_{key}": stepped.copy() for key in (*episodes, RESPONSE)}
        infos |= {key: values.copy() for key, values in episodes.items()}
        for info in earned.values():
            info.pop(RESPONSE, None)  # is read with those of the other rows
        if len(restarted) < self.num_envs:
            stepped[restarted] = False
            infos |= {"reward_terms": {}, **gathered(earned, self.num_envs), "_reward_terms": stepped}
        return infos | gathered(final, self.num_envs)

    def _responses(
        self, observation: Observation, begins: IntArray, terminated: BoolArray, restarted: list[int]
    ) -> Texts:
        """The texts of all rows, without the token that ends them in those that have `terminated`."""
        closed = terminated.copy()
        closed[restarted] = False
        bounds = zip(observation["tokens"], begins.tolist(), (observation["length"] - closed).tolist(), strict=True)
        texts: Texts = np.empty(self.num_envs, dtype=object)
        texts[:] = self.mdp.tokenizer.decode_all([row[begin:end] for row, begin, end in bounds])
        return texts

    def _take(
        self, actions: Any, restarted: list[int], rewards: Rewards, terminated: BoolArray, truncated: BoolArray
    ) -> dict[int, Info]:
        """Takes the actions, fills in what they earned and ended, and returns the infos of such rows."""
        if len(restarted) == self.num_envs:
            return {}
        if self._stochastic:
            moves = []
            for row in np.delete(self._rows, restarted).tolist():
                state = self._states[row]
                moves.append((row, state, completed_action(self.mdp, self.granularity, state, actions[row])))
        else:
            append = self._append_tokens if self.granularity == "token" else self._append_actions
            sizes = append(actions, restarted)
            if not sizes:
                return {}
            if self._at_end:
                return self._ended(list(sizes), rewards, terminated, truncated)
            moves = [(row, *self._split(row, size)) for row, size in sizes.items()]
        infos: dict[int, Info] = {}
        for (row, before, _), outcome in zip(moves, self._outcomes(moves), strict=True):
            rewards[row] = sum(outcome.terms.values())
            terminated[row] = self.mdp.terminated(outcome.state)
            truncated[row] = self.mdp.truncated(outcome.state)
            infos[row] = {"reward_terms": outcome.terms}
            if self._stochastic:
                infos[row]["taken"] = outcome.taken
                if self.mdp.tools is not None:
                    infos[row]["tool_calls"] = tool_calls(before, outcome.state)
                self._write(row, outcome.state)
            if outcome.verdict is not None:
                verdict, text = outcome.verdict, self.mdp.text(outcome.state)
                infos[row] |= {"verdict": verdict, "is_success": verdict.correct, RESPONSE: text}
        return infos

    def _outcomes(self, moves: Sequence[tuple[int, State, list[int]]]) -> list[Outcome]:
        """Where each of the `moves` (row, state, tokens) leads. Where replies may be slow, rows do not wait in turn."""
        answered = []
        if self.mdp.slow and not self.mdp.judged_by_users:
            waits = {*self.mdp.tokenizer.ends, *self.mdp.stop}
            answered = [move for move in moves if not waits.isdisjoint(move[2])]
        if len(answered) < 2:
            return [self.mdp.take(state, tokens) for _, state, tokens in moves]
        with ThreadPoolExecutor(min(len(answered), MAX_THREADS)) as threads:
            return list(threads.map(lambda move: self.mdp.take(move[1], move[2]), moves))

    def _ended(self, rows: list[int], rewards: Rewards, terminated: BoolArray, truncated: BoolArray) -> dict[int, Info]:
        """As `_take`, for `rows` that have moved, where nothing but the end of an episode earns: all ends together."""
        mdp, begins, ends = self.mdp, self._begin.tolist(), self._length.tolist()
        last = self._flat[self._at - 1].tolist()  # of each row
        over, spans = [], []
        for row in rows:
            size = ends[row] - begins[row]
            closed = size > 0 and last[row] in mdp.tokenizer.ends
            if closed or size >= mdp.max_tokens:
                terminated[row], truncated[row] = closed, not closed
                over.append((row, size, closed))
                spans.append(self._tokens[row, begins[row] : ends[row] - closed])
        infos: dict[int, Info] = {}
        for (row, size, closed), text in zip(over, mdp.tokenizer.decode_all(spans), strict=True):
            problem = mdp.problems[self._index[row]]
            verdict = mdp.verify(text, problem, terminated=closed)
            end = Progress(text.__str__, size, mdp.max_tokens, verdict, closed, not closed)
            terms = mdp.event_reward(problem, end, end)
            rewards[row] = sum(terms.values())
            infos[row] = {"reward_terms": terms, "verdict": verdict, "is_success": verdict.correct, RESPONSE: text}
        return infos

    def _split(self, row: int, fresh: int) -> tuple[State, list[int]]:
        """The state of a row before its last `fresh` tokens, and these."""
        response = self._tokens[row, self._begin[row] : self._length[row]].tolist()
        cut = len(response) - fresh
        return State(self._index[row], tuple(response[:cut])), response[cut:]

    def _write(self, row: int, state: State) -> None:
        """Notes the state of a row, and the tokens that it has more than before."""
        start, end = self._length[row], self._begin[row] + len(state.tokens)
        self._tokens[row, start:end] = state.tokens[start - self._begin[row] :]
        self._length[row] = end
        self._at[row] = self._offset[row] + end
        self._states[row] = state

    def _append_actions(self, actions: Any, restarted: list[int]) -> dict[int, int]:
        """Writes the steps or responses of all rows but those `restarted`. Returns how many tokens each of them got."""
        rows = np.delete(self._rows, restarted) if restarted else self._rows
        rooms = self._begin[rows] + self.mdp.max_tokens - self._length[rows]
        chosen = [actions[row] for row in rows.tolist()]
        flat, starts, sizes = completed_actions(self.mdp, self.granularity, rooms, chosen)
        spans = zip(self._at[rows].tolist(), starts.tolist(), sizes.tolist(), strict=True)
        for at, start, size in spans:
            self._flat[at : at + size] = flat[start : start + size]
        self._cursors[:, rows] += sizes
        return dict(zip(rows.tolist(), sizes.tolist(), strict=True))

    def _append_tokens(self, actions: Any, restarted: list[int]) -> dict[int, int]:
        """Writes the tokens of all rows but those `restarted`. Returns 1 for each row at which something may happen."""
        chosen, moved = np.asarray(actions), self._one_each
        if chosen.dtype.kind not in "iub" or chosen.shape != (self.num_envs,):
            raise not_ids(f"an array of {self.num_envs} token ids", actions)
        chosen = chosen.astype(np.int64, copy=False)
        if restarted:  # a zero is written where there is one
            chosen, moved = chosen.copy(), moved.copy()
            chosen[restarted] = moved[:, restarted] = 0
        events = self._event_token.take(chosen + 1, mode="clip")
        eventful = bool(np.count_nonzero(events))
        if eventful:
            check_ids(self.mdp, chosen)
        self._flat[self._at] = chosen
        self._cursors += moved
        self._room -= 1
        if self._room <= 0:
            room = self._begin + self.mdp.max_tokens - self._length
            events |= room <= 0
            self._room = int(room[room > 0].min(initial=self.mdp.max_tokens))
            eventful = True
        if not eventful:
            return {}
        events[restarted] = False
        return dict.fromkeys(np.flatnonzero(events).tolist(), 1)

    def _reseed(self, seed: Seeds) -> None:
        groups = len(self._seeds)
        if seed is None:
            self._seeds = [int(s) for s in self.np_random.integers(2**62, size=groups)]
        elif isinstance(seed, int):
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(seed)
            self._seeds = [derive_seed(seed, "group", g) for g in range(groups)]
        else:
            firsts = list(seed)[:: self.group_size]
            self._seeds = [int(self.np_random.integers(2**62)) if s is None else s for s in firsts]
        self._episode = [0] * self.num_envs

    def _start(
        self,
        rows: list[int],
        problems: list[int] | None = None,
        prefix: Sequence[int] = (),
        noises: list[int] | None = None,
    ) -> dict[int, Info]:
        """Begins the next episode of each of the `rows`, on the problem of its group, and returns their infos."""
        if not rows:
            return {}
        mdp, size, seeds = self.mdp, self.group_size, self._seeds
        if problems is None:  # a draw is one of 2^63: fair to 1 in 10^12
            drawn = [derive_seed(seeds[row // size], "problem", self._episode[row]) for row in rows]
            indexes = [draw % len(mdp.problems) for draw in drawn]
        else:
            indexes = [problems[row // size] for row in rows]
        states = dict[int, State]()
        if len(prefix) or self._stochastic:
            for row, index in zip(rows, indexes, strict=True):
                noise = 0
                if noises is not None:
                    noise = noises[row]
                elif self._stochastic:
                    noise = derive_seed(seeds[row // size], "noise", row % size, self._episode[row])
                states[row] = mdp.initial(index, prefix, noise)
            prompts = [mdp.prompt(state) for state in states.values()]
        else:
            for index in {min(indexes), max(indexes)}:
                mdp.initial(index)  # refuses one that is not there
            prompts = [mdp.prompts[index] for index in indexes]

        widths = list(map(len, prompts))
        infos: dict[int, Info] = {}
        lives = zip(rows, indexes, prompts, widths, self._length[rows].tolist(), strict=True)
        for row, index, prompt, width, used in lives:
            self._tokens[row, :width] = prompt
            self._tokens[row, width:used] = 0
            self._index[row] = index
            self._episode[row] += 1
            problem = mdp.problems[index]
            infos[row] = {"problem_id": problem.id, "question": problem.question, RESPONSE: ""}
        self._begin = self._begin.copy()  # the old one was given away
        self._length[rows] = self._begin[rows] = widths
        self._at[rows] = self._offset[rows] + self._length[rows]
        self._over[rows] = False
        self._room = min(self._room, mdp.max_tokens)
        for row, state in states.items():
            self._write(row, state)
            self._room = min(self._room, mdp.max_tokens - len(state.tokens))
            infos[row][RESPONSE] = mdp.text(state)
            if self._stochastic:
                infos[row]["noise"] = state.noise
        self._episodes = {key: values.copy() for key, values in self._episodes.items()}  # the old ones were given away
        for row, info in infos.items():
            for key, values in self._episodes.items():
                values[row] = info[key]
        return infos

    def _observation(self) -> Observation:
        if self.copy:
            return {"tokens": self._tokens.copy(), "length": self._length.copy()}
        return {"tokens": self._tokens, "length": self._length}
