"""A browser of sample answers. Everything a policy wrote is escaped text; the script only shows and hides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape

from reasonenv.evaluate.report.findings import Finding, Setting
from reasonenv.evaluate.samples import Sample

PROBLEMS = 12
LONGEST = 2_000  # characters of an answer that are shown


def chosen_problems(setting: Setting) -> list[str]:
    """Up to `PROBLEMS` ids, those on whose greedy answers the agents differ first, else in order of id."""
    flags: dict[str, set[bool]] = defaultdict(set)
    for finding in setting.findings:
        for sample in finding.cells[0].samples:
            flags[sample.problem_id] |= {sample.correct} if sample.greedy else set()
    telling = sorted(problem for problem, seen in flags.items() if len(seen) == 2)
    rest = sorted(set(flags) - set(telling))
    kept = (telling[: PROBLEMS * 3 // 4] + rest)[:PROBLEMS]
    return kept + telling[PROBLEMS * 3 // 4 :][: PROBLEMS - len(kept)]


def browser(setting: Setting, questions: Mapping[str, tuple[str, str]], palette: Mapping[str, str]) -> str:
    """HTML: one block a problem, in it the greedy answer and the first sample of every agent's first seed."""
    blocks = []
    for problem in chosen_problems(setting):
        question, answer = questions.get(problem, ("", ""))
        cards = [_card(f.agent, palette[f.agent], s) for f in setting.findings for s in _shown(f, problem)]
        asked = f'<p class="question" dir="auto">{escape(question)}</p>' if question else ""
        gold = f'<p class="gold">reference answer <b>{escape(answer)}</b></p>' if answer else ""
        head = f'<h4><span class="mono">{escape(problem)}</span></h4>'
        blocks.append(
            f'<section class="problem">{head}{asked}{gold}<div class="cards">{"".join(cards)}</div></section>'
        )
    if not blocks:
        return '<p class="nothing">No answers yet.</p>'
    agents = "".join(f'<option value="{escape(f.agent)}">{escape(f.agent)}</option>' for f in setting.findings)
    controls = (
        '<div class="controls" hidden>'
        f'<label>agent <select data-filter="agent"><option value="">all</option>{agents}</select></label>'
        '<label>verdict <select data-filter="correct"><option value="">all</option>'
        '<option value="yes">correct</option><option value="no">not correct</option></select></label>'
        '<span class="pager"><button type="button" data-step="-1" aria-label="previous problem">←</button>'
        '<output></output><button type="button" data-step="1" aria-label="next problem">→</button></span></div>'
    )
    return (
        f'<div class="browser">{controls}{"".join(blocks)}<p class="nothing none" hidden>No answer matches.</p></div>'
    )


def _shown(finding: Finding, problem: str) -> Sequence[Sample]:
    mine = [sample for sample in finding.cells[0].samples if sample.problem_id == problem]
    greedy = [sample for sample in mine if sample.greedy]
    drawn = sorted((sample for sample in mine if not sample.greedy), key=lambda sample: sample.index)
    return [*greedy[:1], *drawn[:1]]


def _card(agent: str, colour: str, sample: Sample) -> str:
    text = sample.text[:LONGEST]
    cut = f'<p class="cut">… {len(sample.text) - LONGEST} more characters</p>' if len(sample.text) > LONGEST else ""
    extracted = "—" if sample.extracted is None else escape(sample.extracted[:200])
    state = "yes" if sample.correct else "no"
    kind = "greedy" if sample.greedy else f"sample {sample.index}"
    ending = "cut off at" if sample.truncated else "ended after"
    return (
        f'<article class="card" data-agent="{escape(agent)}" data-correct="{state}" style="--own:var({colour})">'
        f'<header><b>{escape(agent)}</b> <span class="muted">{kind}</span>'
        f'<span class="verdict {state}">{escape(sample.reason.replace("_", " "))}</span></header>'
        f'<pre dir="auto">{escape(text)}</pre>{cut}'
        f'<footer>answer read <b class="mono" dir="auto">{extracted}</b>'
        f'<span class="muted">{ending} {sample.length} tokens</span></footer></article>'
    )
