"""Sections on a setting: who is better, what is new, how answers differ and why they are wrong, cost and settings."""

from __future__ import annotations

from reasonenv.core import Reason
from reasonenv.measures.comparisons import Decision
from reasonenv.measures.conclusions import Conclusions, listed, relations
from reasonenv.measures.discovery import Origin, upper_bound
from reasonenv.measures.training_set import REFERENCE
from reasonenv.report.curves import styles
from reasonenv.report.findings import HEADLINE, Setting
from reasonenv.report.sections import Section
from reasonenv.report.text_table import REFERENCE_LINES, claims_at_k, columns, discoveries, sentences

LABELS = {
    HEADLINE: "greedy accuracy",
    "truncated": "cut off",
    "unverified": "verifier broke",
    "hard_to_verify": "hard to verify",
}
TONES = {Decision.HIGHER: "up", Decision.LOWER: "down"}  # CSS classes
REASON_COLOURS = {  # all others are failures of the verifier
    Reason.CORRECT.value: "--good",
    Reason.WRONG.value: "--bad",
    Reason.NO_ANSWER.value: "--none",
    Reason.UNPARSABLE_ANSWER.value: "--odd",
}
ORIGIN_COLOURS = {Origin.LIKELY: "--base", Origin.SUPPORT: "--c1", Origin.UNSEEN: "--c2"}
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


def results(setting: Setting) -> Section:
    """What is concluded of greedy accuracy and pass@k, and the table of all agents."""
    data = {
        "setting": setting,
        "headline": headline(setting.headline),
        "sentences": sentences(setting),
        "metrics": columns(setting),
        "labels": LABELS,
        "tones": TONES,
        "styles": styles(setting),
        "reference_lines": REFERENCE_LINES,
    }
    return Section("Results", "results", data, "results.html.j2")


def headline(conclusions: Conclusions) -> str:
    """Who is above and who is below the initial policy in greedy accuracy; the whole sentence has the figures."""
    clauses = []
    for relation, group in relations(conclusions).items():
        clauses.append(f"{listed([contrast.first for contrast in group])} {relation}")
    if not clauses:
        return ""
    return f"Greedy accuracy: {'; '.join(clauses)}."


def discovery(setting: Setting) -> Section | None:
    """Of the questions that each agent solves, how the initial policy stood to them, and what the placebo shows."""
    claims = [*discoveries(setting), *claims_at_k(setting)]
    known = setting.discovery
    if not setting.findings or (known is None and not claims):
        return None
    data = {"known": known, "claims": claims, "colours": ORIGIN_COLOURS, "upper_bound": upper_bound}
    return Section("Sharpening or discovery?", "discovery", data, "discovery.html.j2")


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


def verdicts(setting: Setting) -> Section | None:
    """Why sampled answers were right or wrong."""
    if not setting.findings:
        return None
    reasons = dict[str, None]()
    for finding in setting.findings:
        reasons |= dict.fromkeys(finding.reasons)
    data = {"setting": setting, "colours": REASON_COLOURS, "reasons": reasons}
    return Section("Verdicts", "verdicts", data, "verdicts.html.j2")


def cost(setting: Setting) -> Section | None:
    """What every agent that learns has used, interruptions included."""
    trained = [finding for finding in setting.findings if finding.budget["updates"]]
    if not trained:
        return None
    return Section("What it cost", "cost", {"findings": trained}, "cost.html.j2")


def agent_settings(setting: Setting) -> Section | None:
    """All settings of every row, side by side, as its first seed has left them: those of the agent first."""
    rows, keys = {}, set[str]()
    for finding in setting.rows:
        if finding.cells[0].settings:
            rows[finding.agent] = finding.cells[0].settings
            keys |= rows[finding.agent].keys() - {"agent", "seed"}
    ordered = sorted(keys, key=lambda key: (not key.startswith("agent_keys."), key))
    if not rows:
        return None
    return Section("Settings", "settings", {"rows": rows, "keys": ordered}, "settings.html.j2")
