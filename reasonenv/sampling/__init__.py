"""Drawing responses of a policy. `make_sampler` is the one door; the backends are imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reasonenv.errors import unknown

if TYPE_CHECKING:
    from reasonenv.policy.lm import Policy
    from reasonenv.sampling.sampler import Sampler

SAMPLERS = ("hf", "torch")


def make_sampler(name: str, policy: Policy) -> Sampler:
    """The sampler called `name` over `policy`: `torch` (ours) or `hf` (`model.generate`, the slow reference)."""
    if name == "torch":
        from reasonenv.sampling.torch_sampler import TorchSampler

        return TorchSampler(policy)
    if name == "hf":
        from reasonenv.sampling.hf_sampler import HFSampler

        return HFSampler(policy)
    raise unknown("sampler", name, SAMPLERS)
