"""Made tasks never ask a question twice: laws over their knobs, and counts that are derived by hand."""

from __future__ import annotations

import copy
import pickle
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.catalog import TASKS, make_task
from reasonenv.core import Problem
from reasonenv.data.procedural import Candidate, Procedural
from reasonenv.errors import UserError
from reasonenv.seeding import permuted

CHAIN = st.fixed_dictionaries(
    {
        "operands": st.integers(2, 12),
        "digits": st.integers(1, 6),
        "operators": st.sets(st.sampled_from("+-*"), min_size=1).map("".join),
    }
)
COUNTDOWN = st.fixed_dictionaries(
    {
        "numbers": st.integers(2, 6),
        "largest": st.integers(10, 99),
        "target": st.integers(10, 999),
        "use_all": st.booleans(),
    }
)
CODE = st.fixed_dictionaries({"operations": st.integers(1, 6)})
LEGS = st.fixed_dictionaries({"max_animals": st.integers(3, 10)})
KNOBS = {"Chain": CHAIN, "Countdown": COUNTDOWN, "Code": CODE, "RG-leg_counting": LEGS}
SEEDS = st.integers(0, 2**40)


def made(name: str, **knobs: Any) -> list[Problem]:
    return list(make_task(name, **knobs).problems)


def questions(name: str, **knobs: Any) -> list[str]:
    return [problem.question for problem in made(name, **knobs)]


@pytest.fixture(params=KNOBS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in TASKS:
        pytest.skip("reasoning-gym is optional")
    return str(request.param)


@settings(max_examples=12, deadline=None)
@given(data=st.data(), split=st.sampled_from(["train", "test"]), seed=SEEDS)
def test_no_question_comes_twice_and_a_small_size_is_the_start_of_a_large_one(
    name: str, data: st.DataObject, split: str, seed: int
) -> None:
    knobs = data.draw(KNOBS[name])
    asked = questions(name, split=split, seed=seed, **knobs, **_at_most(name, 100, split=split, seed=seed, **knobs))
    assert len(set(asked)) == len(asked)
    half = len(asked) // 2
    assert questions(name, split=split, seed=seed, **knobs, size=half) == asked[:half]


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=SEEDS, other=SEEDS)
def test_splits_share_no_question_whatever_their_seeds(name: str, data: st.DataObject, seed: int, other: int) -> None:
    knobs = data.draw(KNOBS[name])
    train = questions(name, seed=seed, **knobs, size=40)
    test = make_task(name, split="test", seed=other, **knobs).problems[:40]
    assert not set(train) & {problem.question for problem in test}


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_a_seed_repeats_and_another_gives_another_order(name: str, data: st.DataObject, seed: int) -> None:
    knobs = data.draw(KNOBS[name])
    first, again = (made(name, seed=seed, **knobs, size=40) for _ in range(2))
    assert first == again
    # two orders of the 73 or more training questions of the smallest space begin alike with chance 34! / 73! or less
    assert questions(name, seed=seed + 1, **knobs, size=40) != [problem.question for problem in first]


def _at_most(name: str, size: int, **knobs: Any) -> dict[str, int]:
    """`size`, or as many problems as there are. A space without as many is asked for all that it has."""
    there = make_task(name, **knobs).problems[:size]
    return {"size": len(there)}


