"""The record of how the settings of a suite were chosen, as `bench tune` writes it, in one sentence for a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reasonenv.tasks import VALIDATION

KINDS = {"split": str, "problems": int, "trials": int, "keys": list, "seeds": list, "agents": dict}


def is_record(record: Any) -> bool:
    """Whether `record` has the form in which `bench tune` writes it."""
    if not isinstance(record, Mapping):
        return False
    for key, kind in KINDS.items():
        if type(record.get(key)) is not kind:
            return False
    keys = record["keys"]
    if record["split"] != VALIDATION or not keys or not all(type(key) is str for key in keys):
        return False
    if not all(type(seed) is int for seed in record["seeds"]):
        return False
    return all(_has_choice(entry, keys) for entry in record["agents"].values())


def _has_choice(entry: Any, keys: list[str]) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("tried"), list):
        return False
    chosen = entry.get("chosen")
    return isinstance(chosen, dict) and sorted(chosen) == sorted(keys)


def _at_an_edge(entry: Mapping[str, Any], keys: list[str]) -> bool:
    """Whether a number was chosen that is the least or the largest tried, so that better ones may lie beyond."""
    for key in keys:
        tried = [trial[key] for trial in entry["tried"] if isinstance(trial.get(key), int | float)]
        if tried and entry["chosen"][key] in (min(tried), max(tried)):
            return True
    return False


def provenance_of_settings(record: Any) -> str:
    """One sentence on how the settings of a suite were chosen, from the record of it if there is one.

    No checkpoint is ever chosen: an agent is reported as it is after its last iteration, and what is measured along the
    way on the test split decides nothing.
    """
    last = "of every agent the last iterate is reported, no checkpoint is chosen"
    if not is_record(record):
        return f"Settings are those of the suite file, without a record of tuning; {last}."
    keys = record["keys"]
    verb = "was" if len(keys) == 1 else "were"
    seeds = "other seeds than those" if len(record["seeds"]) > 1 else "another seed than those"
    edge = [agent for agent, entry in record["agents"].items() if _at_an_edge(entry, keys)]
    edges = f" (at an end of the values tried: {', '.join(edge)})" if edge else ""
    return (
        f"Of each agent {' and '.join(keys)} {verb} chosen by greedy accuracy on {record['problems']} validation "
        f"problems, in {record['trials']} trials an agent with {seeds} reported{edges}; {last}."
    )
