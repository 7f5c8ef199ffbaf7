"""Drawing responses of a policy. `make_sampler` is the one door; the backends are imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reasonenv.errors import unknown

if TYPE_CHECKING:
    from reasonenv.policy.lm import Policy
    from reasonenv.sampling.sampler import Sampler

SAMPLERS = ("hf", "torch")


def make_sampler(name: str, policy: Policy) -> Sampler:
    """The sampler called `name` over `policy`: `torch` (ours) or `hf` (`model.generate`, the slow reference).

    It sets the goals of a policy that is conditioned on them.
    """
    from reasonenv.sampling.goal_sampler import GoalSampler

    if name == "torch":
        from reasonenv.sampling.torch_sampler import TorchSampler

        return GoalSampler(TorchSampler(policy), policy)
    if name == "hf":
        from reasonenv.sampling.hf_sampler import HFSampler

        return GoalSampler(HFSampler(policy), policy)
    raise unknown("sampler", name, SAMPLERS)
