"""What a search goes by: how good a response is, or may become.

A search is handed a `Value` and nothing else that judges, so whether it can see reference answers is decided where its
value is made: `Verdicts` sees them and is for training problems alone, `Agreement` and `Scores` never do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from reasonenv.core import Verdict
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.policy.collate import token_batch
from reasonenv.policy.value_head import Scorer
from reasonenv.rollout.draws import Node

DIGITS = 4  # of a score: what lies behind them depends on which other rows passed the model beside it


class Value(ABC):
    """A number in [0, 1] for each of several nodes at once, perhaps of several problems."""

    sees_golds: ClassVar[bool] = False  # whether it looks at reference answers
    judges_prefixes: ClassVar[bool] = False  # whether it says anything of unfinished responses

    @abstractmethod
    def __call__(self, nodes: Sequence[Node]) -> list[float]:
        """Of finished responses or, if it judges them, of any. Those to one problem may be compared.  # [n]"""


class Verdicts(Value):
    """The score of a response, 1 if it is correct: for training problems, whose answers a run may know."""

    sees_golds = True

    def __init__(self, mdp: ReasoningMDP) -> None:
        self.mdp = mdp
        self._known: dict[tuple[int, tuple[int, ...]], float] = {}

    def __call__(self, nodes: Sequence[Node]) -> list[float]:
        for node in nodes:
            if (node.index, node.tokens) not in self._known:
                verdict = self.mdp.verdict(State(node.index, node.tokens))
                self._known[node.index, node.tokens] = 0.0 if verdict is None else verdict.score
        return [self._known[node.index, node.tokens] for node in nodes]


class Agreement(Value):
    """The share of the responses to its problem that give the same answer (self-consistency, 2203.11171).

    Answers are compared by their canonical forms, each made as if the answer itself were the reference answer.
    """

    def __init__(self, mdp: ReasoningMDP) -> None:
        self.mdp = mdp
        self._known: dict[tuple[int, tuple[int, ...]], str | None] = {}

    def __call__(self, nodes: Sequence[Node]) -> list[float]:
        answers = [(node.place, self._answer(node)) for node in nodes]
        votes, responses = Counter(answers), Counter(node.place for node in nodes)
        return [votes[place, form] / responses[place] if form is not None else 0.0 for place, form in answers]

    def _answer(self, node: Node) -> str | None:
        key = node.index, node.tokens
        if key not in self._known:
            state = State(node.index, node.tokens)
            self._known[key] = self._canonical(state, self.mdp.verdict(state))
        return self._known[key]

    def _canonical(self, state: State, verdict: Verdict | None) -> str | None:
        """The form of an answer, in which the reference answer has no part: of `verdict` what was extracted is read."""
        if verdict is None or verdict.extracted is None:
            return None
        problem = replace(self.mdp.problem(state), answer=verdict.extracted)
        return self.mdp.verify(self.mdp.answer(state), problem, terminated=self.mdp.terminated(state)).canonical


class Scores(Value):
    """What an outcome reward model says of a response, or of a prefix: the chance that its answer will be right."""

    judges_prefixes = True

    def __init__(self, mdp: ReasoningMDP, scorer: Scorer) -> None:
        self.mdp, self.scorer = mdp, scorer
        self._known: dict[tuple[int, tuple[int, ...]], float] = {}

    def __call__(self, nodes: Sequence[Node]) -> list[float]:
        unknown = dict.fromkeys((node.index, node.tokens) for node in nodes)
        rows = [key for key in unknown if key not in self._known]
        if rows:
            prompts = [self.mdp.prompts[index] for index, _ in rows]
            responses = [np.array(tokens, dtype=np.int64) for _, tokens in rows]
            batch = token_batch(prompts, responses, pad=self.mdp.tokenizer.eos_id)
            scores = self.scorer.scores(batch).numpy()
            for key, row in zip(rows, scores, strict=True):
                self._known[key] = round(float(row[len(key[1]) - 1]), DIGITS)
        return [self._known[node.index, node.tokens] for node in nodes]
