"""Training, measuring and looking at runs from Python: the functions behind `reasonenv.train`, `evaluate`, `load_run`.

A run is its folder. Settings are those of the command line, by the same names, and the folder that a call leaves is the
one that the command with these settings leaves, byte for byte.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonenv.catalog import AGENTS, TASKS, make_task, register_task
from reasonenv.errors import UserError
from reasonenv.measures.questions import PROBLEMS, HeldOutProblem, read_questions
from reasonenv.measures.records import RUN, SUMMARY, logged_rows
from reasonenv.measures.rollouts import Rollout, read_rollouts
from reasonenv.measures.samples import EVALUATION, Sample
from reasonenv.registry import Registry, load, refusing_code
from reasonenv.report.single import Estimates, run_html, run_text
from reasonenv.storage import read_record
from reasonenv.tasks import Task
from reasonenv.terminal import complain, is_notebook, show

if TYPE_CHECKING:
    import pandas

    from reasonenv.experiment.config import RunConfig
    from reasonenv.learn.agent import Agent
    from reasonenv.learn.observer import Observer
    from reasonenv.policy.hf_policy import HFPolicy

    Callback = Observer | Callable[[Mapping[str, Any]], bool | None]

# Settings that name things, joined by `+`, and where those are registered.
REGISTRIES = {
    "logger": "reasonenv.learn.log:LOGGERS",
    "replies": "reasonenv.mdp.replies:REPLIES",
    "reward": "reasonenv.mdp.rewards:REWARDS",
    "sampler": "reasonenv.sampling:SAMPLERS",
    "search": "reasonenv.rollout:SEARCHES",
    "tools": "reasonenv.mdp.tools:TOOLS",
}
RUNS = Path("runs")  # where a run goes whose folder has no name


@dataclass(frozen=True)
class Run:
    """A run, finished or not, by its folder. What it tells is read anew from the folder whenever it is asked.

    The code that the settings of a stranger's folder name runs only with `trust_code`: see `SECURITY.md`.
    """

    folder: Path
    trust_code: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """Every setting, defaults included, as `run.json` has them; the hashes of the code that ran are `code`."""
        return read_record(self.folder / RUN)

    @property
    def finished(self) -> bool:
        """Whether it has come to its last iteration and was measured."""
        return (self.folder / SUMMARY).is_file()

    @property
    def summary(self) -> dict[str, Any]:
        """What it has come to: accuracy before and after, their difference with its interval, what was used.

        Raises `UserError` for a run that is not finished.
        """
        if not self.finished:
            raise UserError(f"run {self.folder} is not finished and has no summary yet; finish it by resume()")
        return read_record(self.folder / SUMMARY)

    def metrics(self) -> pandas.DataFrame:
        """The numbers of every iteration, a row each; row 0 is the state before training."""
        import pyarrow as pa

        return _frame(pa.Table.from_pylist(_complete(logged_rows(self.folder))))

    def samples(self) -> pandas.DataFrame:
        """The answers to held-out problems after the last iteration, a row each, with their verdicts.

        Greedy ones, and `eval_samples` sampled ones a problem; before them `question` and `gold`, behind them the
        plain columns of the problems. Raises `UserError` for a run that has none yet.
        """
        from reasonenv.measures.parquet import read_table

        frame = _frame(read_table(self.folder / EVALUATION, Sample))
        problems = read_questions(self.folder / PROBLEMS)
        asked = [problems.get(problem, HeldOutProblem("", "")) for problem in frame["problem_id"]]
        frame.insert(1, "question", [problem.question for problem in asked])
        frame.insert(2, "gold", [problem.answer for problem in asked])
        names = dict.fromkeys(name for problem in asked for name in problem.columns)
        for name in names:
            if name not in frame:
                frame[name] = [problem.columns.get(name) for problem in asked]
        return frame

    def rollouts(self) -> pandas.DataFrame:
        """Some rollouts token by token, a row each: greedy and sampled answers, and some of an iteration."""
        from reasonenv.measures.parquet import to_table

        return _frame(to_table(Rollout, read_rollouts(self.folder)))

    def policy(self, *, device: str = "auto", dtype: str | None = None) -> HFPolicy:
        """What was trained, as `load_policy` returns it. Raises `UserError` for a run that is not finished."""
        from reasonenv.policy.pretrained import load_policy

        return load_policy(str(self.folder), device=device, dtype=dtype)

    def evaluate(self, env: str | Callable[..., Task] | None = None, **settings: Any) -> Estimates:
        """Measures what was trained, on its own environment with its own settings unless told otherwise.

        Arguments and errors are those of `reasonenv.evaluate`.
        """
        return evaluate(self, env, **settings)

    def resume(
        self,
        *,
        iterations: int | None = None,
        callbacks: Sequence[Callback] = (),
        changed_data: bool = False,
        changed_code: bool = False,
        fresh_optimizer: bool = False,
        quiet: bool = False,
        **settings: Any,
    ) -> Run:
        """Goes on to the last iteration, or to as many `iterations` in all, as the command that began it would.

        With more iterations a run ends as if it had been as long from the beginning, and so does an unfinished one with
        fewer, which ends there. Raises `UserError` where what it did depends on their number, and where it keeps no
        state of its optimiser, unless a `fresh_optimizer` will do. `settings` may be those that change nothing of what
        it comes to: `logger` and `keep_checkpoints`.
        """
        from reasonenv.experiment.config import restored

        if iterations is not None:
            settings["iterations"] = iterations
        options = {"changed_data": changed_data, "changed_code": changed_code, "fresh_optimizer": fresh_optimizer}
        with self.reading():
            config = restored({**self.config, **_as_texts(settings)})
            _train(config, self.folder, callbacks, **options, quiet=quiet)
        return self

    def report(self, *, out: Path | str | None = None, png: bool = False) -> Path:
        """Writes the page of this run alone and returns its path; `reasonenv.report` takes several."""
        from reasonenv.report import report

        return report(self, out=out, png=png)

    def export(self, out: Path | str, *, dtype: str | None = None, push: str | None = None) -> Path:
        """Writes what was trained as whole weights in Hugging Face format, with a card; see `reasonenv export`."""
        from reasonenv.experiment.export import export

        return export(self.folder, Path(out), dtype=dtype, push=push)

    def reading(self) -> AbstractContextManager[None]:
        """Around reading its settings: within it code that they name is loaded only if it is trusted."""
        return nullcontext() if self.trust_code else refusing_code(str(self.folder))

    def __str__(self) -> str:
        return run_text(self.folder)

    def _repr_html_(self) -> str:
        return run_html(self.folder)


def train(
    agent: str | type[Agent],
    env: str | Callable[..., Task],
    *,
    out: Path | str | None = None,
    callbacks: Sequence[Callback] = (),
    changed_data: bool = False,
    changed_code: bool = False,
    fresh_optimizer: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Trains an agent on an environment, as `reasonenv train AGENT ENV` does, and returns the run.

    `agent` is a name of `reasonenv list agents`, `file.py:Class` or a class; `env` an id or a factory of tasks.
    `settings` are those of the command line by their names, such as `iterations=30`, `lr=1e-4`, `operators="+-"`;
    where one names something of the user's own, such as `reward=`, it may be the function or class itself.
    `print(reasonenv.explain(agent, env))` lists them.

    The run goes to the folder `out`, or to a new one in `runs/`, and the same call with the same `out` goes on where it
    stopped; a finished run is returned as it is. Callbacks are functions of the metrics of each iteration or
    `reasonenv.Observer`s. When one returns False the run is saved and returned unfinished. So it is after Ctrl-C in a
    notebook; a script is left by `KeyboardInterrupt`.

    Raises `UserError` in one line for whatever a user can mend.
    """
    from reasonenv.experiment.config import describe_run

    config = describe_run(AGENTS.name_of(agent), _env_id(env), _as_texts(settings))
    folder = _new_folder(config) if out is None else Path(out)
    if out is None and not quiet:
        show(f"out: {folder}")
    options = {"changed_data": changed_data, "changed_code": changed_code, "fresh_optimizer": fresh_optimizer}
    return _train(config, folder, callbacks, **options, quiet=quiet)


