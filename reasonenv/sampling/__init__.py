"""Drawing responses of a policy. `make_sampler` is the one door; the backends are imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reasonenv.errors import UserError, unknown

if TYPE_CHECKING:
    from reasonenv.policy.hf_policy import Policy
    from reasonenv.sampling.sampler import Sampler

SAMPLERS = ("hf", "torch", "vllm")


def check_sampler(name: str, address: str | None = None) -> None:
    """Raises `UserError` for a sampler that does not exist or cannot run here; asked before a policy is loaded."""
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    if address is not None and name != "vllm":
        raise UserError(f"address is {address!r} and sampler is {name}; only sampler=vllm can be at an address")
    if name == "vllm" and address is None:
        from reasonenv.sampling.vllm.engine import check_installed

        check_installed()


def make_sampler(name: str, policy: Policy, *, address: str | None = None) -> Sampler:
    """The sampler called `name` over `policy`: `torch` (ours), `vllm`, or `hf` (`model.generate`, the slow reference).

    `address` is that of a served vLLM; without it `vllm` starts an engine of its own. Of a policy that is conditioned
    on goals it draws without them: see `goal_sampler.conditioned_sampler`.
    """
    check_sampler(name, address)
    if name == "vllm":
        from reasonenv.sampling.vllm.vllm_sampler import VLLMSampler

        return VLLMSampler(policy, address=address)
    if name == "hf":
        from reasonenv.sampling.hf_sampler import HFSampler

        return HFSampler(policy)
    from reasonenv.sampling.torch.torch_sampler import TorchSampler

    return TorchSampler(policy)
