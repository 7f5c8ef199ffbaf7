"""How different the answers of each agent are: the section of the page about diversity."""

from __future__ import annotations

import math
from html import escape

from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.training_set import REFERENCE
from reasonenv.report.findings import Setting
from reasonenv.report.tables import plain
from reasonenv.stats import Estimate

DIVERSITY = {
    "true_steps": "correct, steps true",
    "paths/correct": "paths, correct",
    "paths/all": "paths, all",
    "equations/correct": "equations, correct",
    "equations/all": "equations, all",
    "edits/correct": "letters, correct",
    "edits/all": "letters, all",
    "bigrams": "distinct-2",
    "answers": "answer entropy",
}
DRIFT = {"entropy": "policy entropy", "kl": "KL to the start"}


def diversity(setting: Setting) -> str:
    """How different the samples of each agent are, and how much more or less than those of the initial policy."""
    known = [name for name in DIVERSITY if any(name in f.diversity for f in setting.findings)]
    if not known:
        return ""
    drifted = [name for name in DRIFT if any(name in f.drift for f in setting.findings)]
    rows = []
    for finding in [f for f in setting.findings if f.diversity]:  # others have no samples
        measures = [_percent(finding.diversity.get(name)) for name in known]
        rows.append([finding.agent, *measures, *(_nats(finding.drift.get(name)) for name in drifted)])
    head = ("agent", *(DIVERSITY[name] for name in known), *(DRIFT[name] for name in drifted))
    return (
        '<h2>Diversity</h2><p class="caption">Percent, with 95 % intervals and the number of questions: of those with '
        "two samples or more, which are other ones for every row. How often two samples of one problem differ in their "
        "arithmetic, and how much in equations and letters; different pairs of words; entropy of answers over its "
        "maximum. Correct samples are those without a false step; the share of correct samples whose written steps "
        "are all true has a column of its own. In nats per token of sampled answers: entropy of the policy, and its "
        "KL divergence to the policy before training.</p>" + plain(head, rows) + _paired(setting) + _sets(setting)
    )


def _paired(setting: Setting) -> str:
    """Agents minus the initial policy: the comparison of like with like."""
    known = {name: gains for name in DIVERSITY if (gains := setting.diversities.get(name))}
    agents = [f.agent for f in setting.findings if any(f.agent in gains for gains in known.values())]
    if not agents:
        return ""
    rows = [[agent, *(_points(gains.get(agent)) for gains in known.values())] for agent in agents]
    return (
        f"<h3>Against {escape(setting.baseline)}, on the same questions</h3>"
        f'<p class="caption">Differences in points, agent minus {escape(setting.baseline)}, over the questions that '
        "both have a value of in every seed, at equal numbers of samples on both sides: means over pairs of answers, "
        "or of all of equally many. 95 % intervals over other questions and other training seeds, for all agents of a "
        "column at once.</p>" + plain(("agent", *(DIVERSITY[name] for name in known)), rows)
    )


def _sets(setting: Setting) -> str:
    """What agents have imitated, against the reference solutions."""
    if not setting.training_sets:
        return ""
    rows = []
    for each in setting.training_sets:
        first, second = (f"{100 * level:.1f}%" for level in each.contrast.levels)
        rows.append([each.agent, f"{each.solutions:.2f}", first, second, _points(each.contrast)])
    head = ("agent", "solutions a question", "forms differ, its set", f"forms differ, {REFERENCE}", "difference")
    return (
        '<h3>What was imitated</h3><p class="caption">The final training set of an agent and the reference solutions '
        "of the same questions, correct solutions without a false step. How often the solutions of two different "
        "questions, drawn one each, differ in the sequence of their operations, whatever the numbers; difference in "
        "points with its 95 % interval.</p>" + plain(head, rows)
    )


def _percent(e: Estimate | None) -> str:
    return "—" if e is None else f"{100 * e.value:.1f}\n[{100 * e.low:.1f}, {100 * e.high:.1f}], n {e.n}"


def _points(c: Contrast | None) -> str:
    if c is None:
        return "—"
    interval = f"[{100 * c.low:+.1f}, {100 * c.high:+.1f}]" if math.isfinite(c.variance) else "one seed"
    return f"{100 * c.value:+.1f}\n{interval}, n {c.questions}"


def _nats(e: Estimate | None) -> str:
    return "—" if e is None else f"{e.value:.3f}\n[{e.low:.3f}, {e.high:.3f}]"
