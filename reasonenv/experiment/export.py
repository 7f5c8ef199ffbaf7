"""A run's policy as a folder that other programs serve: whole weights, tokenizer, and a card with its numbers."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reasonenv.catalog import AGENTS, TASKS, agent_summary, task_factory
from reasonenv.errors import UserError
from reasonenv.experiment.validation import task_of
from reasonenv.measures.metrics import GREEDY, summarise
from reasonenv.measures.questions import PROBLEMS, read_questions
from reasonenv.measures.records import MANIFEST, RUN, SUMMARY, UNTRAINED
from reasonenv.measures.samples import EVALUATION, load_samples
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.lora import merge_adapters
from reasonenv.policy.pretrained import load_policy
from reasonenv.sources import PACKAGE
from reasonenv.stats import Estimate
from reasonenv.storage import check_writable, read_record, replace
from reasonenv.terminal import printable

README = "README.md"  # as the hub calls it
LONGEST = 600  # characters of what is said of the data


def export(run: Path, out: Path, *, dtype: str | None = None, push: str | None = None) -> Path:
    """Writes the policy of a finished run to the new folder `out`, in Hugging Face format and with a card.

    An adapter is merged into the model that it rests on. `dtype` is that of the weights, by default the one in which
    they would be loaded; a sum in bfloat16 rounds. With `push`, a name such as `owner/name`, the folder also goes to a
    private repository on the Hugging Face hub. Raises `UserError` for a run that has trained no policy or has not
    ended, for a folder that is there already, and for a hub that does not take it.
    """
    if not (run / SUMMARY).is_file() or not (run / "policy").is_dir():
        raise UserError(f"{run} is not the folder of a finished run that has trained a policy; export takes such a one")
    check_writable(out)
    if out.exists():
        raise UserError(f"{out} is there already; export writes a new folder, choose another name")
    if push is not None:
        check_hub(push)
    text = readme(run, out)
    policy = load_policy(str(run), device="cpu", dtype=dtype)
    merge(policy)
    policy.save(out, policy.goals)
    replace(out / README, text)
    if push is not None:
        push_folder(out, push)
    return out


def merge(policy: HFPolicy) -> None:
    """Makes of a policy with an adapter one without, whose weights are the sums."""
    if policy.adapter is not None:
        merge_adapters(policy.model)
        policy.adapter = None


def check_hub(name: str) -> None:
    """Raises `UserError` if nothing can be pushed to the hub under this name, before anything is written."""
    from huggingface_hub import HfApi

    try:
        HfApi().whoami()
    except (OSError, ValueError) as error:
        raise _refused(name, error) from error


def push_folder(folder: Path, name: str) -> None:
    """Uploads a folder to a private repository of the hub, which is made if it is not there."""
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is complete, and {_refused(name, error)}") from error


def _refused(name: str, error: Exception) -> UserError:
    reason = printable(" ".join(str(error).split()))[:300]
    return UserError(f"the hub does not take {name!r} ({type(error).__name__}: {reason}); log in by `hf auth login`")


def readme(run: Path, out: Path) -> str:
    """What a person should know of an exported policy, in Markdown, from the files of its run."""
    record, summary = read_record(run / RUN), read_record(run / SUMMARY)
    return "\n".join([*_front_matter(record), "", *_body(run, out, record, summary)]) + "\n"


def _front_matter(record: Mapping[str, Any]) -> Iterator[str]:
    """What the hub reads."""
    yield "---"
    yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    base = str(record.get("policy"))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).exists():
        yield f"base_model: {json.dumps(base)}"
    yield "tags:"
    for tag in ("reasonenv", record.get("agent"), record.get("env")):
        yield f"- {json.dumps(printable(str(tag)))}"  # JSON is YAML
    yield "---"


def _body(run: Path, out: Path, record: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[str]:
    agent, env, name = (_code(record.get(key)) for key in ("agent", "env", "policy"))
    yield f"# {printable(out.name)}"
    yield ""
    yield f"Trained by {agent} on {env}, beginning with {name}, with reasonenv."
    yield from ("", "## Results", "")
    gain = summary["gain"]
    yield f"On {summary['problems']} held-out problems (split {_code(record.get('holdout'))}), with 95 % intervals:"
    yield from ("", "| metric | value | interval |", "|---|---|---|")
    before = _estimates(run, run / UNTRAINED)[GREEDY]
    for metric, estimate in {f"{GREEDY} before training": before, **_estimates(run, run / EVALUATION)}.items():
        yield f"| {metric} | {estimate.value:.3f} | [{estimate.low:.3f}, {estimate.high:.3f}] |"
    yield f"| paired difference of {GREEDY} | {gain['value']:+.3f} | [{gain['low']:+.3f}, {gain['high']:+.3f}] |"
    yield ""
    yield f"One training seed ({record.get('seed')}): the intervals are over other questions, not over other seeds."
    yield from ("", "## Use", "", "```", f"vllm serve {shlex.quote(str(out))}", "```", "")
    yield "Questions were asked as the environment asks them; the same figures come from"
    words = ["reasonenv", "eval", str(out), str(record.get("env"))]
    for key, value in sorted(_plain(record.get("env_keys")).items()):
        words.append(f"env.{key}={value}" if key == "seed" else f"{key}={value}")  # the run has a seed too
    yield from ("", "```", printable(shlex.join(words)), "```")
    yield from ("", "## Data", "", _data(str(record.get("env"))))
    yield from ("", "## How it was made", "", _agent(str(record.get("agent"))), "")
    yield from ("| setting | value |", "|---|---|")
    for key, value in [*_plain(record).items(), *_plain(record.get("agent_keys")).items()]:
        yield f"| {_code(key)} | {_code(value)} |"
    manifest = read_record(run / MANIFEST) if (run / MANIFEST).is_file() else {}
    yield from ("", f"Hardware: {_code(manifest.get('hardware'))}; versions: {_code(manifest.get('versions'))}.")
    yield f"Hashes of the problems: {_code(manifest.get('data'))}; of the code: {_code(record.get('code'))}."


def _estimates(run: Path, answers: Path) -> Mapping[str, Estimate]:
    """The metrics of stored answers of a run."""
    samples = load_samples(answers)
    ks = [samples.drawn] if samples.drawn else []
    return summarise(samples, ks, read_questions(run / PROBLEMS))


def _plain(settings: Any) -> dict[str, Any]:
    """Those of some settings that are set and are one value each."""
    if not isinstance(settings, Mapping):
        return {}
    return {key: value for key, value in settings.items() if isinstance(value, str | int | float)}


def _code(value: Any) -> str:
    """A text that may be a stranger's, so that Markdown shows it and obeys nothing in it."""
    text = printable(str(value)).replace("`", "'").replace("|", "\\|")
    return f"`{text}`"


def _agent(name: str) -> str:
    """What an agent of the package is; others say it in their own code."""
    if AGENTS.is_users(name):
        return f"The agent {_code(name)} is its author's own; the folder `code` of the run has it."
    return agent_summary(name)


def _data(env: str) -> str:
    """Where the problems are from and under which licence, as the file of a task of the package says."""
    task = task_of(env)
    if not (TASKS.module(task) or "").startswith(f"{PACKAGE}.envs."):
        return f"The task {_code(task)} is its author's own; the run does not say under which licence its problems are."
    text = inspect.getdoc(inspect.getmodule(task_factory(task))) or ""
    entry = re.search(rf"^{task} +.*(?:\n {{10}}.*)*", text, re.MULTILINE)  # of a file of several tasks
    if entry is None:
        return text.partition("\n    question")[0].strip()[:LONGEST]
    return " ".join(entry[0].split())[:LONGEST]
