"""Where the tests find the published data, and which examples the properties are tried on."""

import json
import os
import signal
import warnings
from pathlib import Path

import pytest
import setuptools  # noqa: F401  # it replaces distutils, which torch asks for under vLLM: before any test can import that
from hypothesis import settings

# The same examples on every machine, so that a failure can be repeated; `make fuzz` looks for new ones.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("fuzz", derandomize=False, print_blob=True)
settings.load_profile("fixed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of what a shell starts in the background; tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)

BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder in REASONENV_DATA, by default `shared/data` beside the checkout."""
    folder = Path(os.environ.get("REASONENV_DATA", BESIDE))
    wanted = ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "svamp/SVAMP.json")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        message = f"NOT TESTED ON REAL DATA: {folder} lacks {', '.join(missing)}; set REASONENV_DATA to run these tests"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    return folder


def _choices(stem: str, *texts: str) -> dict[str, object]:
    return {"stem": stem, "choices": [{"text": text, "label": "ABCDE"[i]} for i, text in enumerate(texts)]}


MATH = [
    {"problem": f"What is $\\frac{{{n}}}{{2}}$?", "level": "Level 1", "type": "Algebra"}
    | {"solution": f"Half of {n}.\nSo it is $\\boxed{{\\frac{{{n}}}{{2}}}}$."}
    for n in (3, 5, 7)
]
LINES: dict[str, list[dict[str, object]]] = {
    "math/train.jsonl": MATH[:2],
    "math/test.jsonl": MATH[2:],
    "math500/test.jsonl": [{**MATH[2], "answer": "\\frac{7}{2}", "subject": "Algebra", "unique_id": "test/1.json"}],
    "aime/train.jsonl": [
        {"id": 60, "problem": f"Find {n}.", "solution": f"\\boxed{{{n}}}", "answer": str(n), "url": f"wiki/{y}_AIME_I"}
        for n, y in ((33, 2022), (34, 2023), (35, 2024))
    ],
    "aime2025/test.jsonl": [
        {"problem_idx": n, "problem": f"Find ${n} + 1$.", "answer": n + 1, "problem_type": ["Algebra"]} for n in (7, 8)
    ],
    "aime2026/test.jsonl": [{"problem_idx": n, "answer": n + 2, "problem": f"Find ${n} + 2$."} for n in (7, 8)],
    "amc23/test.jsonl": [
        {"id": n, "question": f"Half of {n}?", "answer": n / 2, "url": f"wiki/2023_AMC_12A_Problems/Problem_{n}"}
        for n in (54, 55)
    ],
    "minerva_math/test.jsonl": [
        {"problem": f"A star is {n} pc away. How far is that in cm?", "type": "Introduction to Astronomy", "idx": n}
        | {"solution": f"One parsec is 3.1e18 cm.\nSo it is \\boxed{{{3.1 * n:.1f}e18}} cm."}
        for n in (2, 4)
    ],
    "olympiadbench/OE_TO_maths_en_COMP.json": [
        {"id": 1, "subfield": "Algebra", "context": None, "question": "Find all $x$ with $x^2 - x = 2$."}
        | {"solution": ["$(x-2)(x+1) = 0$."], "final_answer": ["$2$,$-1$"], "is_multiple_answer": True}
        | {"unit": None, "answer_type": "Numerical", "error": None},
        {"id": 2, "subfield": "Geometry", "context": "A circle has radius 2.", "question": "How long is it?"}
        | {"solution": ["It is $4\\pi$.\n\nSo 12.57."], "final_answer": ["12.57"], "is_multiple_answer": False}
        | {"unit": "cm", "answer_type": "Numerical", "error": "1e-1"},
        {"id": 3, "subfield": "Number Theory", "context": None, "question": "Describe all such $n$."}
        | {"solution": ["Many."], "final_answer": ["all that are not squares"], "is_multiple_answer": False}
        | {"unit": None, "answer_type": "Need_human_evaluate", "error": None},
        {"id": 4, "subfield": "Algebra", "context": None, "question": "Where is $x^2 < 4$?"}
        | {"solution": ["Between the roots."], "final_answer": ["$(-2,2)$"], "is_multiple_answer": False}
        | {"unit": None, "answer_type": "Interval", "error": None},
    ],
    "multiarith/MultiArith.json": [
        {"iIndex": n, "sQuestion": f"{who} has {n} bags of 3. How many?", "lEquations": [f"X=({n}*3)"]}
        | {"lSolutions": [3.0 * n]}
        for n, who in enumerate(
            ("Ann", "Bo", "Cy", "Di", "Ed", "Fay", "Gus", "Hal", "Ida", "Jo", "Kim", "Lee"), start=2
        )
    ],
    "gsm_symbolic/GSM_symbolic.jsonl": [
        {"id": i, "instance": i, "original_id": template, "question": f"Ann {template} has {i} and 1 more?"}
        | {"answer": f"She has {i}+1=<<{i}+1={i + 1}>>{i + 1}.\n#### {i + 1}"}
        for template in range(12)
        for i in range(2)
    ],
    "humaneval/HumanEval.jsonl": [
        {"task_id": f"HumanEval/{n}", "entry_point": f"plus_{n}", "prompt": f'def plus_{n}(x):\n    """x + {n}"""\n'}
        | {"canonical_solution": f"    # as told\n    return x + {n}\n"}
        | {"test": f"METADATA = {{}}\n\n\ndef check(candidate):\n    assert candidate(1) == {n + 1}\n"}
        for n in range(12)
    ],
    "mbpp/mbpp.jsonl": [
        {"task_id": n, "text": f"Write a function to add {n}.", "code": f"def add(x):\r\n  return x + {n}"}
        | {"test_list": [f"assert add(ONE) == {n + 1}"], "test_setup_code": "ONE = 1", "challenge_test_list": []}
        for n in (2, 3, 4, 11, 511, 601, 602)
    ],
    "arc/ARC-Challenge-Train.jsonl": [
        {"id": "a1", "question": _choices("Which melts first?", "ice", "iron", "salt"), "answerKey": "A"},
        {"id": "a2", "question": "Which is hot?", "choices": {"text": ["fire", "snow"], "label": ["1", "2"]}}
        | {"answerKey": "1"},
    ],
    "arc/ARC-Challenge-Test.jsonl": [
        {"id": "a3", "question": _choices("Which one flies?", "stone", "bird", "fish", "cow"), "answerKey": "B"}
    ],
}
ASDIV = "".join(
    f'<Problem ID="nluds-{n}" Grade="1" Source="x"><Body>{who} has {n} pens and buys 2.</Body>'
    f"<Question>How many now?</Question><Solution-Type>Addition</Solution-Type><Answer>{n + 2} (pens)</Answer>"
    f"<Formula>{n}+2={n + 2}</Formula></Problem>"
    for n, who in enumerate(("Ann", "Bo", "Cy", "Di", "Ed", "Fay", "Gus", "Hal", "Ida", "Jo", "Kim", "Lee"), start=2)
)


def _write_lines(folder: Path) -> None:
    for name, rows in LINES.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        text = json.dumps(rows) if file.suffix == ".json" else "".join(f"{json.dumps(row)}\n" for row in rows)
        file.write_text(text)
    (folder / "asdiv").mkdir()
    other = ASDIV.replace("</Answer>", "; 5</Answer>").replace("nluds", "other")  # two numbers: not asked
    (folder / "asdiv/ASDiv.xml").write_text(f"<R><ProblemSet>{ASDIV}{other}</ProblemSet></R>")


@pytest.fixture
def sample_data(tmp_path: Path) -> Path:
    """A data folder with a few made-up problems in the published format of each task that reads files."""
    _write_lines(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def every_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with every set: the published file where REASONENV_DATA has it, else the made-up one."""
    folder = tmp_path_factory.mktemp("every_set")
    _write_lines(folder)
    published = Path(os.environ.get("REASONENV_DATA", BESIDE))
    for file in published.rglob("*"):
        place = folder / file.relative_to(published)
        if file.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(file)
    return folder
