"""Problems, verdicts and trajectories survive being JSON, and what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.codec import ARRAYS, decode, decode_problem, decode_verdict, encode, encode_problem, storable
from reasonenv.core import Problem, Reason, Verdict
from reasonenv.envs.chain import chain
from reasonenv.envs.programming import code
from reasonenv.errors import UserError
from reasonenv.testing import TabularPolicy, TinyMDP


def back(problem: Problem) -> Problem:
    """Through JSON and back."""
    return decode_problem(json.loads(json.dumps(encode_problem(problem))))


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text() | st.integers() | st.booleans() | st.tuples(st.integers(), st.text())
values = st.recursive(
    leaves | st.sets(st.integers()),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of one type all the way down: 1 == 1.0 == True is not enough."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(st.dictionaries(keys, values, max_size=4), st.text(), st.lists(st.text()).map(tuple))
def test_every_problem_comes_back_as_it_was(meta: dict[Any, Any], text: str, steps: tuple[str, ...]) -> None:
    problem = Problem("p", text, text, steps, meta)
    found = back(problem)
    assert found == problem
    assert same(dict(found.meta), meta)
    assert isinstance(found.steps, tuple)


@pytest.mark.parametrize(
    "meta",
    [{"!tuple": [1]}, {"a": {"!set": 1}}, {"a": {"!x": 1, "y": 2}}, {"a": {"!reasonenv.core:Problem": {}}}, {}],
)
def test_a_key_that_looks_like_a_mark_is_a_key(meta: dict[str, Any]) -> None:
    assert back(Problem("p", "", "", (), meta)).meta == meta


def test_mappings_of_other_kinds_and_numbers_of_numpy_come_back_as_pythons_own() -> None:
    meta = MappingProxyType({"inner": MappingProxyType({"n": np.int64(3), "x": np.float32(0.5), "b": np.bool_(True)})})
    assert same(dict(back(Problem("p", "", "", (), meta)).meta), {"inner": {"n": 3, "x": 0.5, "b": True}})


def test_problems_of_tasks_come_back_with_their_meta() -> None:
    # unit tests are a dataclass of the package's own
    for problem in (code(size=2).problems[0], chain(size=2).problems[0]):
        assert back(problem) == problem


def test_a_value_that_json_cannot_hold_is_told_with_its_place() -> None:
    problem = Problem("gsm/7", "", "", (), {"entry": {"when": [1, object()]}})
    with pytest.raises(UserError, match=r"meta\['entry'\]\['when'\]\[1\] is of type object, .*storable"):
        encode_problem(problem)


def test_only_marked_classes_are_made_when_reading() -> None:
    @dataclass(frozen=True)
    class Own:
        size: int

    with pytest.raises(UserError, match=r"is of type .*Own"):
        encode_problem(Problem("p", "", "", (), {"own": Own(3)}))
    data = encode_problem(Problem("p", "", "", (), {"own": storable(Own)(3)}))
    assert decode_problem(data).meta == {"own": Own(3)}
    unmarked: Mapping[str, Any] = {"id": "p", "question": "", "answer": "", "meta": {"x": {"!subprocess:Popen": {}}}}
    with pytest.raises(UserError, match="holds a subprocess:Popen; import the module that marks it"):
        decode_problem(unmarked)


def test_a_verdict_is_written_by_its_fields_but_for_the_clock() -> None:
    process = TinyMDP(actions=2, horizon=1, reward=lambda response: float(response[0]))
    (trajectory,) = process.group(TabularPolicy(process), [1]).trajectories
    data = json.loads(json.dumps(encode(trajectory)))["verdict"]
    assert data.keys() == {f.name for f in fields(Verdict)} - {"millis", "cause"}
    assert decode_verdict(data) == trajectory.verdict
    timed = Verdict(Reason.TIMEOUT, None, "1", millis=9.0)
    kept = {name: value for name, value in vars(timed).items() if name not in ("millis", "cause")}
    assert decode_verdict(kept) == timed


def test_whether_a_verdict_is_correct_follows_from_its_reason_whatever_an_older_file_says() -> None:
    for reason in Reason:
        data = {"correct": reason is Reason.WRONG, "reason": reason.value, "extracted": None, "gold": "1"}
        assert decode_verdict(data).correct == (reason == "correct")


def test_what_was_selected_and_where_a_tree_forked_is_kept() -> None:
    mdp = TinyMDP(actions=2, horizon=2, reward=lambda response: float(sum(response)))
    (trajectory,) = mdp.group(TabularPolicy(mdp), [1]).trajectories
    arrays = {name: getattr(trajectory, name) for name in ARRAYS}
    marked = replace(trajectory, selected=True, branches=((0, 1), (1, 0)))
    found = decode(json.loads(json.dumps(encode(marked))), arrays)
    assert (found.selected, found.branches) == (True, ((0, 1), (1, 0)))
    old = json.loads(json.dumps(encode(trajectory)))  # a file of before there were searches
    del old["selected"], old["branches"]
    found = decode(old, arrays)
    assert (found.selected, found.branches) == (False, ())
