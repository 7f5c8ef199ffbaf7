"""Stochastic and multi-turn processes: pure in (noise, history), as likely as they say, and lawful as any other."""

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import reasonenv
from reasonenv.core import Completion, Reason, Role, Trajectory, Verdict
from reasonenv.mdp.calculator import calculated
from reasonenv.mdp.dynamics import in_words
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.tasks import reference_solution
from reasonenv.tokenizer import Tokenizer, byte_tokenizer

SPECS = (
    "stochastic=sticky:0.2",
    "replies=calculator stochastic=tool_failure:0.5",
    "stochastic=hint:0.5",
    "replies=retry:3",
    "stochastic=reword:0.5",
    "stochastic=interrupt:5",
    "replies=calculator+retry:2 stochastic=sticky:0.1+hint:0.5+reword:0.5",
)
GRANULARITIES = ("token", "step", "response")


def keys(spec: str) -> dict[str, str]:
    """`replies=retry:3 stochastic=hint:0.5` as keyword arguments."""
    return dict(part.split("=", 1) for part in spec.split())


@pytest.fixture(scope="module")
def mdps() -> dict[str, ReasoningMDP]:
    return {spec: make_mdp("Chain", size=20, reward="dense", **keys(spec)) for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS)
def test_gymnasium_finds_nothing_to_say(spec: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("reasonenv/Chain-Step-v0", size=20, **keys(spec)).unwrapped)


def script(mdp: ReasoningMDP, index: int, draw: st.DrawFn) -> list[int]:
    """What the policy wants to say: gold, noise or calculations, in up to three answers, then EOS for ever."""
    gold = reference_solution(mdp.task.problems[index])
    texts = st.sampled_from([gold, gold[:5], "3+4=\n2*(3-5)=\n#### ", "#### 1", ""])
    noise = st.text(st.sampled_from("0123456789+-=\n# "), max_size=12)
    tokens: list[int] = []
    for text in draw(st.lists(texts | noise, min_size=1, max_size=3)):
        tokens += [*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id]
    if draw(st.booleans()):
        tokens = [t for t in tokens if t != mdp.tokenizer.eos_id] or tokens
        return (tokens * mdp.max_tokens)[: mdp.max_tokens]
    return tokens + [mdp.tokenizer.eos_id] * mdp.max_tokens


def played(mdp: ReasoningMDP, granularity: str, index: int, noise: int, tokens: list[int]) -> tuple[object, ...]:
    """An episode in which the policy says `tokens`: what is left of an action that was cut short comes next."""
    env = ReasoningEnv(mdp, granularity)
    observation, _ = env.reset(seed=0, options={"problem": index, "noise": noise})
    at, done, total = 0, [False, False], 0.0
    while not any(done):
        rest = tokens[at:]
        line = next((i + 1 for i, t in enumerate(rest) if mdp.tokenizer.ends_step[t]), len(rest))
        action = {"token": rest[0], "step": rest[:line], "response": rest}[granularity]
        observation, reward, *done, info = env.step(action)
        at += info["taken"]
        total += reward
        assert not all(done)
    return info["response"], pytest.approx(total), done, info["verdict"], at, observation["tokens"].tolist()


