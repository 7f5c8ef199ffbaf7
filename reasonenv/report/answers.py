"""A browser of answers, token by token where a run kept them. Everything a policy wrote is escaped text.

The numbers of the tokens are whole numbers in attributes, in hundredths; the script colours the text by them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from reasonenv.measures.rollouts import PROBLEMS as KEPT
from reasonenv.measures.rollouts import SAMPLES, TRAINING_GROUPS, TRAINING_SAMPLES, Rollout
from reasonenv.measures.samples import Sample
from reasonenv.report.findings import Finding, Setting

PROBLEMS = 12
LONGEST = 2_000  # characters of an answer that are shown
KINDS = {"greedy": "greedy", "sampled": "sampled", "training": "while training"}
COLOURS = {"reward": "reward", "advantage": "advantage", "logp": "log-probability", "entropy": "entropy"}


@dataclass(frozen=True)
class Answer:
    """What a card shows."""

    problem: str
    kind: str  # a key of `KINDS`
    index: int
    correct: bool
    reason: str
    extracted: str | None
    truncated: bool
    length: int
    text: str
    rollout: Rollout | None = None


def chosen_problems(setting: Setting) -> list[str]:
    """Up to `PROBLEMS` ids, those kept token by token first, of these those on whose greedy answers agents differ."""
    flags: dict[str, set[bool]] = defaultdict(set)
    for finding in setting.findings:
        samples = finding.cells[0].samples
        for problem in samples.problems:
            flags[problem] |= set()
        for problem, correct in zip(samples.problem[samples.greedy], samples.correct[samples.greedy], strict=True):
            flags[samples.problems[problem]].add(bool(correct))
    kept = {r.problem_id for f in setting.findings for r in f.cells[0].rollouts if r.source != "training"}
    telling = sorted((p for p, seen in flags.items() if len(seen) == 2), key=lambda p: (p not in kept, p))
    rest = sorted(set(flags) - set(telling), key=lambda p: (p not in kept, p))
    first = (telling[: PROBLEMS * 3 // 4] + rest)[:PROBLEMS]
    return first + telling[PROBLEMS * 3 // 4 :][: PROBLEMS - len(first)]


def browser(setting: Setting, questions: Mapping[str, tuple[str, str]], palette: Mapping[str, str]) -> str:
    """HTML: one block a problem, in it answers of every agent's first seed."""
    asked, shown = dict(questions), dict[str, list[tuple[str, Answer]]]()
    for problem in chosen_problems(setting):
        shown[problem] = [(f.agent, answer) for f in setting.findings for answer in _answers(f, problem)]
    for finding in setting.findings:
        for r in finding.cells[0].rollouts:
            asked[r.problem_id] = (r.question, r.gold)
            if r.source == "training":
                shown.setdefault(r.problem_id, []).append((finding.agent, _told(r)))
    if not shown:
        return '<p class="nothing">No answers yet.</p>'
    blocks = []
    for number, (problem, answers) in enumerate(shown.items()):
        question, gold = asked.get(problem, ("", ""))
        question = f'<p class="question" dir="auto">{escape(question)}</p>' if question else ""
        gold = f'<p class="gold">reference answer <b>{escape(gold)}</b></p>' if gold else ""
        cards = "".join(_card(agent, palette[agent], answer) for agent, answer in answers)
        blocks.append(
            f'<section class="problem" data-problem="{number}"><h4><span class="mono">{escape(problem)}</span></h4>'
            f'{question}{gold}<div class="cards">{cards}</div></section>'
        )
    every = [answer for answers in shown.values() for _, answer in answers]
    return (
        f'<div class="browser">{_controls(setting, list(shown), every)}{"".join(blocks)}'
        '<p class="nothing none" hidden>No answer matches.</p></div>'
    )


def _controls(setting: Setting, problems: Sequence[str], every: Sequence[Answer]) -> str:
    kinds = [kind for kind in KINDS if any(answer.kind == kind for answer in every)]
    known = [c for c in COLOURS if any(answer.rollout and _numbers(answer.rollout)[c] for answer in every)]
    filters = (
        _select("problem", "problem", "filter", [("", "all"), *((str(i), p) for i, p in enumerate(problems))])
        + _select("agent", "agent", "filter", [("", "all"), *((f.agent, f.agent) for f in setting.findings)])
        + _select("verdict", "correct", "filter", [("", "all"), ("yes", "correct"), ("no", "not correct")])
        + _select("answer", "kind", "filter", [("", "all"), *((kind, KINDS[kind]) for kind in kinds)])
    )
    colour = _select("colour", "colour", "colour", [("", "none"), *((c, COLOURS[c]) for c in known)]) if known else ""
    scale = '<div class="scale" hidden><span></span><i></i><span></span><output class="at"></output></div>'
    return (
        f'<div class="controls" hidden>{filters}{colour}'
        '<span class="pager"><button type="button" data-step="-1" aria-label="previous problem">←</button>'
        '<output class="page"></output>'
        '<button type="button" data-step="1" aria-label="next problem">→</button></span></div>'
        f"{scale if known else ''}"
    )


