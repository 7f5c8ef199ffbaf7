"""The search of a run or an evaluation, with what it goes by and what it may draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from reasonenv.errors import UserError
from reasonenv.experiment.config import AGREEMENT, VERDICT, EvalConfig, RunConfig
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.policy.value_head import load_scorer, scorer_folder
from reasonenv.rollout import SEARCHES
from reasonenv.rollout.search import Searching, check_searchable
from reasonenv.rollout.values import Agreement, Scores, Value, Verdicts

VALUES = {AGREEMENT: Agreement, VERDICT: Verdicts}


def check_search(config: RunConfig | EvalConfig, *processes: ReasoningMDP) -> None:
    """Raises `UserError` for a search that cannot be, before a policy is loaded for it."""
    if config.search is None:
        return
    SEARCHES.find(config.search)
    if config.search_value is not None and config.search_value not in VALUES:
        scorer_folder(config.search_value)
    for process in processes:
        check_searchable(process)


def open_search(config: RunConfig | EvalConfig, policy: Policy, *, training: bool = False) -> Searching | None:
    """The search of the settings, if there is one.

    By default it goes by the verdicts of training problems, and by the agreement of answers where these are measured.
    Raises `UserError` for a policy that is conditioned on goals, of which a prefix holds none.
    """
    if config.search is None:
        return None
    if policy.goals is not None:
        raise UserError(f"policy {policy.name!r} writes behind goals, which no search sets; leave search out")
    name = config.search_value or (VERDICT if training else AGREEMENT)
    value: Callable[[ReasoningMDP], Value]
    value = VALUES[name] if name in VALUES else partial(Scores, scorer=load_scorer(name, policy))
    return Searching(SEARCHES.call(config.search), value, config.search_tokens)
