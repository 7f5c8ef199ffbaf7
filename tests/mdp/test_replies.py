"""Replies: what the environment says to a turn is text, and the process that holds it is as pure as any other."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reasonenv
from reasonenv.core import Completion, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.mdp.env import GRANULARITIES, ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.replies import register_reply
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.mdp.wrappers import TextView
from reasonenv.tasks import Task
from reasonenv.verify.grade import verify_math

SECRETS = ("7", "3", "12")


def guided(text: str, problem: Problem, state: dict[str, Any]) -> str | bool:
    """Higher or lower, in at most four guesses; the game itself says who has won."""
    state["guesses"] = [*state.get("guesses", []), text]
    if text == problem.answer:
        return True
    if len(state["guesses"]) == 4:
        return False
    if not text.isdecimal():
        return "a number, please"
    return "higher" if int(text) < int(problem.answer) else "lower"


def game(reply: Callable[..., Any] = guided, max_tokens: int = 120, **keys: Any) -> ReasoningMDP:
    """A task that brings its own protocol."""

    def guess(*, split: str = "train") -> Task:
        problems = [Problem(f"guess/{i}", "Guess my number.", secret) for i, secret in enumerate(SECRETS)]
        return Task("Guess", split, problems, verify_math, max_tokens=max_tokens, replies=(reply,))

    return make_mdp(guess, **keys)


def tokens_of(mdp: ReasoningMDP, *turns: str) -> list[int]:
    """The turns of a policy, each with its end."""
    return [token for turn in turns for token in (*mdp.tokenizer.encode(turn), mdp.tokenizer.eos_id)]


def trajectory(mdp: ReasoningMDP, tokens: list[int], index: int = 0, noise: int = 0) -> Trajectory:
    return mdp.trajectory(index, Completion.unsampled(np.array(tokens), "eos"), noise)


def played(mdp: ReasoningMDP, *turns: str, index: int = 0) -> Trajectory:
    return trajectory(mdp, tokens_of(mdp, *turns), index)


def written(mdp: ReasoningMDP, whole: Trajectory) -> str:
    return mdp.tokenizer.decode(whole.tokens[whole.roles == Role.ENVIRONMENT].tolist())


def test_a_game_is_told_in_turns_and_says_itself_who_has_won() -> None:
    mdp = game()
    won, lost = played(mdp, "5", "x", "7"), played(mdp, "1", "2", "3", "4")
    assert mdp.tokenizer.decode(won.tokens.tolist()) == "5<eos>\nhigher\nx<eos>\na number, please\n7<eos>"
    # to the token: what is not the policy's is the environment's
    assert written(mdp, won) == "\nhigher\n\na number, please\n"
    assert won.tokens[won.roles == Role.POLICY].tolist() == tokens_of(mdp, "5", "x", "7")
    assert (won.verdict.reason, won.ret, won.terminated) == (Reason.CORRECT, 1.0, True)
    assert (lost.verdict.reason, lost.verdict.extracted, lost.ret) == (Reason.WRONG, "4", 0.0)


@settings(max_examples=40, deadline=None)
@given(
    turns=st.lists(st.sampled_from(["7", "3", "5", "x", "", "12\n"]), min_size=4, max_size=4),
    cut=st.integers(0, 30),
    index=st.integers(0, 2),
)
def test_any_state_can_be_stepped_from_again(turns: list[str], cut: int, index: int) -> None:
    mdp = game()
    states = [mdp.initial(index)]
    for token in tokens_of(mdp, *turns):
        if not mdp.over(states[-1]):
            states.append(mdp.transition(states[-1], token))
    earlier = states[min(cut, len(states) - 2)]
    for other in ("9", "7"):  # another branch from there, which must leave no trace
        state = earlier
        for token in tokens_of(mdp, other, other):
            state = state if mdp.over(state) else mdp.transition(state, token)
    again = [states[0]]
    for token in tokens_of(game(), *turns):
        if not mdp.over(again[-1]):
            again.append(mdp.transition(again[-1], token))
    assert [(s, s.memory.shared, s.verdict) for s in states] == [(s, s.memory.shared, s.verdict) for s in again]


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("turns", [("5", "x", "7"), ("7",), ("1", "2", "3", "4")])
def test_granularities_and_replay_agree(granularity: str, turns: tuple[str, ...]) -> None:
    whole = played(game(), *turns)
    reasonenv.replay(whole, ReasoningEnv(game(), granularity))  # in a process that has said nothing yet


def test_rows_of_a_vector_are_single_environments_and_text_goes_in_and_out() -> None:
    mdp = game()
    turns = [["5", "7"], ["x", "3"], ["12", "12"]]
    rows = BatchedReasoningEnv(mdp, "response", 3, autoreset_mode="Disabled")
    rows.reset(options={"problem": [0, 1, 2], "noise": 0})
    encoded = [[mdp.tokenizer.encode(text) for text in row] for row in turns]
    _, first, over, _, infos = rows.step([row[0] for row in encoded])
    assert (first.tolist(), over.tolist()) == ([0.0, 0.0, 1.0], [False, False, True])
    single = TextView(ReasoningEnv(mdp, "response"))
    assert single.reset(options={"problem": 0})[0] == "Guess my number.\n"
    text, reward, terminated, _, info = single.step("5")
    assert (text, reward, terminated) == ("Guess my number.\n5<eos>\nhigher\n", 0.0, False)
    *_, info = single.step("7")
    assert info["is_success"]
    assert infos["verdict"][2].correct


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("clone", [copy.deepcopy, pickled])
def test_a_copy_in_the_middle_of_an_episode_goes_on_as_the_original(clone: Callable[[Any], Any]) -> None:
    env = ReasoningEnv(make_mdp("Chain", size=4, replies="retry:3"), "response")
    env.reset(options={"problem": 0})
    env.step(env.mdp.tokenizer.encode("#### 999"))
    twin = clone(env)
    for each in (env, twin):
        each.step(each.mdp.tokenizer.encode("#### 998"))
    assert twin.state == env.state
    assert twin.state.memory.shared == env.state.memory.shared
    assert env.state.memory.shared["tries"] == 2


class Counted:
    """A session that cannot be copied, and a record of what became of each."""

    log: ClassVar[list[str]] = []

    def start(self, problem: Problem) -> Connection:
        self.log.append("start")
        return Connection(self.log)

    def __call__(self, text: str, problem: Problem, state: Connection) -> str | bool:
        state.lines.append(text)
        return len(state.lines) == 3 or f"line {len(state.lines)}: {'/'.join(state.lines)}"


class Connection:
    def __init__(self, log: list[str]) -> None:
        self.lines: list[str] = []
        self.log, self.lock = log, threading.Lock()  # a lock is not to be copied

    def close(self) -> None:
        self.log.append("close")


def test_a_session_is_used_in_place_and_started_anew_only_for_an_earlier_state() -> None:
    Counted.log.clear()
    mdp = game(Counted())
    assert written(mdp, played(mdp, "a", "b", "c")) == "\nline 1: a\n\nline 2: a/b\n"
    assert Counted.log == ["start", "close"]
    Counted.log.clear()
    states = [mdp.initial(0)]
    for token in tokens_of(mdp, "a", "b"):
        states.append(mdp.transition(states[-1], token))
    after_a, after_b = states[2], states[-1]
    assert Counted.log == ["start"]

    def said(state: Any, turn: str) -> str:
        begun = len(state.tokens)
        for token in tokens_of(mdp, turn):
            state = mdp.transition(state, token)
        return mdp.tokenizer.decode(state.tokens[begun:])

    assert said(after_a, "x") == "x<eos>\nline 2: a/x\n"  # given "a" once more
    assert Counted.log == ["start", "close", "start"]
    assert mdp.verdict(mdp.transition(after_b, mdp.tokenizer.eos_id)) is not None  # the third line of a/b, not of a/x
    del states, after_a, after_b
    assert Counted.log.count("start") == Counted.log.count("close")  # nothing is left open


def clock(text: str, problem: Problem, state: dict[str, Any]) -> str | None:
    """Says another thing each time."""
    clock.ticks += 1  # type: ignore[attr-defined]
    return f"tick {clock.ticks}" if text == "?" else None  # type: ignore[attr-defined]


clock.ticks = 0  # type: ignore[attr-defined]


def test_what_is_no_function_of_the_episode_is_replayed_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    mdp = game(clock)
    whole = played(mdp, "?", "?", "7")
    assert whole.verdict.correct
    with pytest.raises(AssertionError, match="tokens part"):
        reasonenv.replay(whole, ReasoningEnv(mdp, "token"))
    monkeypatch.setattr(clock, "deterministic", False, raising=False)
    for granularity in GRANULARITIES:
        ticks = clock.ticks  # type: ignore[attr-defined]
        reasonenv.replay(whole, ReasoningEnv(game(clock), granularity))
        assert clock.ticks == ticks  # type: ignore[attr-defined]


def test_the_trajectory_of_an_episode_that_has_ended_says_nothing_again() -> None:
    mdp = game(clock)
    state, tokens, moves = mdp.initial(0), tokens_of(mdp, "?", "?", "7"), []
    for token in tokens:
        before, state = state, mdp.transition(state, token)
        moves.append((before, state))
    ticks = clock.ticks  # type: ignore[attr-defined]
    whole = mdp.episode(moves, Completion.unsampled(np.array(tokens), "eos"))
    assert clock.ticks == ticks  # type: ignore[attr-defined]
    assert whole.tokens.tolist() == list(state.tokens)
    slow = trajectory(game(lambda *_: None), tokens_of(mdp, "7"))
    assert (whole.verdict, whole.ret) == (slow.verdict, slow.ret)


def fails(text: str, problem: Problem, state: dict[str, Any]) -> str:
    raise ConnectionError("no route")


def hangs(text: str, problem: Problem, state: dict[str, Any]) -> str:
    threading.Event().wait()
    return "never"


async def hangs_too(text: str, problem: Problem, state: dict[str, Any]) -> str:
    await asyncio.Event().wait()
    return "never"


hangs.timeout = hangs_too.timeout = 0.2  # type: ignore[attr-defined]


def cancelled(text: str, problem: Problem, state: dict[str, Any]) -> str:
    raise asyncio.CancelledError("lost")


async def leaves(text: str, problem: Problem, state: dict[str, Any]) -> str:
    raise SystemExit(3)


async def interrupts(text: str, problem: Problem, state: dict[str, Any]) -> str:
    raise KeyboardInterrupt


class Opened:
    """A session in which one of its parts goes wrong."""

    timeout = 0.2

    def __init__(self, part: str, wrong: Callable[[], Any]) -> None:
        self.parts = {part: wrong}

    def start(self, problem: Problem) -> Opened:
        self.parts.get("start", bool)()
        return self

    def __call__(self, text: str, problem: Problem, state: Opened) -> None:
        self.parts.get("step", bool)()

    def close(self) -> None:
        self.parts.get("close", bool)()


def forever() -> None:
    threading.Event().wait()


def broken() -> None:
    raise ConnectionError("no route")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (cancelled, "reply 'cancelled' on guess/0: RuntimeError: CancelledError: lost"),
        (leaves, "reply 'leaves' on guess/0: RuntimeError: SystemExit: 3"),
        (interrupts, "reply 'interrupts' on guess/0: RuntimeError: KeyboardInterrupt: "),
        (Opened("start", forever), "reply 'Opened' on guess/0: no answer within 0.2 seconds"),
        (Opened("step", forever), "reply 'Opened' on guess/0: no answer within 0.2 seconds"),
        (Opened("start", broken), "reply 'Opened' on guess/0: ConnectionError: no route"),
        (fails, "reply 'fails' on guess/0: ConnectionError: no route"),
        (hangs, "reply 'hangs' on guess/0: no answer within 0.2 seconds"),
        (hangs_too, "reply 'hangs_too' on guess/0: no answer within 0.2 seconds"),
    ],
)
def test_a_reply_that_fails_is_no_verdict_on_the_policy(reply: Any, message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        whole = played(game(reply), "7")
    assert (whole.verdict.reason, whole.verdict.checked, whole.terminated) == (Reason.ERROR, False, True)
    assert whole.verdict.cause == message
    assert played(game(slow_reply), "7", "7", "7").verdict.correct  # the event loop goes on


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (forever, "reply 'Opened' could not be closed within 0.2 seconds"),
        (broken, "reply 'Opened' could not be closed: ConnectionError: no route"),
    ],
)
def test_a_session_that_cannot_be_closed_changes_no_verdict(wrong: Callable[[], Any], message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        assert played(game(Opened("close", wrong)), "7").verdict.correct


def keeps_a_lock(text: str, problem: Problem, state: dict[str, Any]) -> str:
    state["lock"] = threading.Lock()
    return "again"


def test_what_replies_share_must_be_copied() -> None:
    with pytest.raises(reasonenv.UserError, match=r"cannot be copied \(TypeError: cannot pickle .*start\(\)"):
        played(game(keeps_a_lock), "7", "7")


@pytest.mark.parametrize("value", [3, b"text", ["text"], 0.5])
def test_another_type_is_the_mistake_of_who_wrote_the_reply(value: Any) -> None:
    with pytest.raises(reasonenv.UserError, match=r"reply '<lambda>' on guess/0 returned .*must return a text, None"):
        played(game(lambda *_: value), "7")


def test_a_text_without_end_is_cut_and_control_tokens_in_it_are_text() -> None:
    mdp = game(lambda text, *_: "x" * 10**8 if text == "more" else "<eos>\ud800" if text == "eos" else None, 20_000)
    with pytest.warns(UserWarning, match="on guess/0: 100000000 characters, of which 10000 are used"):
        long = played(mdp, "more", "7")
    assert written(mdp, long) == f"\n{'x' * 10_000}\n[99990000 more characters are left out]\n"
    forged = played(mdp, "eos", "7")
    assert written(mdp, forged) == "\n<eos>?\n"
    assert mdp.tokenizer.eos_id not in forged.tokens[forged.roles == Role.ENVIRONMENT]


def test_a_reply_that_would_fill_the_budget_is_left_out_and_the_last_turn_counts() -> None:
    # "5<eos>" is 2 tokens and "\nhigher\n" 8: of 10 none would be left to the policy, of 11 one is
    assert played(game(max_tokens=10), "5").roles.all()
    assert played(game(max_tokens=10), "5").verdict.reason is Reason.WRONG
    assert game(max_tokens=11).initial(0, tokens_of(game(), "5")).written == tuple(range(2, 10))


async def slow_reply(text: str, problem: Problem, state: dict[str, Any]) -> str | None:
    await asyncio.sleep(0)
    state["n"] = state.get("n", 0) + 1
    return f"{state['n']}" if state["n"] < 3 else None


def test_coroutines_are_replies_and_many_threads_may_step() -> None:
    mdp = game(slow_reply)
    scripts = [tokens_of(mdp, f"{n}", f"{n + 1}", "7") for n in range(24)]
    alone = [trajectory(mdp, tokens).tokens.tolist() for tokens in scripts]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda tokens: trajectory(mdp, tokens).tokens.tolist(), scripts))
    assert together == alone
    assert written(mdp, trajectory(mdp, scripts[0])) == "\n1\n\n2\n"


def test_replies_speak_in_order_and_share_a_dict() -> None:
    heard: list[int] = []

    def first(text: str, problem: Problem, state: dict[str, Any]) -> str | None:
        state["n"] = state.get("n", 0) + 1
        return "first" if state["n"] == 2 else None

    def second(text: str, problem: Problem, state: dict[str, Any]) -> str | None:
        heard.append(state["n"])
        return "second" if state["n"] == 1 else None

    mdp = game(first, replies=[second])
    assert written(mdp, played(mdp, "1", "2", "7")) == "\nsecond\n\nfirst\n"
    assert heard == [1, 3]  # the first reply had the second turn


def test_rows_of_a_vector_do_not_wait_for_each_other() -> None:
    # each waits until all three have been asked: one after the other, no row would ever be answered
    asked = threading.Barrier(3)

    def meets(text: str, problem: Problem, state: dict[str, Any]) -> bool:
        asked.wait()
        return True

    rows = BatchedReasoningEnv(game(meets), "response", 3)
    rows.reset(seed=0)
    _, rewards, terminated, _, infos = rows.step([rows.mdp.tokenizer.encode("7")] * 3)
    assert (rewards.tolist(), terminated.tolist()) == ([1.0] * 3, [True] * 3)
    assert infos["is_success"].all()


def test_a_verdict_of_a_reply_may_be_any_verdict() -> None:
    verdict = Verdict(Reason.UNPARSABLE_ANSWER, "x", "7", canonical="x")
    assert played(game(lambda *_: verdict), "x").verdict == verdict


def test_replies_are_named_registered_and_suggested() -> None:
    register_reply("echo", lambda text, problem, state: None if text == "7" else text)
    mdp = make_mdp("Chain", size=2, replies=f"echo+{__file__}:clock", max_tokens=60)
    assert written(mdp, played(mdp, "abc", "7")) == "\nabc\n"
    for spec, message in (
        ("retyr:2", "did you mean retry"),
        ("retry:0", "write retry:NUMBER, the number of tries, from 1 to 10"),
        ("calculator:1", "too many positional arguments; write NAME:ARGUMENT"),
        ("echo:1", "takes no argument"),
        (f"{__file__}:SECRETS", "must be a function"),
    ):
        with pytest.raises(reasonenv.UserError, match=message):
            make_mdp("Chain", size=2, replies=spec)


def test_a_prefix_may_hold_turns_that_were_answered() -> None:
    mdp = game()
    state = mdp.initial(0, [*tokens_of(mdp, "5"), *mdp.tokenizer.encode("7")])
    assert mdp.tokenizer.decode(state.tokens) == "5<eos>\nhigher\n7"
    with pytest.raises(reasonenv.UserError, match="no start"):
        mdp.initial(0, tokens_of(mdp, "7"))


def test_gymnasium_has_them_by_keyword() -> None:
    env = TextView(gymnasium.make("reasonenv/Chain-Response-v0", size=4, replies="retry:2"))
    env.reset(options={"problem": 0})
    assert env.step("#### 999")[0].endswith("#### 999<eos>\nThat is wrong. Try again.\n")