def _select(label: str, name: str, does: str, options: Iterable[tuple[str, str]]) -> str:
    listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{label} <select data-{does}="{name}">{listed}</select></label>'


def _answers(finding: Finding, problem: str) -> list[Answer]:
    """The rollouts kept of a problem, else its greedy answer and first sample."""
    cell = finding.cells[0]
    kept = [r for r in cell.rollouts if r.problem_id == problem and r.source != "training"]
    if kept:
        return [_told(r) for r in kept]
    samples = cell.samples.records(problem)
    greedy = [sample for sample in samples if sample.greedy]
    drawn = sorted((sample for sample in samples if not sample.greedy), key=lambda sample: sample.index)
    return [_plain(sample) for sample in (*greedy[:1], *drawn[:1])]


def _plain(s: Sample) -> Answer:
    kind = "greedy" if s.greedy else "sampled"
    return Answer(s.problem_id, kind, s.index, s.correct, s.reason, s.extracted, s.truncated, s.length, s.text)


def _told(r: Rollout) -> Answer:
    text, length = "".join(r.tokens), len(r.tokens)
    return Answer(r.problem_id, r.source, r.index, r.correct, r.reason, r.extracted, r.truncated, length, text, r)


def _card(agent: str, colour: str, a: Answer) -> str:
    text, numbers = a.text[:LONGEST], ""
    if a.rollout is not None:
        tokens = _shown(a.rollout.tokens)
        text = "".join(tokens)
        lengths = " ".join(str(len(token.encode("utf-16-le")) // 2) for token in tokens)  # as scripts count
        given = {k: v[: len(tokens)] for k, v in _numbers(a.rollout).items() if v}
        numbers = f' data-tokens="{lengths}"' + "".join(f' data-{k}="{_hundredths(v)}"' for k, v in given.items())
    cut = f'<p class="cut">… {len(a.text) - len(text)} more characters</p>' if len(a.text) > len(text) else ""
    extracted = "—" if a.extracted is None else escape(a.extracted[:200])
    state = "yes" if a.correct else "no"
    kind = KINDS[a.kind] if a.kind == "greedy" else f"{KINDS[a.kind]} {a.index + 1}"
    ending = "cut off at" if a.truncated else "ended after"
    # A line break behind <pre> is not part of it.
    return (
        f'<article class="card" data-agent="{escape(agent)}" data-correct="{state}" data-kind="{a.kind}" '
        f'style="--own:var({colour})"><header><b>{escape(agent)}</b> <span class="muted">{kind}</span>'
        f'<span class="verdict {state}">{escape(a.reason.replace("_", " "))}</span></header>'
        f'<pre dir="auto"{numbers}>\n{escape(_visible(text))}</pre>{cut}'
        f'<footer>answer read <b class="mono" dir="auto">{extracted}</b>'
        f'<span class="muted">{ending} {a.length} tokens</span></footer></article>'
    )


def _shown(tokens: Sequence[str]) -> list[str]:
    """The first tokens, of `LONGEST` characters at most."""
    found, left = list[str](), LONGEST
    for token in tokens:
        left -= len(token)
        if left < 0:
            break
        found.append(token)
    return found


def _numbers(r: Rollout) -> dict[str, Sequence[float]]:
    """By what a rollout can be coloured."""
    return {"reward": r.rewards, "advantage": r.advantages or (), "logp": r.logps, "entropy": r.entropies or ()}


def _hundredths(values: Sequence[float]) -> str:
    return " ".join(str(round(100 * v)) if math.isfinite(v) else "x" for v in values)


def _visible(text: str) -> str:
    """Control codes as their pictures, one for one: a parser drops some of them and changes others."""
    return text.translate({code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"})


def caption() -> str:
    """What the browser shows, and how much of it."""
    return (
        f"Of the first seed; problems on which the agents differ come first. Of {KEPT} held-out problems a run keeps "
        f"the tokens of the greedy answer and of {SAMPLES} sampled ones, and those of {TRAINING_GROUPS} groups of "
        f"{TRAINING_SAMPLES} of the last iteration, if it has advantages. Shown are {PROBLEMS} held-out problems and "
        f"{LONGEST:,} characters an answer."
    )