@pytest.mark.parametrize(
    ("knobs", "count"),
    [
        # two operands of 1 to 9 and a plus: 9 * 9
        ({"operands": 2, "operators": "+"}, 81),
        # one of three operators between them: 9 * 9 * 3
        ({"operands": 2}, 243),
        # three operands and two operators of two: 9^3 * 2^2
        ({"operands": 3, "operators": "+-"}, 2_916),
        # two operands of 10 to 99, times: 90 * 90
        ({"operands": 2, "digits": 2, "operators": "*"}, 8_100),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_space_of_chain_is_asked_whole(knobs: dict[str, Any], count: int, seed: int) -> None:
    train, test = (set(questions("Chain", split=split, seed=seed, **knobs)) for split in ("train", "test"))
    assert len(train) + len(test) == len(train | test) == count
    for split, there in (("train", len(train)), ("test", len(test))):
        assert len(questions("Chain", split=split, seed=seed, **knobs, size=there)) == there
        with pytest.raises(UserError) as refused:
            make_task("Chain", split=split, seed=seed, **knobs, size=there + 1)
        assert str(refused.value) == (
            f"size is {there + 1}, but with these settings Chain has {there} different questions in split {split!r}; "
            f"set size to at most {there}, or raise operands or digits, or add operators"
        )


def test_a_small_space_of_code_is_asked_whole() -> None:
    # one operation: three with a number of 2 to 9 and six without, each before one of four endings: (3 * 8 + 6) * 4
    train, test = (set(questions("Code", split=split, operations=1)) for split in ("train", "test"))
    assert len(train) + len(test) == len(train | test) == 120
    with pytest.raises(UserError, match=f"has {len(test)} different questions in split 'test'; set size to at most"):
        make_task("Code", split="test", operations=1, size=120)


def test_the_questions_of_a_countdown_without_large_numbers() -> None:
    # Two numbers a <= b of 1 to 10 give a+b, b-a where it is not 0, a*b, and b/a where it is whole: every such question
    # is asked. Draws decide that there is no other, so the message names them.
    expected = set()
    for a in range(1, 11):
        for b in range(a, 11):
            values = {a + b, b - a, a * b} | ({b // a} if b % a == 0 else set())
            expected |= {
                f"Use the numbers {a}, {b} and + - * / with brackets to make {value}. Use each number exactly once."
                for value in values - {0}
            }
    train, test = (set(questions("Countdown", split=s, numbers=2, largest=10)) for s in ("train", "test"))
    assert train | test == expected
    assert len(train) + len(test) == len(expected)
    problems = make_task("Countdown", split="test", numbers=2, largest=10, size=1000).problems
    message = rf"Countdown has {len(test)} different questions in split 'test', after \d+ draws; set size"
    with pytest.raises(UserError, match=message):
        list(problems)


def test_the_numbers_of_a_countdown_in_another_order_are_the_same_question() -> None:
    problems = made("Countdown", numbers=2, largest=10)
    kinds = {(tuple(sorted(problem.meta["numbers"])), problem.meta["target"]) for problem in problems}
    assert len(kinds) == len(problems)


def _stream(size: int | None, **changes: Any) -> Procedural:
    return Procedural(
        **{
            "name": "Digits",
            "prefix": "digits",
            "seed": 0,
            "split": "train",
            "draw": _digit,
            "size": size,
            "default": 100,
            "remedy": "raise nothing",
            **changes,
        }
    )


def _digit(split: str, index: int) -> Candidate | None:
    """The digits again and again; every other draw fails."""
    question = str(index // 2 % 10)
    return None if index % 2 else (question, lambda id: Problem(id, question, question))


def test_problems_are_made_when_they_are_asked_for_and_only_once() -> None:
    drawn: list[int] = []

    def draw(split: str, index: int) -> Candidate | None:
        drawn.append(index)
        return str(index), lambda id: Problem(id, str(index), "")

    stream = _stream(1_000_000, draw=draw)
    assert len(stream) == 1_000_000
    assert drawn == []
    third = stream[2]
    assert stream[2] is third
    assert drawn == list(range(len(drawn)))
    assert len(drawn) < 50  # nine of ten questions belong to the split
    assert stream[:3] == (stream[0], stream[1], third)


@pytest.mark.parametrize(
    "index", [slice(None), slice(2), slice(1, 3), slice(-2, None), slice(None, None, -1), slice(None, None, 2), -1, 0]
)
def test_it_is_indexed_as_a_list_is_also_where_there_are_fewer_than_the_default(index: int | slice) -> None:
    whole = list(_stream(None))
    assert 1 < len(whole) <= 10
    picked = _stream(None)[index]
    assert (picked if isinstance(index, int) else list(picked)) == whole[index]  # type: ignore[comparison-overlap]


def test_a_space_without_a_question_has_none_and_says_so() -> None:
    def nothing(split: str, index: int) -> Candidate | None:
        return None

    assert len(_stream(None, draw=nothing)) == 0
    message = "Digits has 0 different questions in split 'train', after 10000 draws; raise nothing"
    with pytest.raises(UserError, match=message):
        _stream(3, draw=nothing)[0]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 500), key=st.integers(0, 2**62))
def test_a_permutation_meets_every_element_once(count: int, key: int) -> None:
    assert sorted(permuted(index, count, key) for index in range(count)) == list(range(count))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(2**60, 2**400), key=st.integers(0, 2**62))
def test_a_permutation_of_a_large_range_stays_in_it_and_repeats_nothing(count: int, key: int) -> None:
    places = [permuted(index, count, key) for index in range(50)]
    assert len(set(places)) == 50
    assert min(places) >= 0
    assert max(places) < count
    # 50 uniform places all lie in one half of the range with chance 2^-49
    assert max(places) > count // 2
    assert min(places) < count // 2


def test_every_element_comes_first_about_equally_often() -> None:
    # The chi-squared statistic of 81 equally frequent elements has mean 80 and standard deviation sqrt(160) = 12.6
    firsts = Counter(permuted(0, 81, key) for key in range(8_100))
    assert sum((firsts[element] - 100) ** 2 / 100 for element in range(81)) < 80 + 5 * 12.6


def test_threads_that_share_a_stream_make_its_problems_once() -> None:
    def draw(split: str, index: int) -> Candidate | None:
        time.sleep(1e-5)  # another thread's turn
        return str(index // 3), lambda id: Problem(id, str(index // 3), "")

    expected = list(_stream(60, draw=draw))
    shared = _stream(60, draw=draw)
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: list(shared), range(4)))
    assert seen == [expected] * 4
    assert list(shared) == expected


def test_a_copy_of_a_stream_goes_on_by_itself() -> None:
    stream = _stream(None)
    first = stream[0]
    for twin in (copy.copy(stream), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert list(twin) == list(_stream(None))
    assert stream[:1] == (first,)
    assert list(stream) == list(_stream(None))
