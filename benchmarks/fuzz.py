"""Coverage-guided fuzzing (atheris, libFuzzer) of what reads text that nobody has checked. Needs: pip install atheris

    answers    the answer, the choice, the code and the step's value in a response
    latex      the grammar of answers, and every readable answer against itself
    dataset    JSON lines, JSON lists and CSV tables, and the tasks made of them
    suite      suite files

    python benchmarks/fuzz.py --seconds 300               # of each target
    python benchmarks/fuzz.py --only latex --seconds 60

A target may return or raise the one error that it promises. Anything else, over 1 GB of memory, or more than 10 s for
one input is a finding: it is kept in --out, and belongs into the tests of its room. Prints executions and findings of
each target; the last line is JSON. Exits with 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TARGETS = ("answers", "latex", "dataset", "suite")
ROOM = {
    "answers": "reasonenv.verify",
    "latex": "reasonenv.verify",
    "dataset": "reasonenv.data",
    "suite": "reasonenv.experiment",
}
WORDS = {  # one a space: what the fuzzer puts in now and then
    "answers": r"\boxed{ #### the_answer_is_ ```python ``` << >> (B) option 1,234 % \frac{1}{2}"
    r' <think> </think> <answer> </answer> "answer": Answer: because (since million dollars ½ － １ **',
    "latex": r"\frac{ \sqrt[ \pm \cup \infty \text{ \begin{pmatrix} \end{pmatrix} & \\ \le \overline{ \log_ \sin ^\circ"
    r" \binom{ ! | or and x= (0,1] \{ \} ^{ \mathbb{R} \cdot \left( \right) ,",
    "dataset": r'{"question":" ","answer":" "} \u0000 [ ] 1e999 question,answer null {} NaN',
    "suite": "envs=[ seeds=[ [inits. [agents. [scales. [variants. iterations= rollouts= ks=[ policy= keys={ agent=",
}
SUITE = """envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
[inits.a]
iterations = 1
[agents.grpo]
rollouts = 256
[scales.b]
keys = {lr = 1e-3}
"""
SEEDS = {
    "answers": (
        *("So 3+4=<<3+4=7>>7.\n#### 7", r"thus \boxed{\frac{1}{2}}.", "The answer is (B).", "```python\nx=1\n```"),
    ),
    "latex": (
        *(r"\frac{1}{\sqrt{3}}", r"(-\infty,2]\cup\{3\}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\binom{5}{2}"),
        *(r"0.1\overline{6}", r"\log_2 8 + \sin 30^\circ", r"2^{x+1}\le 3!", "1,234.5 or 3", r"x=\pm\sqrt[3]{2}"),
    ),
    "dataset": (
        '{"question": "a", "answer": "1"}\n{"question": "b", "answer": "2"}',
        '[{"question": "a", "answer": 1}, {"question": "b", "answer": 2}]',
        "question,answer\na,1\nb,2\n",
    ),
    "suite": (SUITE,),
}


def answers(data: bytes) -> None:
    from reasonenv.core import Reason
    from reasonenv.verify.choice import find_choice, read_choice
    from reasonenv.verify.extract import POLICIES, find_answer, step_value
    from reasonenv.verify.grade import grade
    from reasonenv.verify.notation import plain
    from reasonenv.verify.numeric import parse_number
    from reasonenv.verify.sandbox.code_block import find_code
    from reasonenv.verify.words import find_words

    text = data.decode("utf-8", "surrogateescape")
    for answer in (*(find_answer(text, policy) for policy in POLICIES), find_choice(text), find_words(text)):
        assert answer is None or answer.strip()
    assert plain(plain(text)) == plain(text)
    for asked in ((), ("solve",)):
        program = find_code(text, asked)
        assert program is None or program.strip()
    step_value(text)
    parse_number(text)
    read_choice(text, ("one", "two"))
    for kind, gold in (("numeric", "7"), ("choice", "B"), ("text", "yes")):
        verdict = grade(text, gold, kind=kind)
        assert verdict.correct == (verdict.reason is Reason.CORRECT)
        assert verdict.reason is not Reason.ERROR


def latex(data: bytes) -> None:
    from reasonenv.core import Reason
    from reasonenv.verify.algebra.compare import compare
    from reasonenv.verify.algebra.expression import Unreadable
    from reasonenv.verify.algebra.parse import parse

    text = data.decode("utf-8", "surrogateescape")
    with suppress(Unreadable):
        assert parse(text) == parse(text)
    assert compare(text, text) in (Reason.CORRECT, Reason.UNPARSABLE_GOLD)


def dataset(data: bytes) -> None:
    from reasonenv.data.files import read
    from reasonenv.data.from_problems import from_problems
    from reasonenv.errors import UserError

    for name in ("lines.jsonl", "list.json", "table.csv"):
        path = Path(name)
        path.write_bytes(data)
        with suppress(UserError):
            for record in read(path):
                assert record.where.startswith(name)
                for field in list(record.fields)[:3]:
                    with suppress(UserError):
                        assert record.text(field).strip()
                    with suppress(UserError):
                        assert record.number(field)
        with suppress(UserError):
            factory = from_problems(path)
            both = [factory(split=split).problems for split in ("train", "test")]
            assert all(both)
            assert not {p.question for p in both[0]} & {p.question for p in both[1]}


def suite(data: bytes) -> None:
    from reasonenv.errors import UserError
    from reasonenv.experiment.suite import read_suite

    Path("fuzz.toml").write_bytes(data)
    with suppress(UserError):
        read = read_suite(Path("fuzz.toml"))
        assert len({cell.name for cell in read.cells}) == len(read.cells) > 0


FUNCTIONS: dict[str, Callable[[bytes], None]] = {
    "answers": answers, "latex": latex, "dataset": dataset, "suite": suite
}  # fmt: skip


def fuzz(target: str, options: list[str]) -> None:
    """In a process of its own, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=[ROOM[target]]):
        FUNCTIONS[target](SEEDS[target][0].encode())  # its imports
    atheris.Setup([sys.argv[0], *options], FUNCTIONS[target])
    atheris.Fuzz()


