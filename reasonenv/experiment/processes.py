"""The decision processes that a run trains and is measured on, and that of an evaluation.

A tokenizer matters to prompts alone. Without one these functions say, before a policy is loaded, which setting is wrong
and which data are missing: they raise `UserError`.
"""

from __future__ import annotations

from collections.abc import Callable

from reasonenv.catalog import make_task
from reasonenv.errors import UserError
from reasonenv.experiment.config import AGREEMENT, VERDICT, EvalConfig, RunConfig, environment_keys
from reasonenv.experiment.validation import check_unseen, training_part, validation_part
from reasonenv.learn.curriculum import Curriculum, at_level, read_levels
from reasonenv.mdp.config import divided
from reasonenv.mdp.make import held_out_keys, make_mdp, resolve_tokenizer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.tasks import VALIDATION, Task
from reasonenv.tokenizer import Tokenizer

TaskName = str | Callable[..., Task]  # of a registered task, or its factory


def processes(config: RunConfig, tokenizer: Tokenizer | None = None) -> tuple[Curriculum, ReasoningMDP]:
    """What a run trains on and what it is measured on.

    With `holdout` validation both are parts of the training split that share no question, on every level of a
    curriculum, and a policy or reward model that is known to have trained on what is held back is refused.
    """
    training: TaskName = config.task
    if config.holdout == VALIDATION:
        for name in filter(None, (config.policy, config.orm, config.rank, _reward_model(config))):
            check_unseen(name, config.env)
        training = training_part(config.task)
    return _curriculum(config, training, tokenizer), _held_out(config, tokenizer)


def _curriculum(config: RunConfig, training: TaskName, tokenizer: Tokenizer | None) -> Curriculum:
    if config.curriculum is None:
        return Curriculum((make_mdp(training, tokenizer=tokenizer, **config.env_keys),))
    settings = [environment_keys(config.task, level) for level in read_levels(config.curriculum)]
    levels: dict[str, ReasoningMDP] = {}  # levels of equal settings are one process
    for level in settings:
        if "split" in level:
            raise UserError("curriculum changes split; a run trains on train")
        if str(level) not in levels:
            env, keys = divided({**config.env_keys, **level})
            task_at_level = at_level(make_task(training, **keys), level)
            levels[str(level)] = ReasoningMDP(task_at_level, resolve_tokenizer(tokenizer), env)
    return Curriculum(tuple(levels[str(level)] for level in settings), tuple(settings))


def _reward_model(config: RunConfig | EvalConfig) -> str | None:
    """The reward model that a search goes by, if it does."""
    return None if config.search_value in (AGREEMENT, VERDICT) else config.search_value


def evaluation_process(config: EvalConfig, tokenizer: Tokenizer | None = None) -> ReasoningMDP:
    """What a policy is measured on; see `processes`."""
    keys = config.env_keys
    if "split" in keys:
        if config.holdout == VALIDATION:
            raise UserError(f"split is {keys['split']!r}; with holdout={config.holdout} leave it out")
        return make_mdp(config.task, tokenizer=tokenizer, **keys)
    if config.holdout == VALIDATION:
        for name in filter(None, (config.policy, config.orm, _reward_model(config))):
            check_unseen(name, config.env)
    return _held_out(config, tokenizer)


def _held_out(config: RunConfig | EvalConfig, tokenizer: Tokenizer | None) -> ReasoningMDP:
    if config.holdout == VALIDATION:
        return make_mdp(validation_part(config.task), tokenizer=tokenizer, **config.env_keys)
    return make_mdp(config.task, tokenizer=tokenizer, **held_out_keys(config.task, config.env_keys))


def fingerprints(config: RunConfig, curriculum: Curriculum, held_out: ReasoningMDP) -> dict[str, str]:
    """Split -> a hash of its problems, of the `processes` of a run."""
    return {"train": curriculum.fingerprint, config.holdout: held_out.task.fingerprint}
