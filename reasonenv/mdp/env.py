"""`ReasoningEnv`: the process as a Gymnasium environment, at the granularity of a token, a step or a whole response."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import index
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from reasonenv.core import IntArray, Role, Trajectory
from reasonenv.errors import UserError, check_known
from reasonenv.mdp.dialogue import tool_calls
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.picture import picture
from reasonenv.mdp.state import State
from reasonenv.terminal import printable

GRANULARITIES = ("token", "step", "response")
Observation = dict[str, Any]  # see `observation_space`
Info = dict[str, Any]
Action = int | Sequence[int] | IntArray


def observation_space(mdp: ReasoningMDP) -> spaces.Space[Any]:
    """`tokens`: the sequence so far, zeros behind it [L]; `length`: how many of them count, a number of 0 to L."""
    last, context = mdp.tokenizer.vocab_size - 1, mdp.context
    return spaces.Dict(tokens=spaces.Box(0, last, (context,), np.int64), length=spaces.Discrete(context + 1))


def action_space(mdp: ReasoningMDP, granularity: str) -> spaces.Space[Any]:
    """One id for `token`, a sequence of ids for `step` and `response`. Raises `UserError` for another granularity."""
    check_known("granularity", granularity, GRANULARITIES)
    token = spaces.Discrete(mdp.tokenizer.vocab_size)
    return token if granularity == "token" else spaces.Sequence(token, stack=True)


def completed_actions(
    mdp: ReasoningMDP, granularity: str, rooms: IntArray, actions: Sequence[Action]
) -> tuple[IntArray, IntArray, IntArray]:
    """The tokens that steps or responses stand for: `flat[start : start + size]` for each of `starts` and `sizes` [k].

    A response is the last word: it is closed with `mdp.end_id` if it is not, unless it fills the budget, of which
    `rooms` [k] are left. What follows an end or the budget inside an action is never taken, because the episode or the
    turn is over by then.
    """
    closing = np.array([mdp.end_id])
    pieces = [piece for action in actions for piece in (_ids(action), closing)]
    flat = check_ids(mdp, np.concatenate(pieces))
    widths = np.array(list(map(len, pieces[::2])), dtype=np.int64)
    starts = np.cumsum(widths + 1) - widths - 1
    ends = np.flatnonzero(mdp.tokenizer.is_end[flat])
    sizes = ends[np.searchsorted(ends, starts)] + 1 - starts  # up to the first end, at the latest the one put behind
    return flat, starts, np.minimum(sizes, rooms if granularity == "response" else np.minimum(widths, rooms))


def check_ids(mdp: ReasoningMDP, ids: IntArray) -> IntArray:
    """`ids` as they are. Raises `InvalidAction` if one is no token; NumPy would take -1 for the last."""
    if ids.min(initial=0) < 0 or ids.max(initial=0) >= mdp.tokenizer.vocab_size:
        raise no_token(mdp, int(ids[(ids < 0) | (ids >= mdp.tokenizer.vocab_size)][0]))
    return ids


def no_token(mdp: ReasoningMDP, token: int) -> gymnasium.error.InvalidAction:
    """The error for an id that is no token."""
    last = mdp.tokenizer.vocab_size - 1
    return gymnasium.error.InvalidAction(f"an action holds token id {token}; ids go from 0 to {last}")


def completed_action(mdp: ReasoningMDP, granularity: str, state: State, action: Action) -> list[int]:
    """The tokens that one action stands for in `state`, at any granularity."""
    if granularity == "token":
        try:
            token = index(action)  # type: ignore[arg-type]  # refuses what is no integer, 1.5 too
        except TypeError:
            raise not_ids("one token id", action) from None
        if not 0 <= token < mdp.tokenizer.vocab_size:
            raise no_token(mdp, token)
        return [token]
    room = np.array([mdp.max_tokens - len(state.tokens)])
    flat, _, sizes = completed_actions(mdp, granularity, room, [action])
    return list(flat[: sizes[0]].tolist())


class WrongKind(gymnasium.error.InvalidAction, TypeError):
    """An action that is no token id, or no sequence of them. Also a `TypeError`, which some callers catch."""


def not_ids(expected: str, action: Any) -> WrongKind:
    """The error for an action that is of another kind than `expected`."""
    return WrongKind(
        f"an action is {expected}, and this is {type(action).__name__} {action!r:.60}; TextView(env) takes text"
    )


def _ids(action: Action) -> IntArray:
    if isinstance(action, np.ndarray) and action.dtype == np.int64 and action.ndim == 1:
        return action
    try:
        if isinstance(action, (str, bytes, bytearray)):  # of bytes, `array` would take the memory
            raise TypeError
        return np.asarray(array("q", action), dtype=np.int64)  # type: ignore[arg-type]  # refuses what is no integer
    except (TypeError, ValueError, OverflowError):
        raise not_ids("a sequence of token ids", action) from None


class ReasoningEnv(gymnasium.Env[Observation, Action]):
    """One problem at a time.

    `reset(seed=, options={"problem": i, "prefix": ids, "noise": n})` starts problem i (else a random one) after
    `prefix`. Every `info` holds `problem_id`, `question` and `response` (the text so far); a step adds `reward_terms`,
    whose sum is the reward; the end of an episode adds `verdict` and `is_success`. `render()` returns the transcript
    with its rewards: with `render_mode="ansi"` as a text, with `"rgb_array"` as a picture [H, W, 3] of it.

    Where the environment draws or answers, n is the seed of its own draws, which `info` holds too, and a step adds
    `taken`: how many tokens of the action were taken. An action ends where the environment writes; the other new
    tokens are the environment's. Where there are tools, `tool_calls` are those of the step: name, arguments, result.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, mdp: ReasoningMDP, granularity: str = "token", *, render_mode: str | None = None) -> None:
        if render_mode is not None:
            check_known("render_mode", render_mode, self.metadata["render_modes"])
        self.mdp = mdp
        self.granularity = granularity
        self.render_mode = render_mode
        self.observation_space = observation_space(mdp)
        self.action_space = action_space(mdp, granularity)
        self._state = State(0)
        self._over = True
        self._sequence: IntArray = np.zeros(mdp.context, dtype=np.int64)  # [L], what is observed
        self._prompt_length, self._written = 0, 0  # tokens of it
        self._earned: list[tuple[int, float]] = []  # (response length, reward) after each action

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        super().reset(seed=seed)
        options = options or {}
        for key in options:
            check_known("reset option", key, ("problem", "prefix", "noise"))
        problem = options.get("problem")
        if problem is None:
            problem = int(self.np_random.integers(len(self.mdp.problems)))
        noise = options.get("noise")
        if noise is None:
            noise = 0 if not self.mdp.stochastic else int(self.np_random.integers(2**62))
        self._state = self.mdp.initial(problem, options.get("prefix", ()), noise)
        prompt = self.mdp.prompt(self._state)
        self._sequence[:] = 0
        self._sequence[: len(prompt)] = prompt
        self._prompt_length, self._written = len(prompt), 0
        self._over = False
        self._earned = []
        return self._observation(), self._info()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, Info]:
        if self._over:
            raise gymnasium.error.ResetNeeded("the episode is over (or never began): call reset() before step()")
        before = self._state
        outcome = self.mdp.take(before, completed_action(self.mdp, self.granularity, before, action))
        self._state = outcome.state
        reward = float(sum(outcome.terms.values()))
        terminated, truncated = self.mdp.terminated(self._state), self.mdp.truncated(self._state)
        self._over = terminated or truncated
        self._earned.append((len(self._state.tokens), reward))
        info = {**self._info(), "reward_terms": outcome.terms}
        if self.mdp.stochastic:
            info["taken"] = outcome.taken
        if self.mdp.tools is not None:
            info["tool_calls"] = tool_calls(before, outcome.state)
        if outcome.verdict is not None:
            info |= {"verdict": outcome.verdict, "is_success": outcome.verdict.correct}
        return self._observation(), reward, terminated, truncated, info

    @property
    def state(self) -> State:
        """Where the process is."""
        return self._state

    def render(self) -> Any:
        """The transcript as a text or as a picture, as the render mode says.

        Without a render mode nothing but a warning, as in Gymnasium's own environments.
        """
        if self.render_mode is None:
            gymnasium.logger.warn('render() without a render mode shows nothing; make it with render_mode="ansi"')
            return None
        return self.transcript() if self.render_mode == "ansi" else picture(self.transcript())

    def transcript(self) -> str:
        """The question, the response line by line with the rewards that fell on each, and how it ended."""
        tokens, ends_step = self._state.tokens, self.mdp.tokenizer.ends_step
        rewards = dict.fromkeys((i for i, t in enumerate(tokens, start=1) if ends_step[t]), 0.0)  # by end of line
        rewards |= {len(tokens): 0.0} if tokens else {}
        for end, reward in self._earned:
            line = min((e for e in rewards if e >= end), default=0)
            if line:
                rewards[line] += reward
        lines, start = [printable(self.mdp.problem(self._state).question, keep="\n")], 0
        for end, reward in rewards.items():
            text = self.mdp.tokenizer.decode(tokens[start:end]).removesuffix("\n")
            lines.append(f"{f'{reward:+.3f}' if reward else '':>7} | {printable(text)}")
            start = end
        verdict = self.mdp.verdict(self._state)
        if verdict is not None:
            how = "terminated" if self.mdp.terminated(self._state) else "truncated"
            lines.append(f"{how}, {verdict.reason}: found {verdict.extracted!r}, gold {verdict.gold!r}")
        return "\n".join(lines)

    def _observation(self) -> Observation:
        start, length = (self._prompt_length + n for n in (self._written, len(self._state.tokens)))
        self._sequence[start:length] = self._state.tokens[self._written :]
        self._written = len(self._state.tokens)
        return {"tokens": self._sequence.copy(), "length": np.int64(length)}

    def _info(self) -> Info:
        problem = self.mdp.problem(self._state)
        info = {"problem_id": problem.id, "question": problem.question, "response": self.mdp.text(self._state)}
        return info if not self.mdp.stochastic else {**info, "noise": self._state.noise}