def trajectory(mdp: ReasoningMDP, index: int, noise: int, tokens: list[int]) -> Trajectory:
    return mdp.trajectory(
        index, Completion(np.array(tokens), -np.ones(len(tokens), np.float32), "eos", np.zeros_like(tokens), 0), noise
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), spec=st.sampled_from(SPECS), index=st.integers(0, 19), noise=st.integers(0, 2**62))
def test_laws_of_granularity_and_replay(
    mdps: dict[str, ReasoningMDP], data: st.DataObject, spec: str, index: int, noise: int
) -> None:
    mdp = mdps[spec]
    tokens = script(mdp, index, data.draw)
    token, step, response = (played(mdp, g, index, noise, tokens) for g in GRANULARITIES)
    assert token == step == response
    count = token[4]
    assert isinstance(count, int)
    whole = trajectory(mdp, index, noise, tokens[:count])
    own = whole.roles == Role.POLICY
    assert whole.tokens[own].tolist() == tokens[:count]
    assert whole.logprobs.tolist() == np.where(own, -1.0, 0.0).tolist()
    assert (whole.rewards[~own] == 0).all()
    assert own[whole.ends].all()
    for granularity in GRANULARITIES:
        reasonenv.replay(whole, ReasoningEnv(mdp, granularity))
    if not own.all():  # another noise is another episode, or this trajectory could not tell
        at = int(np.flatnonzero(~own)[0])
        forged = replace(whole, tokens=np.where(np.arange(len(own)) == at, 1 + whole.tokens, whole.tokens))
        with pytest.raises(AssertionError, match="part"):
            reasonenv.replay(forged, ReasoningEnv(mdp, "token"))


@settings(max_examples=30, deadline=None)
@given(data=st.data(), spec=st.sampled_from(SPECS), index=st.integers(0, 19), noise=st.integers(0, 2**62))
def test_transition_is_a_function_of_the_state(
    mdps: dict[str, ReasoningMDP], data: st.DataObject, spec: str, index: int, noise: int
) -> None:
    tokens = script(mdps[spec], index, data.draw)[:12]
    fresh = make_mdp("Chain", size=20, max_tokens=mdps[spec].max_tokens, **keys(spec))  # has drawn nothing yet
    walked = []
    for mdp in (mdps[spec], mdps[spec], fresh):
        state = mdp.initial(index, noise=noise)
        for token in tokens:
            if not mdp.over(state):
                state = mdp.transition(state, token)
        walked.append((state, mdp.prompt(state).tolist()))
    assert walked[0] == walked[1] == walked[2]


def test_events_happen_as_often_as_stated() -> None:
    # n independent draws of probability p: 4 standard deviations, sqrt(n p (1 - p)), are passed once in 16,000 tests
    n, index = 1500, 3

    def happened(mdp: ReasoningMDP, noise: int, prefix: str) -> bool:
        state = mdp.initial(index, mdp.tokenizer.encode(prefix), noise)
        if mdp.rewording is not None and mdp.rewording.applies(state):
            return mdp.tokenizer.decode(mdp.prompt(state).tolist()) != mdp.tokenizer.decode(mdp.prompts[index].tolist())
        written = mdp.tokenizer.decode([state.tokens[i] for i in state.written])
        right = {"7": "", "7+5=": "12", "": f"Hint: the first step gives {first}\n"}[prefix]
        return written != right

    for spec, prefix, p in (
        ("stochastic=sticky:0.3", "7", 0.3),
        ("replies=calculator stochastic=tool_failure:0.2", "7+5=", 0.2),
        ("stochastic=hint:0.4", "", 0.4),
    ):
        mdp = make_mdp("Chain", size=5, **keys(spec))
        first = mdp.task.problems[index].steps[0].rpartition("=")[2]
        count = sum(happened(mdp, noise, prefix) for noise in range(n))
        assert abs(count - n * p) < 4 * (n * p * (1 - p)) ** 0.5, spec
    mdp = make_mdp("Chain", size=5, stochastic="reword:0.6")
    count = sum(len(mdp.prompt(State(index, noise=noise))) != len(mdp.prompts[index]) for noise in range(n))
    assert abs(count - n * 0.6) < 4 * (n * 0.6 * 0.4) ** 0.5


def test_draws_at_two_positions_are_independent() -> None:
    # sticky:0.5 repeats "7" r times with probability 2^-(r+1): the mean of r is 1 and its variance 2
    mdp = make_mdp("Chain", size=5, stochastic="sticky:0.5", max_tokens=60)
    runs = [len(mdp.initial(0, mdp.tokenizer.encode("7"), noise).written) for noise in range(1500)]
    assert abs(np.mean(runs) - 1) < 4 * (2 / 1500) ** 0.5
    assert abs(np.mean(np.array(runs) == 1) - 0.25) < 4 * (0.25 * 0.75 / 1500) ** 0.5


