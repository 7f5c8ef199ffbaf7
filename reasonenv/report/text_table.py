"""The results as text for a console and as CSV for a program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.conclusions import ceiling, joint, sentence
from reasonenv.measures.discovery import claim
from reasonenv.measures.metrics import SCORE
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.formats import csv_text, estimate, metric_title, signed
from reasonenv.stats import Estimate
from reasonenv.terminal import printable

KEY = ("env", "policy", "init", "variant")  # of a setting, in a file
# The rows of a suite that are no agents, and what they are.
REFERENCE_LINES = {
    "random_tokens": "floor",
    "majority": "vote of k answers of the initial policy",
    "best_of_k": "oracle: any of k answers of the initial policy",
}


def columns(setting: Setting) -> list[str]:
    """The few metrics that a table shows side by side: greedy, average, maj@k, rerank@k and pass@k of the largest k.

    And the score where there is partial credit, and what the task measures itself.
    """
    known: dict[str, float] = {}  # metric -> the largest of its values
    for finding in setting.findings:
        for metric, mean in finding.summary.items():
            known[metric] = max(mean.value, known.get(metric, 0.0))
    chosen = [HEADLINE, *(metric for metric in known if metric.startswith("avg@"))]
    if setting.ks:
        k = setting.ks[-1]
        chosen += [f"maj@{k}", f"rerank@{k}", f"pass@{k}"]
    chosen.append("truncated")
    for metric in ("unverified", "hard_to_verify"):
        if known.get(metric):
            chosen.append(metric)
    if any(_has_partial_credit(finding) for finding in setting.findings):
        chosen.append(SCORE)
    for finding in setting.findings:
        chosen += finding.cells[0].samples.metrics
    return [metric for metric in dict.fromkeys(chosen) if metric in known]


def _has_partial_credit(finding: Finding) -> bool:
    scores, accuracies = finding.summary.get(SCORE), finding.summary.get(HEADLINE)
    return scores is not None and accuracies is not None and scores.value != accuracies.value


def text_table(settings: Sequence[Setting]) -> str:
    """Every setting as aligned columns, its conclusions below. Percent, with 95 % intervals."""
    if not settings:
        return "no cell has started yet\n"
    return "\n\n".join(map(_text, settings)) + "\n"


def _text(setting: Setting) -> str:
    metrics = columns(setting)
    rows = [["agent", "seeds", *map(metric_title, metrics), f"vs {setting.baseline}"]]
    for finding in (*setting.rows, *setting.reference_lines):
        rows.append(list(map(printable, _row(setting, finding, metrics))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = []
    for row in rows:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        table.append("  ".join(padded).rstrip())
    if setting.reference_lines:
        table.insert(1 + len(setting.rows), "reference lines, no agents:")
    table.insert(1, "  ".join("-" * width for width in widths))
    lines = [setting.notice, *sentences(setting), seeds_vary(setting), setting.provenance]
    lines += [*discoveries(setting), *claims_at_k(setting)]
    for item in setting.missing:
        lines.append(f"missing: {item}")
    return "\n".join(map(printable, [setting.name, "", *table, "", *filter(None, lines)]))


def label(agent: str) -> str:
    """A row as a person reads it."""
    if agent in REFERENCE_LINES:
        return f"{metric_title(agent)} ({REFERENCE_LINES[agent]})"
    return agent


def sentences(setting: Setting) -> list[str]:
    """Who is better in each metric that is decided: the same words on the page and on the console."""
    return [sentence(conclusions) for conclusions in setting.conclusions.values()]


def seeds_vary(setting: Setting) -> str:
    """How much training seeds differ: what decides how many of them an experiment needs."""
    variances = setting.headline.seed_variances
    if not variances:
        return ""
    most = max(variances.values(), key=lambda variance: variance.degrees)  # the pooled one
    text = f"{100 * math.sqrt(most.value):.1f} points, pooled over the agents"
    erratic = []
    for agent, variance in variances.items():
        if variance != most:
            erratic.append(f"{agent} {100 * math.sqrt(variance.value):.1f}")
    if erratic:
        text += f"; more varied than that, each its own: {', '.join(erratic)}"
    return f"Standard deviation of greedy accuracy between training seeds: {text}."


def discoveries(setting: Setting) -> list[str]:
    """Of every agent, whether it solves more that the initial policy was not seen to solve than the placebo does."""
    if setting.discovery is None:
        return []
    return [f"{agent}: {claim(gain)}" for agent, gain in setting.discovery.gains.items()]


def claims_at_k(setting: Setting) -> list[str]:
    """Of every agent, whether greedy accuracy and pass@k move together, and whether it passes the initial policy."""
    if setting.at_largest_k is None:
        return []
    return [*joint(setting.headline, setting.at_largest_k), *ceiling(setting.at_largest_k)]


def csv_table(settings: Sequence[Setting]) -> str:
    """Long form: one line for each agent, metric and seed ("mean" with its interval, then every seed)."""
    rows: list[tuple[object, ...]] = [(*KEY, "agent", "metric", "seed", "value", "low", "high", "questions")]
    for setting in settings:
        key = (setting.env, setting.policy, setting.init, setting.variant)
        for line in _csv_lines(setting):
            rows.append((*key, *line))
    return csv_text(rows)


def _csv_lines(setting: Setting) -> Iterator[tuple[object, ...]]:
    for finding in setting.findings:
        for metric, mean in finding.summary.items():
            seeds = {}
            for seed, values in finding.by_seed.items():
                if metric in values:
                    seeds[seed] = values[metric]
            yield from _csv_estimate(finding.agent, metric, mean, seeds)
        for metric, mean in (*finding.diversity.items(), *finding.drift.items()):
            yield from _csv_estimate(finding.agent, metric, mean, {})
        plain = {f"verdict/{reason}": share for reason, share in finding.reasons.items()}
        plain.update(_origins(setting, finding.agent))
        for name, spent in finding.budget.items():
            plain[f"cost/{name}"] = spent
        for metric, value in plain.items():
            yield finding.agent, metric, "mean", value, "", "", ""
    for metric, pair in _contrasts(setting):
        yield from _csv_estimate(pair.first, f"{metric} - {pair.second}", pair.estimate, pair.by_seed)


def _csv_estimate(agent: str, metric: str, mean: Estimate, seeds: Mapping[int, float]) -> Iterator[tuple[object, ...]]:
    yield agent, metric, "mean", mean.value, mean.low, mean.high, mean.n
    for seed, value in seeds.items():
        yield agent, metric, seed, value, "", "", mean.n


def _origins(setting: Setting, row: str) -> Iterator[tuple[str, float]]:
    """The shares of its solved problems, and what 1/p_0 of its winning texts is, in powers of ten."""
    known = setting.discovery
    if known is None or row not in known.origins:
        return
    solved = sum(known.origins[row].values())
    for origin, count in known.origins[row].items():
        yield f"solved/{origin}", count / solved
    if row in known.surprises:
        surprise = known.surprises[row]
        for name, power in zip(("first quartile", "median", "third quartile"), surprise.quartiles, strict=True):
            yield f"log10 1/p0/{name}", power
        yield "1/p0 above the base budget", surprise.beyond


def _contrasts(setting: Setting) -> Iterator[tuple[str, Contrast]]:
    """All pairs, discovery over the placebo, diversity on the same questions, training sets against references."""
    for metric, conclusions in setting.conclusions.items():
        for pair in conclusions.pairs:
            yield metric, pair
    if setting.discovery is not None:
        for pair in setting.discovery.gains.values():
            yield "solved and not seen", pair
    for measure, gains in setting.diversities.items():
        for pair in gains.values():
            yield measure, pair
    for each in setting.training_sets:
        yield "forms of the training set", each.contrast


def _row(setting: Setting, finding: Finding, metrics: Sequence[str]) -> list[str]:
    cells = [label(finding.agent), str(len(finding.cells))]
    for metric in metrics:
        mean = finding.summary.get(metric)
        cells.append(estimate(mean) if mean else "-")
    against = setting.headline.against.get(finding.agent)
    cells.append(f"{signed(against.value)} [{signed(against.low)}, {signed(against.high)}]" if against else "-")
    return cells