def replay(trajectory: Trajectory, env: gymnasium.Env[Any, Any]) -> None:
    """Takes a trajectory again, one action of `env` after the other, and fails at the first difference.

    `env` is any environment of the same task, tokenizer, reward and dynamics (wrapped or not). The policy's tokens are
    the actions; the environment must write its own again, but where a reply is no function of the episode it says what
    is recorded. Raises `AssertionError` that names the token at which
    tokens, reward, flags or verdict part. An episode that began after a prefix holds it at the end of its prompt.
    """
    base = env.unwrapped
    if not isinstance(base, ReasoningEnv):
        raise UserError(f"replay needs a ReasoningEnv, not {type(base).__name__}")
    ids = [p.id for p in base.mdp.problems]
    problem = ids.index(trajectory.problem.id)
    process = base.mdp
    base.mdp = process.recorded(trajectory, problem)
    try:
        _replay(trajectory, env, base, problem)
    finally:
        base.mdp = process


def _replay(trajectory: Trajectory, env: gymnasium.Env[Any, Any], base: ReasoningEnv, problem: int) -> None:
    prefix = base.mdp.prefix(problem, trajectory.prompt, trajectory.noise)
    env.reset(options={"problem": problem, "prefix": prefix, "noise": trajectory.noise})
    size = len(trajectory.tokens)
    chosen = np.append(np.flatnonzero(trajectory.roles == Role.POLICY), size)  # where the policy acts, and the end
    stops = {
        "token": chosen[:-1].tolist(),
        "step": trajectory.ends.tolist(),
        "response": chosen[:-1][(np.diff(chosen) > 1) | (chosen[1:] == size)].tolist(),
    }[base.granularity]
    start = int(chosen[0])
    for stop in stops:
        following = int(chosen[np.searchsorted(chosen, stop, side="right")])  # the next action, behind what was written
        tokens = trajectory.tokens[start : stop + 1]
        action = int(tokens[0]) if base.granularity == "token" else tokens
        observation, reward, terminated, truncated, info = env.step(action)
        expected = float(trajectory.rewards[start : stop + 1].sum(dtype=np.float64))
        last = following == size
        length = len(trajectory.prompt) + following
        where = f"{trajectory.problem.id}, token {stop}"
        recorded = np.concatenate([trajectory.prompt, trajectory.tokens[:following]])
        assert (observation["tokens"][:length] == recorded).all(), f"{where}: tokens part"
        assert observation["length"] == length, f"{where}: length {observation['length']}, recorded {length}"
        assert abs(float(reward) - expected) < 1e-6, f"{where}: reward {reward}, recorded {expected}"
        assert terminated == (last and trajectory.terminated), f"{where}: terminated is {terminated}"
        assert truncated == (last and trajectory.truncated), f"{where}: truncated is {truncated}"
        assert not last or info["verdict"] == trajectory.verdict, f"{where}: {info['verdict']} vs {trajectory.verdict}"
        start = following
