"""Code, HumanEval and MBPP: write a Python function that passes unit tests.

Code        made by this file, so there is no data to find and no licence to keep; as many problems as are asked for,
            up to the number of different questions.
HumanEval   github.com/openai/human-eval, licence MIT; 164 problems (Chen et al. 2021, arXiv:2107.03374). The published
            file, unpacked, as `humaneval/HumanEval.jsonl`; hub openai/openai_humaneval.
MBPP        github.com/google-research/google-research, folder mbpp, licence CC BY 4.0; 974 problems (Austin et al.
            2021, arXiv:2108.07732). The published file as `mbpp/mbpp.jsonl`; hub google-research-datasets/mbpp.

    question   Write a Python function solve(xs). It takes a list of whole numbers.    (of Code)
               1. Keep only the even numbers.
               2. Return their sum.
    answer     def solve(xs):
                   xs = [x for x in xs if x % 2 == 0]
                   return sum(xs)
    tests      assert solve([3, 8, -2]) == 6                                           (and four more, in `meta`)

Problem i of Code is a pure function of (seed, split, i) and the settings; a hash of the question decides its split (one
in ten is `test`), and no question comes twice, see `reasonenv.data.procedural`. HumanEval was published as a test set:
one problem in five is `test` here, by a hash of its task_id; to report the published score evaluate `split=all`. MBPP's
splits are the published ones, by task_id: 1 to 10 for few-shot prompts, 11 to 510 `test`, 511 to 600 `validation`, 601
to 974 `train`. Problems of your own in one of the two published forms are read with `data=FILE`.

The program of a response (`verify.sandbox.code_block` finds it) is judged by `verify.sandbox.unit_tests`: in processes
of its own, without network, files or new processes. `sandbox=` names another place to run it in (`sandbox.backend`).
Where this machine cannot keep a program from files and processes, a task is refused unless `unfenced=true` is said.
"""

from __future__ import annotations

import ast
import warnings
from functools import partial
from math import perm
from random import Random
from typing import Any

from reasonenv.core import Problem
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.data.procedural import Candidate, Procedural
from reasonenv.errors import UserError, check_known, check_range
from reasonenv.seeding import derive_seed, permuted
from reasonenv.tasks import ANSWER_FORM, Task, in_test, repeatable
from reasonenv.verify.sandbox.unit_tests import UnitTests, code_verifier

SIZES = {"train": 10_000, "test": 1_000}
EXAMPLES = 2  # training problems that a few-shot prompt shows
LISTS = 5  # that a solution is tried on; the first is empty
INSTRUCTION = "Answer with the whole function in one ```python block."
HUMANEVAL = Source("humaneval/HumanEval.jsonl", "openai/openai_humaneval", ("openai_humaneval/test/0000.parquet",))
MBPP_IDS = {"prompt": (1, 10), "test": (11, 510), "validation": (511, 600), "train": (601, 974)}
MBPP = Source(
    "mbpp/mbpp.jsonl", "google-research-datasets/mbpp", tuple(f"full/{split}/0000.parquet" for split in MBPP_IDS)
)

_OPERATIONS = (
    ("Keep only the even numbers.", "xs = [x for x in xs if x % 2 == 0]"),
    ("Keep only the numbers above {n}.", "xs = [x for x in xs if x > {n}]"),
    ("Add {n} to each number.", "xs = [x + {n} for x in xs]"),
    ("Multiply each number by {n}.", "xs = [x * {n} for x in xs]"),
    ("Replace each number by its square.", "xs = [x * x for x in xs]"),
    ("Leave out numbers that were there before.", "xs = list(dict.fromkeys(xs))"),
    ("Reverse the order.", "xs = xs[::-1]"),
    ("Sort from small to large.", "xs = sorted(xs)"),
    ("Leave out the first number.", "xs = xs[1:]"),
)
_NUMBERS = range(2, 10)
_ENDINGS = (
    ("Return the list.", "return xs"),
    ("Return their sum.", "return sum(xs)"),
    ("Return how many there are.", "return len(xs)"),
    ("Return the largest, or 0 if there is none.", "return max(xs, default=0)"),
)


@repeatable
def code(
    *,
    split: str = "train",
    size: int | None = None,
    seed: int = 0,
    operations: int = 2,
    sandbox: str = "process",
    unfenced: bool = False,
) -> Task:
    """Functions of `operations` operations (1..6) on a list, then a result.

    `size` problems: by default as many as there are, up to 10,000 in `train` and 1,000 in `test`. Raises `UserError`
    for a setting out of its range, for a size above the number of questions, and for a `sandbox` that keeps nothing in
    here, unless `unfenced` says that its programs may do what they like.
    """
    check_known("code split", split, SIZES)
    check_range("operations", operations, 1, 6)
    problems = Procedural(
        name="Code",
        prefix="code",
        seed=seed,
        split=split,
        draw=partial(_draw, seed, operations),
        draws=_draws(operations),
        size=size,
        default=SIZES[split],
        remedy="raise operations",
    )
    budget = 100 + 50 * operations
    verify = code_verifier(sandbox, unfenced=unfenced)
    return Task("Code", split, problems, verify, INSTRUCTION, budget, problems.examples(EXAMPLES))


def _draws(operations: int) -> int:
    """How many draws there are: different operations in a row, a number for each, needed or not, and an ending.

    So all operations are equally frequent, and what needs no number is drawn once for each.
    """
    return perm(len(_OPERATIONS), operations) * int(len(_NUMBERS) ** operations) * len(_ENDINGS)


