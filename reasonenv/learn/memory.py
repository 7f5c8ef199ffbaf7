"""What training needs of a machine's memory, and what to change where it is not enough."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.learn.agent import Agent
from reasonenv.learn.optimizer import AdamW, out_of_memory
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.logprobs import KEPT_ELEMENTS, chunk_elements
from reasonenv.policy.microbatch import passed


@contextmanager
def enough_memory(agent: Agent) -> Iterator[None]:
    """Within it, running out of memory is a `UserError` that names the number to lower, and to what."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        allowed = agent.config.tokens_per_microbatch
        rows, tokens = agent.largest or (2, allowed)  # while nothing is known, what is allowed
        remedy = f"; set tokens_per_microbatch={min(tokens, allowed) // 2} (it is {allowed}), or checkpointing=true"
        if rows == 1:
            remedy = ", one sequence, which cannot be cut; set checkpointing=true or lora=16, or lower max_tokens"
        raise UserError(f"out of memory in the update, on a micro-batch of {tokens} tokens{remedy}") from error


def available(device: torch.device) -> int:
    """Bytes that are free now on `device`, and for a CPU within the limit set for the process, if there is one."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = Path("/proc/meminfo")
    if not known.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # all there is
    info = dict(line.split(":") for line in known.read_text().splitlines())
    free = int(info["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return free


def peak_memory(device: torch.device) -> int:
    """Bytes held at most so far: of `device` by tensors, or of a CPU by this process; 0 where nobody counts them."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    known = Path("/proc/self/status")  # unlike getrusage it knows nothing of the process before this program
    lines = known.read_text().splitlines() if known.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


@dataclass(frozen=True)
class Forecast:
    """Bytes that training needs beside the model that is loaded already."""

    gradients: int
    optimizer: int  # two moments in float32, and what bfloat16 weights lack of their masters
    sampler: int  # the copy of the weights that the torch sampler packs on a CPU
    cache: int  # keys and values of the rows that are drawn at once
    activations: int  # of one micro-batch, its logits included

    @property
    def total(self) -> int:
        """Learning and sampling alternate, and each gives back what only it needs."""
        return self.sampler + self.optimizer + max(self.cache, self.gradients + self.activations)


def activation_bytes(policy: HFPolicy, batch: Batch) -> float:
    """Bytes that the forward pass of one micro-batch keeps for its backward pass, a token: as measured."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in policy.model.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        states = policy.states(batch)
    del states
    return sum(held.values()) / passed(batch, shared=policy.shared)


def forecast(policy: HFPolicy, *, per_token: float, tokens: int, rows: int, length: int) -> Forecast:
    """For micro-batches of `tokens` at `per_token` bytes, and `rows` sequences of `length` drawn at once."""
    config = policy.model.config.get_text_config()
    trained = policy.parameters()
    weights = sum(p.numel() * p.element_size() for p in policy.model.parameters())
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    head = policy.head.weight.numel() * 4  # its float32 copy, packed for sampling, or in the log-probs
    every = tokens * policy.head.weight.shape[0]
    logits = 2 * min(chunk_elements(policy.device), every) * 4
    logits += min(KEPT_ELEMENTS, every) * policy.head.weight.element_size()
    return Forecast(
        gradients=sum(p.numel() * 4 for p in trained),
        optimizer=sum(p.numel() * AdamW.bytes_per_weight(p.dtype) for p in trained),
        sampler=weights + head if policy.device.type == "cpu" else 0,
        cache=2 * config.num_hidden_layers * heads * width * rows * length * policy.head.weight.element_size(),
        activations=int(per_token * tokens) + logits + 2 * head,
    )
