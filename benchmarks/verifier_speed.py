"""Gradings a second, beside math-verify on the same texts, one process each, and a batch beside one row at a time.

    python benchmarks/verifier_speed.py [--data FOLDER] [--answers 1000] [--rollouts 1024] [--repeats 3]

Numbers: solutions of the GSM8K test file in `--data` (or under `REASONENV_DATA`), else made-up ones of the same form;
half end in the right number, half in one more. LaTeX: the equivalence corpus, every answer in a box, one worker
process of ours against one process of math-verify; its category of traps (huge powers, tiny differences) stands apart,
because a peer that runs into its time limit there would make the ratio meaningless. Agreement is the share of pairs
judged as the corpus says. math-verify is run by the interpreter of `make install-peers` (.venv-peers), on the same
texts. Batches: `--rollouts` episodes of a task whose verdicts are made in other processes, verified as a trainer does
it, in several threads, and beside it one after the other, in turns; the ratio can be as large as there are cores for a
scorer of reasoning-gym (if installed), and less for Code, of which each verdict has two processes. Figures are medians;
the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

PEERS = Path(__file__).resolve().parents[1] / ".venv-peers" / "bin" / "python"

Pair = tuple[str, str, bool]  # text, gold, whether the text is right
Measured = tuple[float, float, int]  # median pairs a second, share judged as they should be, unequal ones accepted


def number_pairs(folder: str | None, count: int) -> list[Pair]:
    """Solutions that end in their own number, and every second time in one more."""
    path = Path(folder or "missing") / "gsm8k" / "test.jsonl"
    path = path if path.exists() else Path(folder or "missing") / "test.jsonl"
    if path.exists():
        solutions = [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()[:count]]
    else:
        steps = "She has {0} + {1} = <<{0}+{1}={2}>>{2} eggs.\nShe sells them for $2 each.\n#### {3}"
        solutions = [steps.format(n, n + 7, 2 * n + 7, 2 * (2 * n + 7)) for n in range(count)]
    print(f"numbers: {len(solutions)} solutions {'of GSM8K' if path.exists() else 'made up: no GSM8K file found'}")
    pairs = []
    for index, solution in enumerate(solutions):
        reasoning, _, gold = solution.rpartition("#### ")
        said = gold if index % 2 == 0 else str(int(gold.replace(",", "")) + 1)
        pairs.append((f"{reasoning}#### {said}", gold, index % 2 == 0))
    return pairs


def latex_pairs() -> tuple[list[Pair], list[Pair]]:
    """The answers in boxes of the corpus without its traps, and the traps."""
    from reasonenv.verify.audit import corpus  # in here, because the interpreter of the peers lacks us

    pairs: tuple[list[Pair], list[Pair]] = ([], [])
    for trial in corpus():
        if trial.kind == "math" and trial.answer is not None:
            text = rf"The result is $\boxed{{{trial.answer}}}$."
            pairs[trial.category == "traps"].append((text, trial.gold, trial.right))
    return pairs


def with_ours(pairs: list[Pair], kind: str) -> list[bool]:
    from reasonenv.verify.grade import grade, grade_many

    texts, golds = [text for text, _, _ in pairs], [gold for _, gold, _ in pairs]
    if kind == "numeric":
        return [grade(text, gold, kind="numeric").correct for text, gold in zip(texts, golds, strict=True)]
    return [verdict.correct for verdict in grade_many(texts, golds, workers=1)]


def with_math_verify(pairs: list[Pair], kind: str) -> list[bool]:
    from math_verify import parse, verify

    golds = [gold if kind == "numeric" else f"${gold}$" for _, gold, _ in pairs]
    return [bool(verify(parse(gold), parse(text))) for (text, _, _), gold in zip(pairs, golds, strict=True)]


def measure(run: Callable[[], list[bool]], pairs: list[Pair], repeats: int) -> Measured:
    """Median pairs a second, the share judged as they should be, and how many unequal ones were accepted."""
    judged = run()  # imports, worker start, caches
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    right = [equal for *_, equal in pairs]
    agreement = sum(verdict == truth for verdict, truth in zip(judged, right, strict=True)) / len(pairs)
    accepted = sum(verdict and not truth for verdict, truth in zip(judged, right, strict=True))
    return len(pairs) / statistics.median(seconds), agreement, accepted


def measure_elsewhere(pairs: list[Pair], kind: str, repeats: int) -> Measured:
    """`measure` of math-verify, in the peers' interpreter."""
    command = [str(PEERS), str(Path(__file__).resolve()), "--math-verify", kind, "--repeats", str(repeats)]
    done = subprocess.run(command, input=json.dumps(pairs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"math-verify failed:\n{done.stderr[-2000:]}")
    speed, agreement, accepted = json.loads(done.stdout.splitlines()[-1])
    return speed, agreement, accepted


def batch_speed(task: str, rollouts: int, repeats: int) -> tuple[float, float]:
    """Median episodes a second, verified in several threads and one after the other."""
    import numpy as np

    from reasonenv.core import Completion
    from reasonenv.mdp.make import make_mdp
    from reasonenv.rollout.verification import Episode, verified
    from reasonenv.tasks import reference_solution

    mdp = make_mdp(task)
    rows: list[Episode] = []
    for i in range(rollouts):
        number = i % len(mdp.problems)
        problem = mdp.problems[number]
        text = problem.answer if task == "Code" else reference_solution(problem)
        tokens = np.array([*mdp.tokenizer.encode(text), mdp.end_id], dtype=np.int64)
        rows.append(partial(mdp.trajectory, number, Completion.unsampled(tokens, "eos")))
    rows[0]()  # prompts, worker start
    verified(mdp, rows[:16])
    seconds: dict[str, list[float]] = {"batch": [], "rows": []}
    for _ in range(repeats):
        start = time.perf_counter()
        verified(mdp, rows)
        middle = time.perf_counter()
        for row in rows:
            row()
        seconds["batch"].append(middle - start)
        seconds["rows"].append(time.perf_counter() - middle)
    return rollouts / statistics.median(seconds["batch"]), rollouts / statistics.median(seconds["rows"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("REASONENV_DATA"), help="folder with gsm8k/test.jsonl")
    parser.add_argument("--answers", type=int, default=1000)
    parser.add_argument("--rollouts", type=int, default=1024, help="episodes of a batch; 0 for none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--math-verify", help=argparse.SUPPRESS)  # how it calls itself in the peers' interpreter
    arguments = parser.parse_args()
    if arguments.math_verify:
        pairs = json.load(sys.stdin)
        print(json.dumps(measure(partial(with_math_verify, pairs, arguments.math_verify), pairs, arguments.repeats)))
        return
    (latex, traps), numbers = latex_pairs(), number_pairs(arguments.data, arguments.answers)
    names = ["reasonenv", "math_verify"]
    if not PEERS.exists():
        print("math-verify is missing here: make install-peers")
        names.remove("math_verify")
    print(f"{'':<20} {'pairs':>6} {'pairs/s':>10} {'agreement':>10} {'false accepts':>14}")
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for kind, pairs in {"numeric": numbers, "latex": latex, "traps": traps}.items():
        for name in names:
            if name == "reasonenv":
                speed, agreement, accepted = measure(partial(with_ours, pairs, kind), pairs, arguments.repeats)
            else:
                speed, agreement, accepted = measure_elsewhere(pairs, kind, arguments.repeats)
            print(
                f"{kind + ' ' + name:<20} {len(pairs):>6} {speed:>10.0f} {agreement:>10.4f} {accepted:>14}", flush=True
            )
            key = f"{kind}_{name}"
            figures |= {f"{key}_per_second": round(speed, 1), f"{key}_agreement": round(agreement, 4)}
            figures[f"{key}_false_accepts"] = accepted
        if "math_verify" in names:
            ours, peer = (figures[f"{kind}_{name}_per_second"] for name in names)
            ratios[f"{kind}_over_math_verify"] = round(ours / peer, 2)
    tasks = ["RG-simple_integration", "Code"] if find_spec("reasoning_gym") else ["Code"]
    for task in tasks if arguments.rollouts else ():
        batch, one = batch_speed(task, arguments.rollouts, arguments.repeats)
        print(f"{task:<28} {batch:>8.0f} episodes/s, one after the other {one:.0f}", flush=True)
        figures |= {f"{task}_batch_per_second": round(batch, 1), f"{task}_rows_per_second": round(one, 1)}
        ratios[f"{task}_batch_over_rows"] = round(batch / one, 2)
    print(json.dumps({"figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
