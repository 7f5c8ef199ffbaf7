"""A task from a user's own questions and answers, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reasonenv.core import Problem, Verdict
from reasonenv.data.files import Record, Source, first, read, records
from reasonenv.errors import UserError, check_known, unknown
from reasonenv.seeding import derive_seed
from reasonenv.tasks import Task
from reasonenv.verify.grade import VERIFIERS

Problems = str | Path | Sequence[Problem | tuple[str, str] | Mapping[str, Any]]
Verify = Callable[[str, Problem], Verdict]


def from_problems(
    source: Problems,
    *,
    verifier: str | Verify = "math",
    name: str = "Own",
    question: str = "question",
    answer: str = "answer",
    steps: str | None = None,
    test: float | Problems = 0.1,
    instruction: str = Task.instruction,
    max_tokens: int = Task.max_tokens,
) -> Callable[..., Task]:
    """A factory of tasks, as `register_task`, `make_env` and `check_task` take it.

    `source` is a list of `Problem`, of (question, answer) or of mappings; or a `.jsonl`, `.json`, `.csv` or `.parquet`
    file; or `hub:owner/name/config/split`, the first shard of a data set on the Hugging Face hub. `question`, `answer`
    and `steps` (reference steps: a list, or a text of one a line) say which columns are meant. `verifier` is a name of
    `VERIFIERS` (a kind of `reasonenv.grade`, or `code`), a function (text, problem) -> Verdict, or its `module:name`.
    `test` is the share of the questions that is held out, chosen by their hashes, or a source of its own, which may
    share no question with the first.
    The factory takes `split`, `train` or `test`, and `limit`. Everything is read at once: raises `UserError` for a
    source that is not there, a broken record, an unknown verifier, or splits that are empty or overlap.
    """
    verify = VERIFIERS.find(verifier) if isinstance(verifier, str) else verifier

    def problems(of: Problems, prefix: str) -> list[Problem]:
        return [_problem(f"{prefix}/{i}", record, question, answer, steps) for i, record in enumerate(_records(of))]

    known = problems(source, name)
    if isinstance(test, (int, float)):
        splits = _hashed(known, float(test))
    else:
        splits = {"train": known, "test": problems(test, f"{name}/test")}
        both = {p.question for p in known} & {p.question for p in splits["test"]}
        if both:
            raise UserError(f"{len(both)} questions are in both splits, as {min(both)[:80]!r} is; take them out of one")

    def factory(*, split: str = "train", limit: int | None = None) -> Task:
        check_known(f"{name} split", split, splits)
        return Task(name, split, first(splits[split], limit), verify, instruction, max_tokens)

    return factory


def _hashed(problems: list[Problem], share: float) -> dict[str, list[Problem]]:
    """The questions with the smallest hashes are the test split, at least one; equal questions stay together."""
    questions = sorted({p.question for p in problems}, key=lambda q: derive_seed("split", q))
    if not 0 < share < 1 or len(questions) < 2:
        raise UserError(f"test is {share} of {len(questions)} questions; it must be between 0 and 1, of at least 2")
    held_out = set(questions[: min(max(1, round(share * len(questions))), len(questions) - 1)])
    splits: dict[str, list[Problem]] = {"train": [], "test": []}
    for problem in problems:
        splits["test" if problem.question in held_out else "train"].append(problem)
    return splits


def _records(source: Problems) -> list[Record | Problem]:
    if isinstance(source, (str, Path)):
        return list(read_source(str(source)))
    listed: list[Record | Problem] = []
    for i, item in enumerate(source):
        if isinstance(item, Problem):
            listed.append(item)
        elif isinstance(item, Mapping):
            listed.append(Record(f"problem {i}", dict(item)))
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            listed.append(Record(f"problem {i}", {"question": item[0], "answer": item[1]}))
        else:
            raise UserError(f"problem {i} is {item!r}; it must be a Problem, a (question, answer), or a mapping")
    return listed


def read_source(source: str) -> list[Record]:
    """The records of a file, or of `hub:owner/name/config/split`."""
    if source.startswith("hub:"):
        parts = source.removeprefix("hub:").split("/")
        if len(parts) != 4:
            raise UserError(f"{source!r} must read hub:owner/name/config/split, as in hub:openai/gsm8k/main/train")
        owner, name, config, split = parts
        hub = Source(f"{name}/{config}-{split}.jsonl", f"{owner}/{name}", (f"{config}/{split}/0000.parquet",))
        return records(hub, None)
    path = Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}; give a .jsonl, .json, .csv or .parquet file, or hub:owner/name/..")
    return read(path)


def _problem(id: str, record: Record | Problem, question: str, answer: str, steps: str | None) -> Problem:
    if isinstance(record, Problem):
        return record
    for column in filter(None, (question, answer, steps)):
        if column not in record.fields:
            raise UserError(f"{record.where}: {unknown('column', column, map(str, record.fields))}")
    lines = record.fields[steps] if steps else ()
    if isinstance(lines, str):
        lines = lines.split("\n")
    gold = record.fields[answer]
    if isinstance(gold, bool) or not isinstance(gold, (int, float)):
        gold = record.text(answer)
    reference = tuple(str(line).strip() for line in lines if str(line).strip())
    return Problem(id, record.text(question), str(gold), reference)
