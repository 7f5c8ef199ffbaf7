"""Greedy accuracy by the columns that the problems of a user have beside question and answer, such as their topic."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from reasonenv.measures.questions import by_question
from reasonenv.report.findings import Finding, Setting
from reasonenv.report.formats import estimate
from reasonenv.report.sections import Section
from reasonenv.stats import mean_interval

MOST = 8  # different values of a column: of more, a table tells nothing
CAPTION = (
    "Of every column with 2 to {} different values among the held-out problems: greedy accuracy on the problems of "
    "each value, over all seeds, with the 95 % interval of the questions."
)


def columns(setting: Setting) -> Section | None:
    """One table a column: agents by values."""
    groups = _groups(setting)
    if not groups or not setting.findings:
        return None
    tables = []
    for name, values in groups.items():
        rows = [[finding.agent, *_accuracies(finding, setting, values)] for finding in setting.findings]
        head = [f"{value} ({len(problems)})" for value, problems in values.items()]
        tables.append((name, ["agent", *head], rows))
    return Section("By columns of the problems", "columns", {"caption": CAPTION.format(MOST), "tables": tables})


def _groups(setting: Setting) -> dict[str, dict[str, set[str]]]:
    """Column -> value -> ids of problems, of the columns with few values."""
    groups: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for problem, held_out in setting.problems.items():
        for name, value in held_out.columns.items():
            groups[name][str(value)].add(problem)
    return {name: values for name, values in groups.items() if 2 <= len(values) <= MOST}


def _accuracies(finding: Finding, setting: Setting, values: dict[str, set[str]]) -> list[str]:
    """The greedy accuracy on the problems of each value."""
    outcomes: dict[str, list[float]] = defaultdict(list)
    for cell in finding.cells:
        samples = cell.samples
        shares = samples.share(samples.correct, samples.greedy & samples.verified)
        for problem, share in zip(samples.problems, shares.tolist(), strict=True):
            if not np.isnan(share):
                outcomes[problem].append(share)
    texts = []
    for problems in values.values():
        means = {problem: float(np.mean(outcomes[problem])) for problem in problems if outcomes[problem]}
        questions = sorted(by_question(means, setting.problems).values())
        texts.append(estimate(mean_interval(questions)) if questions else "—")
    return texts
