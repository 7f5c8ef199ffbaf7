"""Drawing responses of a policy. `make_sampler` is the one door; a backend is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reasonenv.errors import UserError
from reasonenv.registry import Registry

if TYPE_CHECKING:
    from reasonenv.policy.hf_policy import HFPolicy
    from reasonenv.sampling.sampler import Sampler


def _check_backend(name: str, backend: Any) -> None:
    from reasonenv.sampling.sampler import Sampler

    if not isinstance(backend, type) or not issubclass(backend, Sampler):
        raise UserError(
            f"sampler {name!r} is {backend!r}; it must be a class derived from reasonenv.sampling.sampler.Sampler"
        )


SAMPLERS: Registry[type[Sampler]] = Registry(
    "sampler",
    "reasonenv.samplers",
    {
        "hf": "reasonenv.sampling.hf_sampler:HFSampler",  # `model.generate`, the slow reference
        "torch": "reasonenv.sampling.torch.torch_sampler:TorchSampler",  # ours
        "vllm": "reasonenv.sampling.vllm.vllm_sampler:VLLMSampler",
    },
    _check_backend,
)


def check_sampler(name: str, address: str | None = None) -> None:
    """Raises `UserError` for a sampler that does not exist or cannot run here, before a policy is loaded for it."""
    backend = SAMPLERS.find(name)
    if address is None:
        backend.check_installed()
    elif not backend.served:
        raise UserError(f"address is {address!r} and sampler is {name}; only sampler=vllm can be at an address")


def make_sampler(name: str, policy: HFPolicy, *, address: str | None = None) -> Sampler:
    """The sampler called `name` over `policy`.

    `address` is that of a served engine; without it `vllm` starts an engine of its own. Of a policy that is conditioned
    on goals it draws without them: see `goal_sampler.conditioned_sampler`.
    """
    check_sampler(name, address)
    backend: Any = SAMPLERS.find(name)
    sampler: Sampler = backend(policy) if address is None else backend(policy, address=address)
    return sampler
