"""Searches: what they find is known by hand, what they draw is counted to the token, and nothing depends on a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from reasonenv.core import IntArray, Problem, Reason, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Scorer
from reasonenv.rollout import SEARCHES
from reasonenv.rollout.draws import Draws, Node
from reasonenv.rollout.search import Rollouts, Search, Searching, chosen, roll_out
from reasonenv.rollout.searches.best_of_n import BestOfN
from reasonenv.rollout.searches.evolution import Evolution, crossover, distinct
from reasonenv.rollout.searches.forks import Forks
from reasonenv.rollout.searches.tree import PUCT, BestFirst, Branch, judge
from reasonenv.rollout.values import Agreement, Scores, Value, Verdicts
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling
from reasonenv.seeding import uniform
from reasonenv.tasks import Task
from reasonenv.tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()


def verify(text: str, problem: Problem) -> Verdict:
    answer = "".join(text.split())
    return Verdict(Reason.of(answer == problem.answer), answer, problem.answer, canonical=answer)


def toy(depth: int = 3, problems: int = 3, max_tokens: int = 16) -> ReasoningMDP:
    """A response has 2 `depth` + 1 tokens."""
    rows = [Problem(f"toy/{n}", f"{n} of {depth}?", "b" * depth) for n in range(problems)]
    return ReasoningMDP(Task("Toy", "train", rows, verify), TOKENIZER, EnvConfig(max_tokens=max_tokens, prompt="plain"))


class Letters(Sampler):
    """Draws a letter for each line, all alike, and counts what it draws and how often it is called."""

    def __init__(self, depth: int = 3, letters: str = "ab", runs_on: bool = False) -> None:
        self.depth, self.letters, self.runs_on = depth, letters, runs_on
        self.tokens, self.calls = 0, 0

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        self.calls += 1
        for job, (n, seed) in enumerate(jobs):
            history = TOKENIZER.decode(prompts[n]).partition("?\n")[2]
            written: list[int] = []
            while len(written) < sampling.max_tokens:
                written.append(self.next(history + TOKENIZER.decode(written), seed))
                if written[-1] == TOKENIZER.eos_id or (written[-1] in sampling.stop and not self.runs_on):
                    break
            self.tokens += len(written)
            yield job, self.completion(written, [0.0] * len(written), ends=TOKENIZER.ends, seed=seed)

    def next(self, response: str, seed: int) -> int:
        if response.count("\n") == self.depth:
            return TOKENIZER.eos_id
        if response[-1:].isalpha():
            return TOKENIZER.encode("\n")[0]
        letter = self.letters[int(uniform(seed, len(response)) * len(self.letters))]
        return TOKENIZER.encode(letter)[0]


class Bs(Value):
    """A perfect value: whether all letters so far are b."""

    def __init__(self, prefixes: bool = True) -> None:
        self.judges_prefixes = prefixes  # type: ignore[misc]

    def __call__(self, nodes: Sequence[Node]) -> list[float]:
        return [float("a" not in letters(node)) for node in nodes]


def letters(node: Node) -> str:
    return "".join(TOKENIZER.decode([t for t in node.tokens if t != TOKENIZER.eos_id]).split())


SHIPPED = [PUCT, BestFirst, BestOfN, Evolution]


def run(
    search: Search, sampler: Sampler, budget: int | None, problems: list[int], *, samples: int = 4, **options: Any
) -> Rollouts:
    value = options.pop("value", lambda mdp: Bs(prefixes=False))
    searching = Searching(search, value, budget)
    return roll_out(searching, sampler, options.pop("mdp", toy()), problems, samples, temperature=1.0, seed=(5,))


def draws_of(sampler: Sampler, budget: int | None = None, **options: Any) -> Draws:
    return Draws(sampler, toy(**options), [0], [11], Sampling(16), budget)


def node(text: str) -> Node:
    return Node(0, 0, tuple(TOKENIZER.encode(text)))


def rows(rollouts: Rollouts) -> list[list[list[int]]]:
    return [[t.tokens.tolist() for t in group.trajectories] for group in rollouts.groups]


# Budgets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("budget", [1, 2, 6, 7, 8, 40, 333])
@pytest.mark.parametrize("runs_on", [False, True])
def test_every_token_that_is_drawn_is_counted_and_none_is_drawn_that_is_not_left(
    kind: type[Search], budget: int, runs_on: bool
) -> None:
    for prefixes in (False, True):
        sampler = Letters(runs_on=runs_on)
        found = run(kind(), sampler, budget, [0, 2, 0], value=lambda mdp, p=prefixes: Bs(prefixes=p))
        assert sum(found.tokens) == sampler.tokens
        assert max(found.tokens) <= budget
        for group, responses in zip(found.groups, found.responses, strict=True):
            assert all(t.selected and len(t.tokens) == 7 for t in group.trajectories)  # three letters and their lines
            # what the policy alone has written was drawn to its end; a crossover costs nothing
            assert kind is Evolution or len(group.trajectories) <= responses
        if budget < 7:
            assert rows(found) == [[], [], []]  # no response is as short, and half a one is none


@pytest.mark.parametrize("kind", [BestOfN, Evolution])
def test_what_has_no_end_spends_its_whole_budget(kind: type[Search]) -> None:
    assert run(kind(), Letters(), 100, [0, 1]).tokens == [100, 100]


@pytest.mark.parametrize("kind", [PUCT, BestFirst])
def test_a_tree_that_is_known_to_its_last_leaf_is_searched_no_further(kind: type[Search]) -> None:
    # one letter, so each node has one child: three steps of 2 tokens drawn 4 times, and the end drawn 4 times:
    # 4 (2 + 2 + 2 + 1) = 28 tokens; then the root is expanded again, 8 tokens, and nothing new comes of it
    sampler = Letters(letters="b")
    found = run(kind(), sampler, 10**6, [0], value=lambda mdp: Bs())
    assert found.tokens == [36]
    assert found.responses == [4]


def test_a_budget_is_obligatory() -> None:
    for tokens in (None, 0):
        with pytest.raises(UserError, match="needs a value and a budget"):
            Searching(PUCT(), Verdicts, tokens)
    with pytest.raises(UserError, match="needs a value and a budget"):
        Searching(PUCT(), None, 100)


def test_a_limit_is_cut_into_few_sizes_and_what_is_left_is_shared() -> None:
    # two responses with 5 tokens left: 2 each (their share), then 1 token for the first alone
    draws = draws_of(Letters(), 5)
    one, other = draws.responses(draws.roots() * 2)
    assert (len(one.tokens), len(other.tokens), draws.left) == (3, 2, [0])
    assert draws.finished == [[]]
    assert [n.tokens for n in draws.steps([one])] == [one.tokens]  # nothing is left


def test_a_round_is_a_call_for_all_problems_and_nodes() -> None:
    # limits are powers of two and all responses are alike: 8 tokens are enough for one call
    sampler = Letters()
    draws = Draws(sampler, toy(), [0, 1, 2], [1, 2, 3], Sampling(16), 1000)
    draws.responses(draws.roots() * 5)
    assert (sampler.calls, draws.spent) == (1, [35, 35, 35])


# What they find -----------------------------------------------------------------------------------------------------


def test_best_first_with_a_perfect_value_needs_one_expansion_a_step() -> None:
    # A round draws 4 letters; with seed 5 a b is among them in each round. 3 rounds of 4 steps of 2 tokens, and the
    # end drawn 4 times: 4 (2 + 2 + 2 + 1) = 28 tokens. One token less, and the last round is cut: 3 ends of 4.
    found = run(BestFirst(), Letters(), 28, [0], value=lambda mdp: Bs())
    assert found.tokens == [28]
    assert found.responses == [4]
    assert found.groups[0].trajectories[0].verdict.correct
    assert run(BestFirst(), Letters(), 27, [0], value=lambda mdp: Bs()).responses == [3]
    # independent draws are right one time in eight: 28 tokens are 4 of them
    assert run(BestOfN(), Letters(), 28, [0]).responses == [4]


def test_the_best_come_first_and_of_equals_the_first_drawn() -> None:
    draws = draws_of(Letters(), None)
    responses = draws.responses(draws.roots() * 30)
    (best,) = chosen(draws, responses, Bs(), 30)
    values = Bs()(best)
    assert values == sorted(values, reverse=True)
    right = [n for n in responses if letters(n) == "bbb"]
    assert right
    assert best[: len(right)] == right


def test_puct_on_a_tree_of_two_levels_by_hand() -> None:
    """Two children of the root, priors 3/4 and 1/4, values 0 and 1, C = 1.

    Both judged once: N(root) = 2. U = Q + P sqrt(2) / 2: 0 + 0.75 * 0.7071 = 0.530 against 1 + 0.25 * 0.7071 = 1.177.
    The second is expanded, its two children (priors 1/2) are worth 0 and 0: Q = 1/3, N = 3, N(root) = 4. Now 0.75 *
    2 / 2 = 0.75 against 1/3 + 0.25 * 2 / 4 = 0.458: the first.
    """
    root = Branch(node(""))
    first, second = Branch(node("a\n"), root, drawn=3), Branch(node("b\n"), root, drawn=1)
    root.children = {branch.node.tokens: branch for branch in (first, second)}
    tree = [root, first, second]

    class Table(Value):
        def __call__(self, nodes: Any) -> list[float]:
            return [{"a": 0.0, "b": 1.0}.get(letters(n), 0.0) for n in nodes]

    search = PUCT()
    for branch in (first, second):
        branch.judged = [branch.node]
    judge([tree], Table())
    assert [search.bound(b) for b in (first, second)] == pytest.approx([0.75 / math.sqrt(2), 1 + 0.25 / math.sqrt(2)])
    assert search.select(tree) is second
    children = [Branch(node(f"b\n{letter}\n"), second, drawn=2) for letter in "ab"]
    second.children = {branch.node.tokens: branch for branch in children}
    tree += children
    for branch in children:
        branch.judged = [branch.node]
    judge([tree], Table())
    assert (root.visits, second.visits, second.mean) == (4, 3, pytest.approx(1 / 3))
    assert [search.bound(b) for b in (first, second)] == pytest.approx([0.75, 1 / 3 + 0.125])
    assert search.select(tree) is first
    assert BestFirst().select(tree) is first  # 0, as are the children of the second, which come later


def test_equal_draws_are_one_child_that_counts_them() -> None:
    draws, search = draws_of(Letters(letters="aab"), None), PUCT()
    root = Branch(*draws.roots())
    (grown,) = search._grow(draws, [root], Bs())
    drawn = {letters(child.node): child.drawn for child in root.children.values()}
    assert sum(drawn.values()) == 4
    assert set(drawn) <= {"a", "b"}
    assert grown == list(root.children.values())
    assert [len(child.judged) for child in grown] == [child.drawn for child in grown]
    assert search._grow(draws, [root], Bs())[0] == [c for c in root.children.values() if c not in grown]
    assert sum(child.drawn for child in root.children.values()) == 8


def test_a_value_of_finished_responses_alone_is_that_of_a_response_drawn_on() -> None:
    # the root's children are 4 draws of at most two letters; each draw is drawn to its end once, at 5 tokens more
    draws, search = draws_of(Letters(), None), PUCT()
    root = Branch(*draws.roots())
    (grown,) = search._grow(draws, [root], Bs(prefixes=False))
    assert draws.spent == [4 * 2 + 4 * 5]
    for child in grown:
        assert len(child.judged) == child.drawn
        for response in child.judged:
            assert response.over
            assert response.tokens[:2] == child.node.tokens


@pytest.mark.parametrize(
    ("one", "other", "child"),
    [
        ("1+2=3\n3+4=7\n", "2+1=3\n3*5=15\n", "1+2=3\n3*5=15\n"),  # both come to 3 after their first step
        ("1+1=2\n2+1=3\n3+4=7\n", "2+1=3\n3*5=15\n", "1+1=2\n2+1=3\n3*5=15\n"),  # the one later than the other
        ("1+2=3\n3+4=7\n", "2+2=4\n4*5=20\n", None),  # no value in common
        ("1+2=3\n3+4=7\n", "1+2=3\n3+4=7\n", None),  # the child would be the parent
        ("so it is\nfine\n", "so it was\nfine\n", None),  # steps without a value
    ],
)
def test_a_crossover_joins_two_solutions_where_they_come_to_the_same_value(
    one: str, other: str, child: str | None
) -> None:
    draws = Draws(Letters(), toy(max_tokens=64), [0], [1], Sampling(64), None)
    parents = [replace(node(text), tokens=(*node(text).tokens, TOKENIZER.eos_id), over=True) for text in (one, other)]
    found = crossover(draws, *parents)
    assert (None if found is None else draws.text(found)) == child
    if found is not None:
        assert found.over


def test_a_crossover_that_is_too_long_is_none() -> None:
    draws = Draws(Letters(), toy(max_tokens=20), [0], [1], Sampling(20), None)
    long, short = ("1+2=3\n3+0=3\n3+4=7\n", "2+1=3\n3*5=15\n")
    parents = [replace(node(text), tokens=(*node(text).tokens, TOKENIZER.eos_id), over=True) for text in (long, short)]
    assert crossover(draws, *parents) is not None  # at the first 3: 6 + 9 tokens
    kept = draws.grafted(parents[0].prefix(18), parents[1], 6)
    assert kept is None  # 18 + 1 + 8


def test_mutations_keep_a_prefix_of_the_fitter_half_up_to_a_step() -> None:
    draws = draws_of(Letters(), None)
    right, wrong = (
        replace(node(text), tokens=(*node(text).tokens, TOKENIZER.eos_id), over=True)
        for text in ("b\nb\nb\n", "a\na\na\n")
    )
    prefixes = Evolution().mutations(draws, 0, [right, wrong], 1)
    assert len(prefixes) == 8
    assert {letters(prefix) for prefix in prefixes} <= {"", "b", "bb", "bbb"}
    assert all(not prefix.over for prefix in prefixes)
    assert [p.tokens for p in Evolution().mutations(draws, 0, [], 1)] == [()] * 8  # nothing to go on from yet


def test_evolution_finds_what_independent_draws_do_not_at_equal_tokens() -> None:
    # 16 letters, all b: one response in 65,536; 6,600 tokens are 200 of them
    mdp, found = toy(depth=16, max_tokens=64), {}

    class Share(Value):
        def __call__(self, nodes: Any) -> list[float]:
            return [letters(n).count("b") / 16 for n in nodes]

    for kind in (Evolution, BestOfN):
        one = run(kind(), Letters(16), 6600, [0, 1, 2], mdp=mdp, samples=1, value=lambda mdp: Share())
        assert one.tokens == [6600] * 3
        found[kind] = [g.trajectories[0].verdict.extracted.count("b") for g in one.groups]
    assert min(found[Evolution]) > max(found[BestOfN])


def test_distinct_solutions_are_told_apart_by_their_tokens() -> None:
    one, twin, other = node("a\n"), node("a\n"), node("b\n")
    assert distinct([[one, twin, other], [twin]], 2) == [[one, other], [twin]]
    assert distinct([[one, twin, other]], 1) == [[one]]


def test_each_draw_is_a_vote_though_solutions_are_kept_once() -> None:
    """Of 8 first draws 6 are the same text with one answer; two texts of another one are no majority."""
    draws = draws_of(Letters(), 10**6)
    drawn = [finished(0, "bb")] * 6 + [finished(0, "a"), finished(0, "a\n")]
    (best,) = distinct(chosen(draws, drawn, Agreement(toy()), 8), 8)
    assert [letters(solution) for solution in best] == ["bb", "a", "a"]


# Values -------------------------------------------------------------------------------------------------------------


def finished(place: int, text: str) -> Node:
    return Node(place, place, (*TOKENIZER.encode(text), TOKENIZER.eos_id), over=True)


def test_agreement_is_the_share_of_equal_answers_to_the_same_problem() -> None:
    nodes = [finished(0, "a\nb"), finished(0, "b"), finished(0, "ab"), finished(1, "b")]
    assert Agreement(toy())(nodes) == [2 / 3, 1 / 3, 2 / 3, 1.0]
    assert Verdicts(toy(depth=1))(nodes) == [0.0, 1.0, 0.0, 1.0]


def test_agreement_is_the_same_whatever_the_reference_answer_is() -> None:
    # 1/2, 0.5 and 2/4 are one number, 3 another; the gold is 0.5, or 3, or nothing that anybody answered
    answers = ["#### 1/2", "#### 0.5", "#### 2/4", "#### 3", "no answer", "#### 0.50"]
    found = []
    for gold in ("0.5", "3", "7/11"):
        mdp = make_mdp("Chain", size=1, tokenizer=TOKENIZER, max_tokens=32)
        mdp.problems = (replace(mdp.problems[0], answer=gold),)
        found.append(Agreement(mdp)([finished(0, answer) for answer in answers]))
    assert found[0] == found[1] == found[2]
    assert found[0] == [4 / 6, 4 / 6, 4 / 6, 1 / 6, 0.0, 4 / 6]


@pytest.mark.parametrize("kind", SHIPPED)
def test_a_search_by_agreement_selects_alike_whatever_the_reference_answers_are(kind: type[Search]) -> None:
    found = []
    for gold in ("bbb", "aaa", "7"):
        mdp = toy()
        mdp.problems = tuple(replace(problem, answer=gold) for problem in mdp.problems)
        found.append(rows(run(kind(), Letters(), 150, [0, 1, 2], mdp=mdp, value=Agreement)))
    assert found[0] == found[1] == found[2]
    assert all(found[0])


def test_only_verdicts_see_reference_answers() -> None:
    assert [kind.sees_golds for kind in (Verdicts, Agreement, Scores)] == [True, False, False]


def test_scores_are_those_of_the_reward_model_at_each_prefix() -> None:
    policy = tiny_policy(0)
    mdp = make_mdp("Chain", size=4, tokenizer=policy.tokenizer, max_tokens=16)
    scorer = Scorer(policy.trainable_copy())
    scorer.head.weight.data[0] = torch.linspace(-0.02, 0.03, scorer.head.weight.shape[1])
    prefixes = [Node(0, 0, tuple(policy.tokenizer.encode(text))) for text in ("1", "1+2", "1+2=3\n")]
    value = Scores(mdp, scorer)
    together = value(prefixes)
    assert [Scores(mdp, scorer)([prefix])[0] for prefix in prefixes] == together  # whatever stands beside it
    whole = Node(0, 0, prefixes[2].tokens)
    assert value([whole]) == [together[2]]
    assert len(set(together)) == 3


# Laws of all searches -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Any:
    """A real policy that has learned nothing, and sums: what is drawn is bytes."""
    policy = tiny_policy(0)
    return make_sampler("torch", policy), make_mdp("Chain", size=6, tokenizer=policy.tokenizer, max_tokens=24)


@pytest.mark.parametrize("name", list(SEARCHES))
def test_what_is_drawn_for_a_problem_does_not_depend_on_the_others(name: str, real: Any) -> None:
    sampler, mdp = real
    search = partial(run, SEARCHES.find(name)(), sampler, 120, mdp=mdp, value=Agreement)
    together, again = search([0, 3, 5, 3]), search([0, 3, 5, 3])
    assert rows(together) == rows(again)
    for place, index in enumerate([0, 3, 5]):
        alone = search([index])
        assert rows(alone)[0] == rows(together)[place]
        assert alone.tokens[0] == together.tokens[place]
    assert rows(together)[1] != rows(together)[3]  # a problem that is met again is searched anew


@pytest.mark.parametrize("name", list(SEARCHES))
def test_what_is_returned_are_episodes_of_the_process(name: str, real: Any) -> None:
    sampler, mdp = real
    found = run(SEARCHES.find(name)(), sampler, 200, [0, 1], mdp=mdp, value=Agreement)
    for trajectory in [t for group in found.groups for t in group.trajectories]:
        state = mdp.take(mdp.initial(mdp.problems.index(trajectory.problem)), trajectory.tokens.tolist())
        assert state.verdict == trajectory.verdict
        assert trajectory.selected


def test_a_search_knows_no_environment_that_writes(real: Any) -> None:
    sampler, _ = real
    mdp = make_mdp("Chain", size=2, tokenizer=TOKENIZER, stochastic="sticky:0.1")
    with pytest.raises(UserError, match="leave out the search, or replies=, tools= and stochastic="):
        run(PUCT(), sampler, 100, [0], mdp=mdp, value=Verdicts)


# Trees of draws -----------------------------------------------------------------------------------------------------


def test_forks_share_their_first_steps_and_throw_nothing_away() -> None:
    sampler = Letters()
    found = roll_out(Searching(Forks((2, 3))), sampler, toy(), [0, 1], 6, temperature=1.0, seed=(5,))
    # 2 first steps of 2 tokens, then 3 times the 5 tokens that are left of each: 2 * 2 + 6 * 5
    assert found.tokens == [34, 34]
    assert sampler.tokens == 68
    assert found.responses == [6, 6]
    for group in found.groups:
        assert not any(t.selected for t in group.trajectories)
        assert [t.branches for t in group.trajectories] == [((0, i), (2, j)) for i in range(2) for j in range(3)]
        for one, other in zip(group.trajectories, group.trajectories[1:], strict=False):
            if one.branches[0] == other.branches[0]:
                assert one.tokens[:2].tolist() == other.tokens[:2].tolist()


def test_a_branch_that_ends_early_is_a_leaf() -> None:
    # one line is all there is: the third token ends the response, so the second level forks the end alone
    found = roll_out(Searching(Forks((2, 2, 2))), Letters(1), toy(1), [0], 8, temperature=1.0, seed=(5,))
    (group,) = found.groups
    assert [t.branches for t in group.trajectories] == [((0, i), (2, j)) for i in range(2) for j in range(2)]
    assert found.tokens == [2 * 2 + 4]


# Searches of users --------------------------------------------------------------------------------------------------


class Eight(Search):
    """The example of CONTRIBUTING."""

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        return chosen(draws, draws.responses([root for root in draws.roots() for _ in range(8)]), value, samples)


class Secretive(Eight):
    selects = False

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        draws.responses(draws.roots() * 8)
        return [nodes[:samples] for nodes in draws.finished]


class Peeking(Eight):
    selects = False


class Odd(Eight):
    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        draws.responses(draws.roots())
        returned: list[list[Node]] = self.returned(draws)
        return returned


def test_a_search_of_a_users_own() -> None:
    found = run(Eight(), Letters(), 100, [0, 1], samples=2)
    assert [len(group.trajectories) for group in found.groups] == [2, 2]
    assert found.responses == [8, 8]
    assert found.tokens == [56, 56]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (Secretive(), "selects nothing and drew 16 responses, of which it returned 8; set selects = True"),
        (Peeking(), "has no value to go by; set selects = True"),
        (Odd(lambda draws: None), "Odd.run returned None; it must return a list of nodes for each problem"),
        (Odd(lambda draws: [[]]), "it must return a list of nodes for each problem"),
        (Odd(lambda draws: [draws.roots(), []]), "must be a finished node of problem 0"),
        (Odd(lambda draws: draws.finished[::-1]), "must be a finished node of problem 0"),
        (Odd(lambda draws: [[nodes[0]] * 9 for nodes in draws.finished]), "returned 9 responses to a problem"),
    ],
)
def test_what_is_no_search_is_told_in_one_line(search: Search, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        run(search, Letters(), 1000, [0, 1])
    assert "\n" not in str(error.value)


def test_what_a_sampler_selected_is_marked_wherever_it_goes() -> None:
    class Chooser(Letters):
        def draw(self, *arguments: Any) -> Any:
            for job, completion in super().draw(*arguments):
                yield job, replace(completion, selected=True)

    (group,) = roll_out(None, Chooser(), toy(), [0], 2, temperature=1.0, seed=(0,)).groups
    assert all(isinstance(t, Trajectory) and t.selected for t in group.trajectories)
    np.testing.assert_array_equal([len(t.tokens) for t in group.trajectories], [7, 7])
