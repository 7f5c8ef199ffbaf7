"""Where the tests find the published data."""

import json
import os
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder in REASONENV_DATA, by default `shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("REASONENV_DATA", beside))
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


@pytest.fixture
def sample_data(tmp_path: Path) -> Path:
    """A data folder with a few made-up problems in the published format of each task that reads files."""
    for name, rows in LINES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        text = json.dumps(rows) if file.suffix == ".json" else "".join(f"{json.dumps(row)}\n" for row in rows)
        file.write_text(text)
    (tmp_path / "asdiv").mkdir()
    other = ASDIV.replace("</Answer>", "; 5</Answer>").replace("nluds", "other")  # two numbers: not asked
    (tmp_path / "asdiv/ASDiv.xml").write_text(f"<R><ProblemSet>{ASDIV}{other}</ProblemSet></R>")
    return tmp_path
