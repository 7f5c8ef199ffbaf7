"""Wrappers: other views of a `ReasoningEnv`, and what depends on more than its states.

A reward that is a function of the states is no wrapper but the `reward=` of the environment, however it is composed:
trainers, batched and single environments then pay the same. What is here needs what the process does not know: the
policy (`KLPenalty`), a client that wants other spaces (`TextView`, `OneHotView`, `ActionMask`), a file
(`RecordTrajectories`). They stack in any order that their spaces allow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from reasonenv.core import IntArray, Reason, Role, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.env import Action, Info, Observation, ReasoningEnv
from reasonenv.mdp.record import TrajectoryFile
from reasonenv.mdp.spaces import UnicodeText

Step = tuple[Any, SupportsFloat, bool, bool, Info]
AnyEnv = gymnasium.Env[Any, Any]


class _Wrapper(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A wrapper of a `ReasoningEnv`, which may be wrapped already; `arguments` are its own."""

    def __init__(self, env: AnyEnv, **arguments: Any) -> None:
        RecordConstructorArgs.__init__(self, **arguments)
        gymnasium.Wrapper.__init__(self, env)
        base = env.unwrapped
        if not isinstance(base, ReasoningEnv):
            raise UserError(f"{type(self).__name__} wraps a ReasoningEnv, not {type(base).__name__}")
        self._base = base


class TextView(_Wrapper):
    """Text in, text out: the observation is the prompt and the response so far, the action is the text to append.

    At token granularity all tokens of the text are taken, one after the other, until the episode is over; rewards and
    their terms are added up. The text of the EOS token ends the response; the response granularity needs none.
    """

    def __init__(self, env: AnyEnv) -> None:
        super().__init__(env)
        self._tokenizer = self._base.mdp.tokenizer
        self.observation_space = self.action_space = UnicodeText()
        self._text, self._info = "", dict[str, Any]()

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[str, Info]:
        observation, self._info = self.env.reset(seed=seed, options=options)
        self._text = self._read(observation)
        return self._text, dict(self._info)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        ids = self._tokenizer.encode(action)
        total, terms = 0.0, dict[str, float]()
        terminated = truncated = False
        for part in ids if self._base.granularity == "token" else [ids]:
            observation, reward, terminated, truncated, self._info = self.env.step(part)
            self._text, total = self._read(observation), total + float(reward)
            for name, value in self._info["reward_terms"].items():
                terms[name] = terms.get(name, 0.0) + value
            if terminated or truncated:
                break
        return self._text, total, terminated, truncated, {**self._info, "reward_terms": terms}

    def _read(self, observation: Observation) -> str:
        return self._tokenizer.decode(observation["tokens"][: int(observation["length"])].tolist())


class OneHotView(_Wrapper, gymnasium.ObservationWrapper[Any, Any, Any]):
    """A flat Box for clients that want one: the sequence so far, a one-hot row of V for each of its L places.

    Meant for small vocabularies (see `char_tokenizer`): raises `UserError` where L * V is over a million.
    """

    def __init__(self, env: AnyEnv) -> None:
        super().__init__(env)
        length, vocabulary = self._shape = (self._base.mdp.context, self._base.mdp.tokenizer.vocab_size)  # L, V
        size = length * vocabulary
        if size > 10**6:
            raise UserError(
                f"OneHotView would hold {length} x {vocabulary} = {size} numbers, over 1,000,000; use a smaller "
                "vocabulary (tokenizer=char_tokenizer(...)) or max_tokens"
            )
        self.observation_space = spaces.Box(0, 1, (size,), np.float32)

    def observation(self, observation: Observation) -> npt.NDArray[np.float32]:
        length = int(observation["length"])
        rows: npt.NDArray[np.float32] = np.zeros(self._shape, dtype=np.float32)  # [L, V]
        rows[np.arange(length), observation["tokens"][:length]] = 1
        return rows.ravel()


class ActionMask(_Wrapper):
    """Adds `info["action_mask"]`, 1 for the tokens worth choosing: those that end a turn, and all that are not special.

    With `alphabet`, only tokens whose text is made of its characters. The mask is advice and any token stays legal; it
    has the form that `action_space.sample(mask)` and masked policies take, int8 of shape [V]; `action_masks()` is it as
    MaskablePPO of sb3-contrib asks for it.
    """

    def __init__(self, env: AnyEnv, alphabet: str | None = None) -> None:
        super().__init__(env, alphabet=alphabet)
        tokenizer = self._base.mdp.tokenizer
        if self._base.granularity != "token":
            raise UserError(f"ActionMask masks one token; the granularity is {self._base.granularity!r}")
        chosen = tokenizer.is_token.copy()  # [V]
        chosen[tokenizer.hf.all_special_ids] = False
        if alphabet is not None:
            chosen &= [set(tokenizer.decode([i])) <= set(alphabet) for i in range(tokenizer.vocab_size)]
        self._mask = (chosen | tokenizer.is_end).astype(np.int8)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "action_mask": self._mask.copy()}

    def step(self, action: Any) -> Step:
        *outcome, info = self.env.step(action)
        return (*outcome, {**info, "action_mask": self._mask.copy()})

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which tokens are worth choosing now.  # [V]"""
        return self._mask.astype(bool)