def said(mdp: ReasoningMDP, index: int, *answers: str) -> Trajectory:
    """The episode of these answers, each closed with EOS."""
    return trajectory(mdp, index, 0, [t for a in answers for t in (*mdp.tokenizer.encode(a), mdp.tokenizer.eos_id)])


def test_the_last_of_several_tries_counts(mdps: dict[str, ReasoningMDP]) -> None:
    mdp = mdps["replies=retry:3"]
    gold = reference_solution(mdp.task.problems[0])
    first = said(mdp, 0, gold)
    third = said(mdp, 0, "#### 777", f"{gold}1", gold)
    never = said(mdp, 0, gold.replace("####", "####7"), "#### 777", "")
    assert first.ret == pytest.approx(1.5)  # dense: 1 for the answer, 1/2 for all steps
    assert third.ret == pytest.approx(1.5)  # what a dropped try earned is taken back
    assert never.ret == pytest.approx(0.0)
    assert [t.verdict.reason for t in (first, third, never)] == [Reason.CORRECT, Reason.CORRECT, Reason.NO_ANSWER]
    assert [t.terminated for t in (first, third, never)] == [True] * 3
    feedback = mdp.tokenizer.decode(third.tokens[third.roles == Role.ENVIRONMENT].tolist())
    assert feedback == "\nThat is wrong. Try again.\n" * 2
    with pytest.raises(ValueError, match="neither"):
        said(mdp, 0, "#### 777")  # the policy still has its say


def test_a_failure_to_verify_is_not_called_wrong() -> None:
    mdp = make_mdp("Chain", size=5, replies="retry:3")
    lost = Verdict(Reason.TIMEOUT, None, "0")
    mdp.task = replace(mdp.task, verify=lambda text, problem: lost)
    assert said(mdp, 0, "#### 777").verdict == lost


def test_feedback_is_a_turn_of_the_models_own_template() -> None:
    def process(closing: str) -> ReasoningMDP:
        hf = byte_tokenizer().hf
        opening = "{% if add_generation_prompt %}[assistant]{% endif %}"
        hf.chat_template = (
            f"{{% for m in messages %}}[{{{{ m.role }}}}]{{{{ m.content }}}}{closing}{{% endfor %}}{opening}"
        )
        return make_mdp("Chain", size=5, replies="retry:2", tokenizer=Tokenizer(hf))

    mdp = process("<eos>")
    text = mdp.tokenizer.decode(said(mdp, 0, "#### 777", "#### 778").tokens.tolist())
    assert text == "#### 777<eos>[user]That is wrong. Try again.<eos>[assistant]#### 778<eos>"
    with pytest.raises(reasonenv.UserError, match="does not close an answer with EOS"):
        process("|")


def thought(mdp: ReasoningMDP, noise: int, *parts: str) -> Trajectory:
    tokens = [t for part in parts for t in mdp.tokenizer.encode(part)]
    return trajectory(mdp, 0, noise, [*tokens, mdp.tokenizer.eos_id])


def test_long_thinking_is_ended_once_at_a_random_point_and_the_answer_counts() -> None:
    mdp = make_mdp("Chain", size=5, stochastic="interrupt:10")
    gold, told = (
        mdp.task.problems[0].answer,
        "\nOkay, time is up. Let me stop thinking and formulate a final answer now.\n",
    )
    found = [thought(mdp, noise, "0" * 15, f"\n#### {gold}") for noise in range(40)]
    assert all(t.verdict.correct and t.terminated for t in found)
    starts = {int((t.roles == Role.ENVIRONMENT).argmax()) for t in found}
    assert starts == {10, 11, 12}  # up to a fifth more
    for t in found:
        assert mdp.tokenizer.decode(t.tokens[t.roles == Role.ENVIRONMENT].tolist()) == told
    assert thought(mdp, 0, f"#### {gold}").roles.all()  # it was done before