def _draw(seed: int, operations: int, split: str, index: int) -> Candidate:
    """Draw `index` in an order of all draws that the seed and the split choose."""
    rest = permuted(index, _draws(operations), derive_seed(seed, "code", split))
    rest, ending = divmod(rest, len(_ENDINGS))
    left, pairs = list(_OPERATIONS), []
    for _ in range(operations):
        rest, which = divmod(rest, len(left))
        rest, number = divmod(rest, len(_NUMBERS))
        text, line = left.pop(which)
        pairs.append((text.format(n=_NUMBERS[number]), line.format(n=_NUMBERS[number])))
    pairs.append(_ENDINGS[ending])
    listed = "\n".join(f"{i}. {text}" for i, (text, _) in enumerate(pairs, start=1))
    question = f"Write a Python function solve(xs). It takes a list of whole numbers.\n{listed}"
    program = "\n    ".join(("def solve(xs):", *(line for _, line in pairs)))
    return question, partial(_tested, derive_seed(seed, "code", split, index), question, program)


def _tested(seed: int, question: str, program: str, id: str) -> Problem:
    rng = Random(seed)
    lists: list[list[int]] = [[]]
    while len(lists) < LISTS:
        lists.append([rng.randint(-9, 20) for _ in range(rng.randint(1, 8))])
    defined: dict[str, Any] = {}
    exec(program, defined)  # lines of this file
    asserts = tuple(f"assert solve({xs}) == {defined['solve'](xs)}" for xs in lists)
    return _problem(id, question, program, UnitTests(asserts, entry_point="solve"))


@repeatable
def humaneval(
    *,
    split: str = "train",
    data: DataPath = None,
    limit: int | None = None,
    sandbox: str = "process",
    unfenced: bool = False,
) -> Task:
    """HumanEval, split `train`, `test` or `all`; `data` as in `reasonenv.data.records`; `limit` keeps the first ones.

    Raises `UserError` for an unknown split, missing data, a broken record or a limit below 1; `sandbox` and `unfenced`
    are those of `code`.
    """
    check_known("humaneval split", split, ("all", "test", "train"))
    problems = []
    for record in records(HUMANEVAL, data):
        id, name = record.text("task_id"), record.text("entry_point")
        if split == "all" or in_test(id, one_in=5) == (split == "test"):
            for field in ("prompt", "canonical_solution"):
                record.text(field)  # raises for a missing one; the first line is indented, so it is used unstripped
            program = (record.fields["prompt"] + record.fields["canonical_solution"]).rstrip()
            tests = UnitTests((record.text("test"), f"check({name})"), entry_point=name)
            problems.append(_problem(f"humaneval/{id}", f"Complete:\n{record.text('prompt')}", program, tests))
    return Task("HumanEval", split, first(problems, limit), code_verifier(sandbox, unfenced=unfenced), INSTRUCTION, 512)


@repeatable
def mbpp(
    *,
    split: str = "train",
    data: DataPath = None,
    limit: int | None = None,
    sandbox: str = "process",
    unfenced: bool = False,
) -> Task:
    """MBPP in its published splits; a question shows its tests, as published. Keywords and errors as in `humaneval`."""
    check_known("mbpp split", split, MBPP_IDS)
    problems: dict[str, list[Problem]] = {name: [] for name in MBPP_IDS}
    for record in records(MBPP, data):
        number = int(record.number("task_id"))
        part = next((name for name, (low, high) in MBPP_IDS.items() if low <= number <= high), None)
        if part is None:
            raise UserError(f"{record.where}: field 'task_id' is {number}; it must be 1 to 974")
        problems[part].append(_asserted(number, record))
    examples = tuple(problems["prompt"][:3])
    verify = code_verifier(sandbox, unfenced=unfenced)
    return Task("MBPP", split, first(problems[split], limit), verify, INSTRUCTION, 512, examples)


def _asserted(number: int, record: Record) -> Problem:
    listed = record.fields.get("test_list")
    if not isinstance(listed, list) or not listed or not all(isinstance(test, str) for test in listed):
        raise UserError(f"{record.where}: field 'test_list' is {listed!r}; it must be a list of asserts")
    setup = str(record.fields.get("test_setup_code") or "").strip()
    description = record.text("text") if "text" in record.fields else record.text("prompt")
    question = "\n".join((description, "It must pass:", *listed))
    program, sources = record.text("code"), [*filter(None, [setup]), *listed]
    entry_point, imports = _used_by_tests(record, program, sources)
    return _problem(f"mbpp/{number}", question, program, UnitTests((*imports, *sources), entry_point=entry_point))


def _used_by_tests(record: Record, program: str, tests: list[str]) -> tuple[str, list[str]]:
    """The first function of a reference solution that tests call, and its imports that they use.

    A test may call a function that has the name of a builtin (`sum`), and use a module that only the solution imports:
    the reference solution says which, and no response can change it. Raises `UserError` for tests that call nothing.
    """
    statements = _parsed(record, "code", program).body
    used = []
    for node in ast.walk(_parsed(record, "test_list", "\n".join(tests))):
        if isinstance(node, ast.Name):
            used.append(node.id)
    imports, defined = [], []
    for each in statements:
        if isinstance(each, ast.Import | ast.ImportFrom) and any(
            (name.asname or name.name) in used for name in each.names
        ):
            imports.append(ast.unparse(each))
        elif isinstance(each, ast.FunctionDef):
            defined.append(each.name)
    entry_point = next((name for name in used if name in defined), None)
    if entry_point is None:
        raise UserError(f"{record.where}: field 'test_list' is {tests!r}; it calls nothing that field 'code' defines")
    return entry_point, imports


def _parsed(record: Record, field: str, source: str) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):  # about what others wrote long ago
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{record.where}: field {field!r} is no Python ({error}); give the file as published") from None


def _problem(id: str, question: str, program: str, tests: UnitTests) -> Problem:
    return Problem(id, question, program, (), {"tests": tests, ANSWER_FORM: "```python\n{}\n```"})
