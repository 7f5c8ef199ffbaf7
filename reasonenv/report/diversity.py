"""How different the answers of each agent are: the section about diversity."""

from __future__ import annotations

from reasonenv.measures.training_set import REFERENCE
from reasonenv.report.findings import Setting
from reasonenv.report.sections import Section

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


def diversity(setting: Setting) -> Section | None:
    """How different the samples of each agent are, and how much more or less than those of the initial policy."""
    sampled = [finding for finding in setting.findings if finding.diversity]
    known, drifted = set[str](), set[str]()
    for finding in sampled:
        known |= finding.diversity.keys()
        drifted |= finding.drift.keys()
    data = {
        "setting": setting,
        "sampled": sampled,
        "measures": {name: label for name, label in DIVERSITY.items() if name in known},
        "drifts": {name: label for name, label in DRIFT.items() if name in drifted},
        "paired": {name: label for name, label in DIVERSITY.items() if setting.diversities.get(name)},
        "reference": REFERENCE,
    }
    if not data["measures"]:
        return None
    return Section("Diversity", "diversity", data, "diversity.html.j2")
