"""How different the answers of each agent are: the section about diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reasonenv.measures.training_set import REFERENCE
from reasonenv.report.findings import Setting
from reasonenv.report.html_table import NOTHING, Entry, Row, Table, percent_entry, points_entry
from reasonenv.report.sections import Section
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


def diversity(setting: Setting) -> Section | None:
    """How different the samples of each agent are, and how much more or less than those of the initial policy."""
    known = _known(DIVERSITY, [finding.diversity for finding in setting.findings])
    if not known:
        return None
    drifted = _known(DRIFT, [finding.drift for finding in setting.findings])
    rows: list[Row] = []
    for finding in setting.findings:
        if finding.diversity:  # others have no samples
            measures = [percent_entry(finding.diversity.get(name), questions=True) for name in known]
            rows.append([finding.agent, *measures, *(_nats(finding.drift.get(name)) for name in drifted)])
    caption = (
        "Percent, with 95 % intervals and the number of questions: of those with two samples or more, which are other "
        "ones for every row. How often two samples of one problem differ in their arithmetic, and how much in "
        "equations and letters; different pairs of words; entropy of answers over its maximum. Correct samples are "
        "those without a false step; the share of correct samples whose written steps are all true has a column of "
        "its own. In nats per token of sampled answers: entropy of the policy, and its KL divergence to the policy "
        "before training."
    )
    table = Table("Diversity", ("agent", *known.values(), *drifted.values()), rows)
    tables = [table, *_against_baseline(setting), *_training_sets(setting)]
    return Section("Diversity", "diversity", {"caption": caption, "tables": tables, "dense": True})


def _known(names: Mapping[str, str], rows: Sequence[Mapping[str, Estimate]]) -> dict[str, str]:
    """Those of the names that some row has."""
    return {name: label for name, label in names.items() if any(name in row for row in rows)}


def _against_baseline(setting: Setting) -> list[Table]:
    """Agents minus the initial policy: the comparison of like with like."""
    known = {name: setting.diversities[name] for name in DIVERSITY if setting.diversities.get(name)}
    rows: list[Row] = []
    for finding in setting.findings:
        contrasts = [gains.get(finding.agent) for gains in known.values()]
        if any(contrasts):
            rows.append([finding.agent, *(points_entry(contrast, questions=True) for contrast in contrasts)])
    if not rows:
        return []
    heading = f"Against {setting.baseline}, on the same questions"
    caption = (
        f"Differences in points, agent minus {setting.baseline}, over the questions that both have a value of in every "
        "seed, at equal numbers of samples on both sides: means over pairs of answers, or of all of equally many. 95 % "
        "intervals over other questions and other training seeds, for all agents of a column at once."
    )
    return [Table(heading, ("agent", *(DIVERSITY[name] for name in known)), rows, heading, caption)]


def _training_sets(setting: Setting) -> list[Table]:
    """What agents have imitated, against the reference solutions."""
    rows: list[Row] = []
    for each in setting.training_sets:
        first, second = each.contrast.levels
        levels = (f"{100 * first:.1f}%", f"{100 * second:.1f}%")
        rows.append([each.agent, f"{each.solutions:.2f}", *levels, points_entry(each.contrast, questions=True)])
    if not rows:
        return []
    head = ("agent", "solutions a question", "forms differ, its set", f"forms differ, {REFERENCE}", "difference")
    caption = (
        "The final training set of an agent and the reference solutions of the same questions, correct solutions "
        "without a false step. How often the solutions of two different questions, drawn one each, differ in the "
        "sequence of their operations, whatever the numbers; difference in points with its 95 % interval."
    )
    return [Table("What was imitated", head, rows, "What was imitated", caption)]


def _nats(estimate: Estimate | None) -> Entry:
    if estimate is None:
        return Entry(NOTHING)
    return Entry(f"{estimate.value:.3f}", f"[{estimate.low:.3f}, {estimate.high:.3f}]")