def campaign(target: str, seconds: int, out: Path, folder: Path) -> dict[str, int]:
    """Fuzzes one target. Executions, and findings."""
    corpus, words = folder / "corpus", folder / "words"
    corpus.mkdir(parents=True)
    for number, text in enumerate(SEEDS[target]):
        (corpus / str(number)).write_text(text)
    lines = []
    for word in WORDS[target].split():
        escaped = "".join(f"\\x{byte:02x}" for byte in word.encode())
        lines.append(f'"{escaped}"\n')
    words.write_text("".join(lines))
    limits = [
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-max_len=1200",
        "-print_final_stats=1",
    ]
    if target == "suite":
        limits[2] = "-rss_limit_mb=2048"  # of which torch takes its share
    kept = f"-artifact_prefix={out}/{target}-"
    program = [sys.executable, __file__, "--target", target, *limits, kept, f"-dict={words}", str(corpus)]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, errors="replace")
    ran = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    reports = [path.name for path in out.glob(f"{target}-*")]
    findings = sum(not name.startswith(f"{target}-slow") for name in reports)  # a busy machine is slow
    if done.returncode:
        print(done.stderr[-3000:])
        findings = max(findings, 1)
    return {"executions": int(ran[1]) if ran else 0, "findings": findings}


def main() -> int:
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of each target (default 60)")
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="for findings (default runs/fuzz)")
    chosen = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: pip install atheris")
    chosen.out.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.getcwd()
    figures = {}
    for target in TARGETS:
        if chosen.only in (None, target):
            with tempfile.TemporaryDirectory() as name:
                figures[target] = campaign(target, chosen.seconds, chosen.out.resolve(), Path(name))
            print(
                f"{target:<10}{figures[target]['executions']:>12} executions {figures[target]['findings']:>4} findings"
            )
    print(json.dumps({"figures": figures, "ratios": {}}))
    return int(any(figure["findings"] for figure in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
