"""Does the choice of agent matter: every pair of agents in one setting, and every agent across settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from reasonenv.measures.aggregates import improvement, interquartile_mean
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.formats import estimate, percent
from reasonenv.report.sections import Section
from reasonenv.stats import Estimate, Floats

MOST_PAIRS = 21  # rows; of more, those between two agents are folded


def pairs(setting: Setting) -> Section | None:
    """Every pair of agents in greedy accuracy and in pass@k at the largest k, each decided by its interval."""
    shown = [conclusions for conclusions in setting.conclusions.values() if conclusions.pairs]
    if not shown:
        return None
    return Section("Does the choice matter?", "pairs", {"shown": shown, "most": MOST_PAIRS}, "pairs.html.j2")


def across(settings: Sequence[Setting]) -> Section | None:
    """Agents x settings in one table, with the interquartile mean and the probability of improvement."""
    if len(settings) < 2:
        return None
    findings: dict[str, dict[str, Finding]] = {}  # agent -> name of a setting -> what it has shown there
    for setting in settings:
        for finding in setting.findings:
            findings.setdefault(finding.agent, {})[setting.name] = finding
    overall = {}
    for agent in findings:
        overall[agent] = _overall(settings, findings, agent)
    data = {"settings": settings, "findings": findings, "overall": overall, "metric": HEADLINE}
    return Section("All settings", "all-settings", data, "across.html.j2")


def _overall(settings: Sequence[Setting], findings: Mapping[str, Mapping[str, Finding]], agent: str) -> tuple[str, str]:
    """The interquartile mean and the probability of improvement."""
    baseline = settings[0].baseline
    runs, start = _runs(settings, findings[agent]), _runs(settings, findings.get(baseline, {}))
    if runs is None:
        return "—", "—"
    middle = _over_seeds(interquartile_mean(runs))
    if start is None or agent == baseline:
        return middle, "—"
    return middle, _over_seeds(improvement(runs, start))


def _over_seeds(mean: Estimate) -> str:
    """In percent, with the interval over training seeds if there is one."""
    return estimate(mean) if math.isfinite(mean.low) else f"{percent(mean.value)}, one seed"


def _runs(settings: Sequence[Setting], findings: Mapping[str, Finding]) -> Floats | None:
    """One score a run, [seeds, settings]; None if the runs do not form a table."""
    columns = []
    for setting in settings:
        if setting.name not in findings:
            return None
        columns.append([values[HEADLINE] for values in findings[setting.name].by_seed.values() if HEADLINE in values])
    if not columns or not columns[0] or any(len(column) != len(columns[0]) for column in columns):
        return None
    return np.array(columns).T
