"""The decision processes that a run trains and is measured on, and those of an evaluation and an examination.

A tokenizer matters to prompts alone. Without one these functions say, before a policy is loaded, which setting is wrong
and which data are missing: they raise `UserError`.
"""

from __future__ import annotations

from collections.abc import Callable

from reasonenv.catalog import make_task, parse_env_id
from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.experiment.config import DoctorConfig, EvalConfig, RunConfig, environment_keys
from reasonenv.experiment.validation import check_unseen, training_part, validation_part
from reasonenv.learn.curriculum import Curriculum, at_level, read_levels
from reasonenv.mdp.config import divided
from reasonenv.mdp.make import held_out_keys, make_mdp, resolve_tokenizer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.tasks import TEST, VALIDATION, Task
from reasonenv.tokenizer import Tokenizer

TaskName = str | Callable[..., Task]  # of a registered task, or its factory


def processes(config: RunConfig, tokenizer: Tokenizer | None = None) -> tuple[Curriculum, ReasoningMDP]:
    """What a run trains on and what it is measured on.

    With `holdout` validation both are parts of the training split that share no question, on every level of a
    curriculum, and a policy or reward model that is known to have trained on what is held back is refused.
    """
    task, _ = parse_env_id(config.env)
    training: TaskName = task
    if config.holdout == VALIDATION:
        for name in filter(None, (config.policy, config.orm, config.rank)):
            check_unseen(name, config.env)
        training = training_part(task)
    if config.curriculum is None:
        curriculum = Curriculum((make_mdp(training, tokenizer=tokenizer, **config.env_keys),))
    else:
        curriculum = _curriculum(config, training, config.curriculum, tokenizer)
    if config.holdout == VALIDATION:
        return curriculum, make_mdp(validation_part(task), tokenizer=tokenizer, **config.env_keys)
    return curriculum, make_mdp(task, tokenizer=tokenizer, **held_out_keys(task, config.env_keys))


def _curriculum(config: RunConfig, training: TaskName, schedule: str, tokenizer: Tokenizer | None) -> Curriculum:
    task, _ = parse_env_id(config.env)
    settings = [environment_keys(task, level) for level in read_levels(schedule)]
    levels: dict[str, ReasoningMDP] = {}  # levels of equal settings are one process
    for level in settings:
        if "split" in level:
            raise UserError("curriculum changes split; a run trains on train")
        if str(level) not in levels:
            env, keys = divided({**config.env_keys, **level})
            task_at_level = at_level(make_task(training, **keys), level)
            levels[str(level)] = ReasoningMDP(task_at_level, resolve_tokenizer(tokenizer), env)
    return Curriculum(tuple(levels[str(level)] for level in settings), tuple(settings))


def evaluation_process(config: EvalConfig, tokenizer: Tokenizer | None = None) -> ReasoningMDP:
    """What a policy is measured on; see `processes`."""
    task, _ = parse_env_id(config.env)
    keys = config.env_keys
    if config.holdout == TEST:
        return make_mdp(task, tokenizer=tokenizer, **(keys if "split" in keys else held_out_keys(task, keys)))
    if "split" in keys:
        raise UserError(f"split is {keys['split']!r}; with holdout={config.holdout} leave it out")
    for name in filter(None, (config.policy, config.orm)):
        check_unseen(name, config.env)
    return make_mdp(validation_part(task), tokenizer=tokenizer, **keys)


def examination_process(config: DoctorConfig, tokenizer: Tokenizer | None = None) -> ReasoningMDP:
    """What a policy is examined on: training problems."""
    return make_mdp(parse_env_id(config.env)[0], tokenizer=tokenizer, **config.env_keys)


def fingerprints(config: RunConfig, curriculum: Curriculum, held_out: ReasoningMDP) -> dict[str, str]:
    """Split -> a hash of its problems, of the `processes` of a run."""
    return {"train": curriculum.fingerprint, config.holdout: held_out.task.fingerprint}


def held_out_problems(config: RunConfig, held_out: ReasoningMDP) -> list[Problem]:
    """Those problems of the held-out process that a run is measured on."""
    problems = held_out.task.problems
    return [problems[i] for i in range(min(config.eval_problems, len(problems)))]
