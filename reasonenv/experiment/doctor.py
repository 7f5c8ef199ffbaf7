"""Whether a policy can be trained on an environment here: what is wrong, how far off it is, and what to change."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

from reasonenv.core import Group
from reasonenv.errors import UserError
from reasonenv.experiment.config import DoctorConfig
from reasonenv.experiment.session import open_policy
from reasonenv.learn.filters import nonconstant, usable
from reasonenv.learn.loop import describe
from reasonenv.learn.memory import activation_bytes, available, forecast
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.collate import collate
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH, microbatches
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.sampler import MAX_GAP
from reasonenv.sampling.torch.torch_sampler import ROWS
from reasonenv.stats import accuracy
from reasonenv.tasks import reference_solution

TEXTS = 64  # problems whose texts and golds are examined
CUT = (0.1, 0.5)  # shares of truncated responses from which it is worth a note, and wrong
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """The result of one check. A note may be left as it is; what is wrong would spoil a run."""

    name: str
    state: Literal["fine", "note", "wrong"]
    seen: str
    change: str = ""


def examine(config: DoctorConfig) -> list[Finding]:
    """Every finding on a policy and an environment. Raises `UserError` where there is nothing to examine."""
    check_sampler(config.sampler, config.address)
    process = partial(make_mdp, config.task, **config.env_keys)
    process()  # refuses bad settings and missing data before the policy is loaded
    policy = open_policy(config)
    if policy.goals is not None:
        raise UserError(f"policy {config.policy!r} writes behind goals; examine the policy that it was trained from")
    mdp = process(tokenizer=policy.tokenizer)
    findings = [_tokenizer(mdp, policy), _template(mdp), _verifier(mdp), _context(mdp, policy)]
    if findings[-1].state == "wrong":
        return findings  # nothing can be sampled
    problems, path = range(min(config.problems, len(mdp.task.problems))), (config.seed, "doctor")
    with closing(make_sampler(config.sampler, policy, address=config.address)) as sampler:
        groups = sample_groups(sampler, mdp, problems, config.samples, temperature=1.0, seed=path)
    return [*findings, _ending(mdp, groups), _signal(groups), _gap(policy, groups), _memory(policy, mdp, groups)]


def _tokenizer(mdp: ReasoningMDP, policy: HFPolicy) -> Finding:
    tokenizer = mdp.tokenizer
    texts: list[str] = []
    for problem in mdp.task.problems[:TEXTS]:
        texts += [problem.question, reference_solution(problem)]
    lost = [text for text in texts if tokenizer.decode(tokenizer.encode(text)) != text]
    if lost:
        seen = f"{len(lost)} of {len(texts)} texts come back changed, the first {lost[0][:40]!r}"
        return Finding("tokenizer", "wrong", seen, "use a tokenizer that loses nothing, such as a byte-level one")
    ends = ", ".join(tokenizer.pieces[i] for i in tokenizer.ends)
    seen = f"{len(texts)} texts come back as they were; a response ends at {ends}"
    if len(tokenizer.ends) > 1:
        seen += f"; demonstrations end with {tokenizer.pieces[mdp.end_id]}"
    if len(policy.absent):
        seen += f"; {len(policy.absent)} of {len(policy.head.weight)} ids of the model are no token and never drawn"
    return Finding("tokenizer", "fine", seen)


def _template(mdp: ReasoningMDP) -> Finding:
    tokenizer = mdp.tokenizer
    if not tokenizer.has_chat_template:
        return Finding("template", "fine", "none: prompts are plain text")
    fault = tokenizer.template_fault
    if fault is None and tokenizer.turn_end is None:
        seen = f"the chat template closes an answer with ordinary text and not with {tokenizer.pieces[mdp.end_id]}"
        return Finding("template", "note", seen, "make its closing a special token, or use prompt=plain")
    if fault is None and tokenizer.encode(tokenizer.chat(["?"]))[: len(tokenizer.prefix)] != tokenizer.prefix:
        seen = f"the chat template does not begin with {tokenizer.decode(tokenizer.prefix)}, as other texts do"
        return Finding("template", "note", seen, "see whether the model was trained so, or use prompt=plain")
    if fault is None:
        return Finding("template", "fine", "appending turns leaves the tokens before them as they are")
    state: Literal["note", "wrong"] = "wrong" if "does not open" in fault else "note"
    return Finding("template", state, f"the chat template {fault}", "use prompt=plain where there are several turns")


def _verifier(mdp: ReasoningMDP) -> Finding:
    problems = mdp.task.problems[:TEXTS]
    rejected = [p.id for p in problems if not mdp.verify(reference_solution(p), p, terminated=True).correct]
    if rejected:
        seen = f"{len(rejected)} of {len(problems)} gold answers are not accepted, the first of {rejected[0]}"
        return Finding("verifier", "wrong", seen, f"see reasonenv check {mdp.task.name}")
    return Finding("verifier", "fine", f"{len(problems)} gold answers are accepted")


def _context(mdp: ReasoningMDP, policy: HFPolicy) -> Finding:
    try:
        mdp.fits(policy.context, name=policy.name)
    except UserError as error:
        return Finding("context", "wrong", *str(error).rsplit("; ", 1))
    return Finding("context", "fine", f"prompt and budget need {mdp.context} of {policy.context} tokens")


def _ending(mdp: ReasoningMDP, groups: list[Group]) -> Finding:
    row = describe(groups)
    cut, count = row["truncated"], sum(len(g.trajectories) for g in groups)
    seen = f"{cut:.0%} of {count} responses are cut at max_tokens={mdp.max_tokens} (mean length {row['length']:.0f})"
    if cut <= CUT[0]:
        return Finding("ending", "fine", seen)
    change = f"set max_tokens={2 * mdp.max_tokens}, or train sft first, which teaches to end"
    return Finding("ending", "wrong" if cut > CUT[1] else "note", seen, change)


def _signal(groups: list[Group]) -> Finding:
    """A group whose answers are all right or all wrong teaches a policy gradient nothing."""
    rows = [t for g in groups for t in g.trajectories]
    right = accuracy(t.verdict for t in rows)
    if not right.judged:
        return Finding("signal", "wrong", f"none of {right.total} answers could be judged", "mend the verifier")
    share = len(nonconstant(usable(groups))) / len(groups)
    seen = f"{right.value:.0%} of {right.judged} answers are right, {share:.0%} of {len(groups)} groups are mixed"
    if share >= 0.2:
        return Finding("signal", "fine", seen)
    change = "train sft first, use easier problems or more samples_per_problem"
    if right.value > 0.5:
        change = "use harder problems"
    return Finding("signal", "wrong" if share == 0 else "note", seen, change)


def _gap(policy: HFPolicy, groups: list[Group]) -> Finding:
    """|log-prob of the sampler - of the trainer|, a token."""
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    logp, _ = policy.score(batch, tokens_per_microbatch=TOKENS_PER_MICROBATCH)
    gap = (logp - batch.sampled_logp).abs()[batch.mask > 0]
    seen = f"mean {float(gap.mean()):.2g}, p99 {float(gap.quantile(0.99)):.2g}, max {float(gap.max()):.2g} nats a token"
    if gap.mean() > MAX_GAP:
        return Finding("gap", "wrong", seen, f"a run stops above {MAX_GAP}: use dtype=float32")
    return Finding("gap", "fine", seen)


def _memory(policy: HFPolicy, mdp: ReasoningMDP, groups: list[Group]) -> Finding:
    """A forecast for default micro-batches, activations as measured on the largest one of few samples."""
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    rows = microbatches(batch, TOKENS_PER_MICROBATCH // 8, shared=policy.shared)[0]
    per_token = activation_bytes(policy, batch.select(rows))
    need = forecast(policy, per_token=per_token, tokens=TOKENS_PER_MICROBATCH, rows=ROWS[0], length=mdp.context)
    free = available(policy.device)
    parts = ", ".join(f"{name} {value / GIB:.1f}" for name, value in vars(need).items())
    seen = f"training needs {need.total / GIB:.1f} GiB more ({parts}), {free / GIB:.1f} are free"
    if need.total <= free:
        return Finding("memory", "fine", seen)
    spare = free - (need.total - per_token * TOKENS_PER_MICROBATCH)
    fitting = int(spare / per_token) // 256 * 256
    if fitting >= mdp.context:
        return Finding("memory", "wrong", seen, f"set tokens_per_microbatch={fitting}, or checkpointing=true")
    change = "set checkpointing=true" if policy.adapter is not None else "set lora=16 and checkpointing=true"
    return Finding("memory", "wrong", seen, change)
