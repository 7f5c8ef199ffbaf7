"""Episodes: what a sampler draws in a decision process, verified and grouped by problem; and what a search finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reasonenv.errors import UserError
from reasonenv.registry import Registry

if TYPE_CHECKING:
    from reasonenv.rollout.search import Search


def _check_search(name: str, search: Any) -> None:
    from reasonenv.rollout.search import Search

    if not isinstance(search, type) or not issubclass(search, Search):
        raise UserError(
            f"search {name!r} is {search!r}; it must be a class derived from reasonenv.rollout.search.Search"
        )


SEARCHES: Registry[type[Search]] = Registry(
    "search",
    "reasonenv.searches",
    {
        "best_of_n": "reasonenv.rollout.searches.best_of_n:BestOfN",  # independent draws, with which others compare
        "best_first": "reasonenv.rollout.searches.tree:BestFirst",
        "tree": "reasonenv.rollout.searches.tree:PUCT",
        "evolution": "reasonenv.rollout.searches.evolution:Evolution",
    },
    _check_search,
)