def test_a_model_that_closes_its_thinking_is_not_interrupted_in_its_answer() -> None:
    hf = byte_tokenizer().hf
    hf.add_tokens(["</think>"])
    mdp = make_mdp("Chain", size=5, stochastic="interrupt:10", tokenizer=Tokenizer(hf), max_tokens=200)
    assert thought(mdp, 0, "0" * 5, "</think>", "0" * 40).roles.all()
    cut = thought(mdp, 0, "0" * 40)
    assert mdp.tokenizer.decode(cut.tokens[cut.roles == Role.ENVIRONMENT].tolist()).endswith("now.\n</think>")


def test_the_environment_leaves_the_last_token_to_the_policy() -> None:
    # a reply that would fill the budget is not given, so only the policy's own token ever ends an episode
    mdp = make_mdp("Chain", size=5, replies="calculator", max_tokens=6)
    full = trajectory(mdp, 0, 0, mdp.tokenizer.encode("7+5=ab"))
    assert (full.truncated, full.roles.all()) == (True, True)
    mdp = make_mdp("Chain", size=5, replies="calculator", max_tokens=7)
    assert mdp.initial(0, mdp.tokenizer.encode("7+5=")).written == (4, 5)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("7+5=", "12"),
        ("so (7+5)*3=", "36"),
        ("<<48/2=", "24"),
        ("x=3-10=", "-7"),
        ("1/2 + 1/3 =", "5/6"),
        ("$1.5*4=", "6"),
        ("1/0=", "error"),
        ("x=", None),
        ("12=", None),
        ("-12=", None),
        ("2x+3=", None),
        ("7+=", None),
        ("7 5=", None),
        ("=", None),
        ("1+" * 40 + "1=", None),
    ],
)
def test_a_calculation_is_what_stands_before_the_equals_sign(line: str, value: str | None) -> None:
    assert calculated(line) == value


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("(7+5)*3=?", "(seven plus five) times three=?"),
        ("12-9=?", "twelve minus nine=?"),
        ("Tom has 21 cows.", "Tom has twenty-one cows."),
        ("It costs $12.50, or 5% of 1,200.", "It costs $12.50, or 5% of 1,200."),
        ("A 2-year-old in 1999", "A 2-year-old in 1999"),
    ],
)
def test_a_question_in_words_asks_the_same(question: str, words: str) -> None:
    assert in_words(question) == words


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("stiky:0.1", "did you mean sticky"),
        ("sticky", "write sticky:NUMBER"),
        ("sticky:1", "from 0 to 0.9"),
        ("calculator:0.1", "write replies=calculator stochastic=tool_failure:NUMBER"),
        ("tool_failure:-0.1", "from 0 to 1"),
        ("tool_failure:0.1", "there are no tools; name some with tools="),
        ("hint:often", "the probability that the hint is wrong"),
        ("retry:3", "is a reply; write replies=retry:3"),
        ("sticky:0.1+stiky:0.1", "did you mean sticky"),
        ("interrupt:0", "from 1 to 1e\\+06"),
        ("interrupt:9.5", "write interrupt:10"),
    ],
)
def test_a_bad_spec_is_named(spec: str, message: str) -> None:
    with pytest.raises(reasonenv.UserError, match=message):
        gymnasium.make("reasonenv/Chain-Token-v0", stochastic=spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("stcky:0.1", "unknown dynamics 'stcky'; did you mean sticky"),
        ("sticky", "write sticky:NUMBER, the probability that a token is repeated, from 0 to 0.9"),
        ("sticky:often", "write sticky:NUMBER"),
        ("interrupt:2.5", "the number of tokens that may pass before thinking is ended is counted, write interrupt:3"),
        ("reasonenv.mdp.dynamics:in_words:1", "must be a class derived from reasonenv.mdp.dynamics.Dynamics"),
    ],
)
def test_dynamics_that_cannot_be_are_named(spec: str, message: str) -> None:
    with pytest.raises(reasonenv.UserError, match=message):
        make_mdp("Chain", size=1, stochastic=spec)