def evaluate(
    policy: str | Path | Run,
    env: str | Callable[..., Task] | None = None,
    *,
    out: Path | str | None = None,
    trust_code: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Estimates:
    """Measures a policy or a run on held-out problems, as `reasonenv eval` does: a mapping of names to estimates.

    Without `env` that of the run, with its settings. `settings` are those of the command line (`samples=8`,
    `problems=100`, ...); `out` is a Parquet file for every answer. Raises `UserError` as `train`.
    """
    from reasonenv.experiment.assess import assess
    from reasonenv.experiment.config import describe_eval

    run = policy if isinstance(policy, Run) else Run(Path(policy), trust_code=trust_code)
    with run.reading():
        config = describe_eval(_name(policy), _env_id(env) if env else None, _as_texts(settings))
        return Estimates(assess(config, out=Path(out) if out else None, quiet=quiet))


def load_run(folder: Path | str, *, trust_code: bool = False) -> Run:
    """The run in a folder. Raises `UserError` if there is none.

    Nothing in the folder is run. To go on with it, or to measure it, may load code that its settings name; that needs
    `trust_code`.
    """
    path = Path(folder).expanduser()
    if not (path / RUN).is_file():
        raise UserError(f"{folder} is not the folder of a run: it has no {RUN}")
    return Run(path, trust_code)


def explain(agent: str | type[Agent] | None = None, env: str | Callable[..., Task] | None = None) -> str:
    """The settings of `train` with their defaults and meanings: of every run, of an agent, of an environment."""
    from reasonenv.experiment.config import RunConfig, explained, setting_lines

    name = AGENTS.name_of(agent) if agent else None
    sections = explained(RunConfig, name, _env_id(env) if env else None)
    return "\n".join(line for title, known in sections.items() for line in (f"{title}:", *setting_lines(known), ""))


def _train(config: RunConfig, folder: Path, callbacks: Sequence[Callback], **options: Any) -> Run:
    from reasonenv.experiment.train import train as train_run
    from reasonenv.learn.observer import Callbacks
    from reasonenv.learn.stop import Stopped

    run = Run(folder, trust_code=True)
    try:
        train_run(config, folder, callbacks=Callbacks(callbacks), **options)
    except Stopped as stopped:
        show(f"a callback has stopped {folder}: {stopped}; resume() goes on")
    except KeyboardInterrupt as interrupt:
        typing = is_notebook() or hasattr(sys, "ps1")  # a script ends
        if not (typing and (folder / RUN).is_file()):
            raise
        complain(f"interrupted; {interrupt or 'the last checkpoint is kept'}; resume() goes on")
    return run


def _env_id(env: str | Callable[..., Task]) -> str:
    """The id of an environment, which a factory of tasks gets here: whole responses are what agents learn from."""
    if isinstance(env, str):
        return env
    if not callable(env):
        raise UserError(f"env is {env!r:.60}; it must be an id of `reasonenv list envs`, or a factory of tasks")
    name = next((known for known in TASKS if TASKS.is_users(known) and TASKS.find(known) is env), None)
    if name is None:
        name = make_task(env).name
        register_task(name, env)
    return f"reasonenv/{name}-Response-v0"


def _as_texts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with a text for what has one: a run, a folder, a function or class of the user's own."""
    texts = {}
    for key, value in settings.items():
        place = REGISTRIES.get(key.rpartition(".")[2])
        if place is not None and value is not None:
            registry: Registry[Any] = load(place)
            parts = [value]
            if isinstance(value, list | tuple):
                parts = list(value)
            texts[key] = "+".join(map(registry.name_of, parts))
        elif isinstance(value, Run | Path):
            texts[key] = _name(value)
        else:
            texts[key] = value
    return texts


def _name(policy: str | Path | Run) -> str:
    return str(getattr(policy, "folder", policy))


def _new_folder(config: RunConfig) -> Path:
    """The first folder in `RUNS`, of those with the names of agent and task, that is not there yet."""
    name = f"{config.agent.rpartition(':')[2]}-{config.task}"
    return next(folder for number in count(1) if not (folder := RUNS / f"{name}-{number}").exists())


def _complete(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that all have the keys of all, in the order in which they first come."""
    keys: dict[str, None] = {}
    for row in rows:
        keys |= dict.fromkeys(row)
    nothing = dict.fromkeys(keys)
    return [nothing | row for row in rows]


def _frame(table: Any) -> pandas.DataFrame:
    """A table of pyarrow as a data frame."""
    try:
        frame: pandas.DataFrame = table.to_pandas()
    except ImportError as error:
        raise UserError("data frames need pandas; pip install 'reasonenv[notebook]'") from error
    return frame
