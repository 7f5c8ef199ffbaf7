"""`BatchedReasoningEnv`: many episodes as one array, a real Gymnasium vector environment.

Most tokens neither end a step nor an episode and earn nothing, so a step is an array assignment; only rows at such an
event go through `ReasoningMDP`, which therefore defines every reward, flag and verdict here too. Where the environment
itself may write (`stochastic`), every row does.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reasonenv.core import BoolArray, IntArray
from reasonenv.errors import UserError, unknown
from reasonenv.mdp.env import GRANULARITIES, Observation, action_space, completed_action, observation_space
from reasonenv.mdp.mdp import ReasoningMDP, State
from reasonenv.seeding import derive_seed

Rewards = npt.NDArray[np.float64]


class BatchedReasoningEnv(VectorEnv[Observation, Any, Any]):
    """`num_envs` episodes of one process. `group_size=G` keeps G neighbours on the same problem, episode by episode.

    `reset(options={"problem": i or one a group, "prefix": ids, "noise": n or one a row, "reset_mask": [num_envs]
    bool})`; the mask is how `AutoresetMode.DISABLED` restarts finished rows. The problem of an episode is a pure
    function of (seed, group, number of the episode), its noise of (seed, row, number of the episode): siblings share
    the one and not the other. With `copy=False` observations are the live arrays, valid until the next step.
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
        if granularity not in GRANULARITIES:
            raise unknown("granularity", granularity, GRANULARITIES)
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
        self._nobody = np.zeros(0, dtype=np.int64)
        self._event_token = mdp.tokenizer.ends_step & mdp.pays_steps  # [V]
        self._event_token[mdp.tokenizer.eos_id] = True
        self._tokens = np.zeros((num_envs, mdp.context), dtype=np.int64)  # [num_envs, L]
        self._flat = self._tokens.reshape(-1)  # the same memory; one index is faster than two
        self._offset = self._rows * mdp.context  # [num_envs], where each row begins in it
        self._room = 0  # no row runs out of budget before so many steps
        # Where the next token of each row goes, in its row and in all of them: one addition moves both.
        self._cursors = np.stack([np.zeros(num_envs, dtype=np.int64), self._offset])  # [2, num_envs]
        self._length, self._at = self._cursors
        self._prompt_length = np.zeros(num_envs, dtype=np.int64)
        self._problem = np.zeros(num_envs, dtype=np.int64)
        self._episode = np.zeros(num_envs, dtype=np.int64)
        self._over = np.ones(num_envs, dtype=bool)
        self._some_over = True
        self._plain = granularity == "token" and mdp.dynamics is None
        self._seeds = [0] * (num_envs // group_size)
        self._states: dict[int, State] = {}  # of each row, where the environment itself may write

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        options = options or {}
        for key in options:
            if key not in ("problem", "prefix", "noise", "reset_mask"):
                raise unknown("reset option", key, ("problem", "prefix", "noise", "reset_mask"))
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs)), dtype=bool)
        groups = len(self._seeds)
        if seed is not None or not self._episode.any():
            self._reseed(seed)
        chosen = options.get("problem")
        problems = None if chosen is None else np.broadcast_to(np.asarray(chosen, dtype=np.int64), (groups,))
        noise = options.get("noise")
        noises = None if noise is None else np.broadcast_to(np.asarray(noise, dtype=np.int64), (self.num_envs,))
        told: dict[int, dict[str, Any]] = {}
        for row in map(int, np.flatnonzero(mask)):
            index = None if problems is None else int(problems[row // self.group_size])
            own = None if noises is None else int(noises[row])
            told[row] = self._start(row, index, options.get("prefix", ()), own)
        self._some_over = bool(self._over.any())
        return self._observation(), self._gathered(told)

    def step(self, actions: Any) -> tuple[Observation, Rewards, BoolArray, BoolArray, dict[str, Any]]:
        if self._plain and not self._some_over and self._room > 1:  # all that most steps of tokens are
            chosen = np.asarray(actions, dtype=np.int64)
            if not np.count_nonzero(self._event_token[chosen]):
                self._flat[self._at] = chosen
                self._cursors += 1
                self._room -= 1
                n = self.num_envs
                return self._observation(), np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), {}
        told: dict[int, dict[str, Any]] = {}  # the info of each row that has something to say
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, dtype=bool), np.zeros(self.num_envs, dtype=bool)
        restarted = np.flatnonzero(self._over) if self._some_over else self._nobody
        if len(restarted) and self.autoreset_mode != AutoresetMode.NEXT_STEP:
            rows = restarted.tolist()
            raise gymnasium.error.ResetNeeded(f"rows {rows} are over: reset(options={{'reset_mask': ...}}) them first")
        for row in map(int, restarted):
            told[row] = self._start(row, None, ())
        for row, before, tokens in self._moves(actions, restarted):
            outcome = self.mdp.take(before, tokens)
            rewards[row] = sum(outcome.terms.values())
            terminated[row] = self.mdp.terminated(outcome.state)
            truncated[row] = self.mdp.truncated(outcome.state)
            told[row] = {"reward_terms": outcome.terms}
            if self.mdp.dynamics is not None:
                told[row]["taken"] = outcome.taken
                self._write(row, outcome.state)
            if outcome.verdict is not None:
                told[row] |= {"verdict": outcome.verdict, "is_success": outcome.verdict.correct}
                told[row] |= {"response": self.mdp.text(outcome.state)}
        if not told:  # nobody is over, and nothing was earned
            return self._observation(), rewards, terminated, truncated, {}
        self._over = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            for row in map(int, np.flatnonzero(self._over)):
                last = {"tokens": self._tokens[row].copy(), "length": self._length[row].copy()}
                told[row] = {"final_obs": last, "final_info": told[row], **self._start(row, None, ())}
        self._some_over = bool(self._over.any())
        return self._observation(), rewards, terminated, truncated, self._gathered(told)

    def _gathered(self, told: dict[int, dict[str, Any]]) -> dict[str, Any]:
        """The infos of all rows by key, as `VectorEnv._add_info` puts them together one by one, made at once."""
        infos: dict[str, Any] = {}
        for key in dict.fromkeys(key for info in told.values() for key in info):
            values = {row: info[key] for row, info in told.items() if key in info}
            rows, kind = list(values), type(next(iter(values.values())))
            if kind is dict and key != "final_obs":
                infos[key] = self._gathered(values)
            else:
                numeric = kind in (int, float, bool)
                infos[key] = np.zeros(self.num_envs, kind) if numeric else np.full(self.num_envs, None, dtype=object)
                infos[key][rows] = list(values.values())
            infos[f"_{key}"] = np.zeros(self.num_envs, dtype=bool)
            infos[f"_{key}"][rows] = True
        return infos

    def _moves(self, actions: Any, restarted: IntArray) -> list[tuple[int, State, list[int]]]:
        """(row, its state, the tokens of its action) for the rows where something may happen; the others are done."""
        if self.mdp.dynamics is None:
            return self._append(actions, restarted)
        rows = map(int, np.delete(self._rows, restarted))
        states = self._states
        return [
            (row, states[row], completed_action(self.mdp, self.granularity, states[row], actions[row])) for row in rows
        ]

    def _before(self, row: int, fresh: int) -> State:
        """The state of a row before its last `fresh` tokens."""
        response = self._tokens[row, self._prompt_length[row] : self._length[row] - fresh]
        return State(int(self._problem[row]), tuple(response.tolist()))

    def _write(self, row: int, state: State) -> None:
        """Notes the state of a row, and the tokens that it has more than before."""
        written = self._length[row] - self._prompt_length[row]
        length = self._prompt_length[row] + len(state.tokens)
        self._tokens[row, self._length[row] : length] = state.tokens[written:]
        self._cursors[:, row] = length, self._offset[row] + length
        self._states[row] = state

    def _append(self, actions: Any, restarted: IntArray) -> list[tuple[int, State, list[int]]]:
        """Writes the actions down; what it returns is as in `_moves`."""
        if self.granularity == "token":
            chosen = np.asarray(actions, dtype=np.int64)
            events = self._event_token.take(chosen)
            if len(restarted):
                rows = np.delete(self._rows, restarted)
                self._flat[self._at[rows]] = chosen[rows]
                self._cursors[:, rows] += 1
                events[restarted] = False
            else:
                self._flat[self._at] = chosen
                self._cursors += 1
            self._room -= 1
            if self._room <= 0:
                room = self._prompt_length + self.mdp.max_tokens - self._length
                events |= room <= 0
                events[restarted] = False
                self._room = int(room[room > 0].min(initial=self.mdp.max_tokens))
            if not np.count_nonzero(events):
                return []
            return [(row, self._before(row, 1), [int(chosen[row])]) for row in np.flatnonzero(events).tolist()]
        moves = []
        for row in map(int, np.delete(self._rows, restarted)):
            before = self._before(row, 0)
            tokens = completed_action(self.mdp, self.granularity, before, actions[row])
            start = self._length[row]
            self._cursors[:, row] += len(tokens)
            self._tokens[row, start : self._length[row]] = array("q", tokens)  # four times as fast as of a list
            moves.append((row, before, tokens))
        return moves

    def _reseed(self, seed: int | Sequence[int | None] | None) -> None:
        groups = len(self._seeds)
        if seed is None:
            self._seeds = [int(s) for s in self.np_random.integers(2**62, size=groups)]
        elif isinstance(seed, int):
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(seed)
            self._seeds = [derive_seed(seed, "group", g) for g in range(groups)]
        else:
            firsts = list(seed)[:: self.group_size]
            self._seeds = [int(self.np_random.integers(2**62)) if s is None else s for s in firsts]
        self._episode[:] = 0

    def _start(self, row: int, index: int | None, prefix: Sequence[int], noise: int | None = None) -> dict[str, Any]:
        """Begins the next episode of a row and returns its info."""
        seed, episode = self._seeds[row // self.group_size], int(self._episode[row])
        if index is None:
            index = derive_seed(seed, "problem", episode) % len(self.mdp.problems)  # of 2^63: fair to 1 in 10^12
        if noise is None:
            noise = 0 if self.mdp.dynamics is None else derive_seed(seed, "noise", row % self.group_size, episode)
        state = self.mdp.initial(index, prefix, noise)
        prompt = self.mdp.prompt(state)
        self._tokens[row] = 0
        self._tokens[row, : len(prompt)] = prompt
        self._length[row] = self._prompt_length[row] = len(prompt)
        self._write(row, state)
        self._room = min(self._room, self.mdp.max_tokens - len(state.tokens))
        self._problem[row] = index
        self._episode[row] += 1
        self._over[row] = False
        problem = self.mdp.problem(state)
        info = {"problem_id": problem.id, "question": problem.question}
        return info if self.mdp.dynamics is None else {**info, "noise": noise}

    def _observation(self) -> Observation:
        if self.copy:
            return {"tokens": self._tokens.copy(), "length": self._length.copy()}
        return {"tokens": self._tokens, "length": self._length}
