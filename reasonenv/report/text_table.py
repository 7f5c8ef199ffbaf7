"""The results as text for a console and as CSV for a program."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.conclusions import ceiling, joint, sentence
from reasonenv.measures.discovery import claim
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.stats import Estimate

KEY = ("env", "policy", "init", "variant")  # of a setting, in a file
# The rows of a suite that are no agents, and what they are.
REFERENCE_LINES = {
    "random_tokens": "floor",
    "majority": "vote of k answers of the initial policy",
    "best_of_k": "oracle: any of k answers of the initial policy",
}


def percent(estimate: Estimate) -> str:
    """`54.2 [47.1, 61.0]`, in percent."""
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def columns(setting: Setting) -> list[str]:
    """The few metrics that a table shows side by side: greedy, average, maj@k, rerank@k and pass@k of the largest k."""
    known = list(dict.fromkeys(metric for finding in setting.findings for metric in finding.summary))
    average = [metric for metric in known if metric.startswith("avg@")]
    largest = [f"{name}@{setting.ks[-1]}" for name in ("maj", "rerank", "pass")] if setting.ks else []
    failures = ["unverified"] if any(f.summary["unverified"].value > 0 for f in setting.findings) else []
    chosen = [HEADLINE, *average, *largest, "truncated", *failures]
    return [metric for metric in dict.fromkeys(chosen) if metric in known]


def text_table(settings: Sequence[Setting]) -> str:
    """Every setting as aligned columns, its conclusions below. Percent, with 95 % intervals."""
    parts = []
    for setting in settings:
        metrics = columns(setting)
        head = ["agent", "seeds", *(title(metric) for metric in metrics), f"vs {setting.baseline}"]
        rows = [head, *(_row(setting, finding, metrics) for finding in setting.rows)]
        references = [_row(setting, finding, metrics) for finding in setting.reference_lines]
        lines = _aligned([*rows, *references])
        rule = "  ".join("-" * len(cell) for cell in lines[0])
        table = ["  ".join(line).rstrip() for line in lines]
        if references:
            table.insert(len(rows), "reference lines, no agents:")
        table.insert(1, rule)
        lost = [f"missing: {item}" for item in setting.missing]
        said = [
            setting.notice,
            *sentences(setting),
            seeds_vary(setting),
            setting.provenance,
            *discoveries(setting),
            *claims_at_k(setting),
        ]
        parts.append("\n".join([setting.name, "", *table, "", *filter(None, said), *lost]))
    return "\n\n".join(parts or ["no cell has started yet"]) + "\n"


def _aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The cells of every column at one width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]


def title(metric: str) -> str:
    """A metric as a person reads it."""
    return metric.replace("_", " ")


def label(agent: str) -> str:
    """A row as a person reads it."""
    return f"{title(agent)} ({REFERENCE_LINES[agent]})" if agent in REFERENCE_LINES else agent


def sentences(setting: Setting) -> list[str]:
    """Who is better in each metric that is decided: the same words on the page and on the console."""
    return [sentence(conclusions) for conclusions in setting.conclusions.values()]


def seeds_vary(setting: Setting) -> str:
    """How much training seeds differ: what decides how many of them an experiment needs."""
    variances = setting.headline.seed_variances
    if not variances:
        return ""
    most = max(variances.values(), key=lambda variance: variance.degrees)  # the pooled one
    erratic = {agent: variance for agent, variance in variances.items() if variance != most}
    said = f"{100 * math.sqrt(most.value):.1f} points, pooled over the agents"
    if erratic:
        named = [f"{agent} {100 * math.sqrt(variance.value):.1f}" for agent, variance in erratic.items()]
        said += f"; more varied than that, each its own: {', '.join(named)}"
    return f"Standard deviation of greedy accuracy between training seeds: {said}."


def discoveries(setting: Setting) -> list[str]:
    """Of every agent, whether it solves more that the initial policy was not seen to solve than the placebo does."""
    known = setting.discovery
    return [] if known is None else [f"{agent}: {claim(gain)}" for agent, gain in known.gains.items()]


def claims_at_k(setting: Setting) -> list[str]:
    """Of every agent, whether greedy accuracy and pass@k move together, and whether it passes the initial policy."""
    at_k = setting.at_largest_k
    return [] if at_k is None else [*joint(setting.headline, at_k), *ceiling(at_k)]


def csv_table(settings: Sequence[Setting]) -> str:
    """Long form: one line for each agent, metric and seed ("mean" with its interval, then every seed)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*KEY, "agent", "metric", "seed", "value", "low", "high", "questions"))

    def write(setting: Setting, agent: str, metric: str, mean: Estimate, seeds: dict[int, float]) -> None:
        key = (*_key(setting), agent, metric)
        writer.writerow((*key, "mean", repr(mean.value), repr(mean.low), repr(mean.high), mean.n))
        for seed, value in seeds.items():
            writer.writerow((*key, seed, repr(value), "", "", mean.n))

    for setting in settings:
        for finding in setting.findings:
            for metric, mean in finding.summary.items():
                seeds = {seed: values[metric] for seed, values in finding.by_seed.items() if metric in values}
                write(setting, finding.agent, metric, mean, seeds)
            for metric, mean in (*finding.diversity.items(), *finding.drift.items()):
                write(setting, finding.agent, metric, mean, {})
            shares = {f"verdict/{reason}": share for reason, share in finding.reasons.items()}
            shares |= _origins(setting, finding.agent)
            for metric, share in shares.items():
                writer.writerow((*_key(setting), finding.agent, metric, "mean", repr(share), "", "", ""))
            for name, spent in finding.budget.items():
                writer.writerow((*_key(setting), finding.agent, f"cost/{name}", "mean", spent, "", "", ""))
        for metric, conclusions in setting.conclusions.items():
            for pair in conclusions.pairs:
                write(setting, pair.first, f"{metric} - {pair.second}", pair.estimate, dict(pair.by_seed))
        for metric, pair in _other_contrasts(setting):
            write(setting, pair.first, f"{metric} - {pair.second}", pair.estimate, dict(pair.by_seed))
    return out.getvalue()