class KLPenalty(_Wrapper):
    """Takes beta * (log pi(a|s) - log pi_ref(a|s)) from each reward: the k1 estimate of KL(pi || pi_ref).

    `log_ratio(sequence [L'], taken [k])` returns the sum over the tokens of an action, given the sequence before it:
    the environment knows neither policy. The term is called `kl`. Trainers have their own, see `learn/losses.py`.
    """

    def __init__(self, env: AnyEnv, log_ratio: Callable[[IntArray, IntArray], float], *, beta: float) -> None:
        super().__init__(env, log_ratio=log_ratio, beta=beta)
        self._log_ratio, self._beta = log_ratio, beta
        self._before = np.zeros(0, dtype=np.int64)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._before = _sequence(observation)
        return observation, info

    def step(self, action: Action) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        after = _sequence(observation)
        taken = info.get("taken", len(after) - len(self._before))  # behind these stands what the environment wrote
        kl = -self._beta * float(self._log_ratio(self._before, after[len(self._before) :][:taken]))
        self._before = after
        terms = {**info["reward_terms"], "kl": kl}
        return observation, float(reward) + kl, terminated, truncated, {**info, "reward_terms": terms}


def _sequence(observation: Observation) -> IntArray:
    tokens: IntArray = observation["tokens"]
    return tokens[: int(observation["length"])].copy()


class RecordTrajectories(_Wrapper):
    """Appends each finished episode to a file of JSON lines, with the rewards as they are seen here.

    `read_trajectories` gives them back, and `replay` takes them again at the same granularity or a coarser one. Use one
    file an environment. A killed process loses the episode that it was in and no other; an abandoned one is left out.
    """

    def __init__(self, env: AnyEnv, path: str | Path) -> None:
        super().__init__(env, path=str(path))
        self._file = TrajectoryFile(Path(path))
        self._start = 0  # response tokens up to the last of the prefix
        self._earned: list[tuple[int, float]] = []  # (its last token, its reward) of each action

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        outcome = self.env.reset(seed=seed, options=options)
        prefix = np.flatnonzero(self._base.state.roles == Role.POLICY)
        self._start, self._earned = int(prefix.max(initial=-1)) + 1, []
        return outcome

    def step(self, action: Any) -> Step:
        begun = len(self._base.state.tokens)
        outcome = self.env.step(action)
        _, reward, terminated, truncated, info = outcome
        taken = np.flatnonzero(self._base.state.roles[begun:] == Role.POLICY)
        if len(taken):  # an empty action is none
            self._earned.append((begun + int(taken[-1]), float(reward)))
        if terminated or truncated:
            self._file.append(self._trajectory(terminated, truncated, info.get("verdict")))
        return outcome

    def _trajectory(self, terminated: bool, truncated: bool, verdict: Verdict | None) -> Trajectory:
        mdp, state, start = self._base.mdp, self._base.state, self._start
        tokens = np.array(state.tokens[start:], dtype=np.int64)  # [T]
        roles = state.roles[start:]
        rewards: npt.NDArray[np.float32] = np.zeros(len(tokens), dtype=np.float32)
        for at, reward in self._earned:
            rewards[at - start] += reward
        last = np.array([at - start for at, _ in self._earned], dtype=np.int64)
        if self._base.granularity == "token":
            answered = np.append(roles[1:] == Role.ENVIRONMENT, True)  # [T], or nobody writes behind it
            last = last[mdp.tokenizer.ends_step[tokens[last]] | answered[last]]
        problem = mdp.problem(state)
        return Trajectory(
            problem=problem,
            prompt=np.concatenate([mdp.prompt(state), np.array(state.tokens[:start], dtype=np.int64)]),
            tokens=tokens,
            roles=roles,
            logprobs=np.zeros(len(tokens), dtype=np.float32),
            versions=np.zeros_like(tokens),
            rewards=rewards,
            ends=last,
            terminated=bool(terminated),
            truncated=bool(truncated and not terminated),
            verdict=verdict or Verdict(Reason.NO_ANSWER, None, problem.answer),  # cut by another wrapper
            noise=state.noise,
        )

    def close(self) -> None:
        self._file.close()
        super().close()
