"""How different the answers of each agent are: the section of the page about diversity."""

from __future__ import annotations

from reasonenv.evaluate.report.findings import Setting
from reasonenv.evaluate.report.tables import plain
from reasonenv.evaluate.stats import Estimate

DIVERSITY = {
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
    """How different the samples of each agent are."""
    known = [name for name in DIVERSITY if any(name in f.diversity for f in setting.findings)]
    if not known:
        return ""
    drifted = [name for name in DRIFT if any(name in f.drift for f in setting.findings)]
    rows = [
        [
            f.agent,
            *(_percent(f.diversity.get(name)) for name in known),
            *(_nats(f.drift.get(name)) for name in drifted),
        ]
        for f in setting.findings
    ]
    head = ("agent", *(DIVERSITY[name] for name in known), *(DRIFT[name] for name in drifted))
    return (
        '<h2>Diversity</h2><p class="caption">Percent, with 95 % intervals. How often two samples of one problem '
        "differ in their arithmetic, and how much in equations and letters; different pairs of words; entropy of "
        "answers over its maximum. In nats per token of sampled answers: entropy of the policy, and its KL divergence "
        "to the policy before training.</p>" + plain(head, rows)
    )


def _percent(e: Estimate | None) -> str:
    return "—" if e is None else f"{100 * e.value:.1f}\n[{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _nats(e: Estimate | None) -> str:
    return "—" if e is None else f"{e.value:.3f}\n[{e.low:.3f}, {e.high:.3f}]"