def _origins(setting: Setting, row: str) -> dict[str, float]:
    """The shares of its solved problems, and what 1/p_0 of its winning texts is, in powers of ten."""
    known = setting.discovery
    if known is None or row not in known.origins:
        return {}
    solved = sum(known.origins[row].values())
    shares = {f"solved/{origin}": count / solved for origin, count in known.origins[row].items()}
    if row in known.surprises:
        surprise = known.surprises[row]
        names = ("first quartile", "median", "third quartile")
        shares |= {f"log10 1/p0/{name}": power for name, power in zip(names, surprise.quartiles, strict=True)}
        shares["1/p0 above the base budget"] = surprise.beyond
    return shares


def _other_contrasts(setting: Setting) -> Iterator[tuple[str, Contrast]]:
    """Discovery over the placebo, diversity on the same questions, and training sets against reference solutions."""
    if setting.discovery is not None:
        for pair in setting.discovery.gains.values():
            yield "solved and not seen", pair
    for measure, gains in setting.diversities.items():
        for pair in gains.values():
            yield measure, pair
    for each in setting.training_sets:
        yield "forms of the training set", each.contrast


def _key(setting: Setting) -> tuple[str, str, str, str]:
    return setting.env, setting.policy, setting.init, setting.variant


def _row(setting: Setting, finding: Finding, metrics: Sequence[str]) -> list[str]:
    cells = [percent(finding.summary[metric]) if metric in finding.summary else "-" for metric in metrics]
    against = setting.headline.against.get(finding.agent)
    signed = "-"
    if against is not None:
        signed = f"{100 * against.value:+.1f} [{100 * against.low:+.1f}, {100 * against.high:+.1f}]"
    return [label(finding.agent), str(len(finding.cells)), *cells, signed]
