"""The slow reference: `model.generate`, made to draw exactly as the others do."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import IntArray
from reasonenv.policy.hf_policy import HFPolicy, quiet
from reasonenv.policy.logprobs import Head
from reasonenv.sampling.choose import choose, truncate
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling, check_prompts
from reasonenv.seeding import uniforms


class HFSampler(Sampler):
    """Samples of `policy` with `model.generate`, all rows in one left-padded batch.

    It always reads the live weights; `sync` only sets the version.
    """

    def __init__(self, policy: HFPolicy) -> None:
        self.policy = policy

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        from transformers import GenerationConfig, LogitsProcessorList

        check_prompts(prompts, sampling, self.policy.context)
        eos, ends, device = self.policy.tokenizer.eos_id, self.policy.tokenizer.ends, self.policy.device
        width = max(len(prompts[n]) for n, _ in jobs)
        tokens = torch.full((len(jobs), width), eos, dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        for row, (n, _) in enumerate(jobs):
            start = width - len(prompts[n])
            tokens[row, start:] = torch.from_numpy(np.asarray(prompts[n], dtype=np.int64))
            mask[row, start:] = 1
        uniform = np.stack([uniforms(seed, sampling.max_tokens) for _, seed in jobs])
        processor = _Draw(uniform, sampling, self.policy.head)
        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            eos_token_id=[*ends, *sampling.stop],
            pad_token_id=eos,
        )
        # `generate` fills what is unset here from the model's own config (penalties, biases, limits of time), so it
        # gets a model whose config says nothing. The copy shares all modules.
        model = copy.copy(self.policy.model)
        model.generation_config = GenerationConfig()
        with quiet(), torch.no_grad():
            out = model.generate(
                tokens.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                logits_processor=LogitsProcessorList([processor]),
            )
        drawn, logps = out[:, width:].cpu().numpy(), torch.stack(processor.logps, 1).cpu().numpy()  # [B, T]
        for job, (_, seed) in enumerate(jobs):
            size = sampling.size(drawn[job].tolist(), self.policy.tokenizer)
            yield job, self.completion(drawn[job, :size], logps[job, :size], ends=ends, seed=seed)


class _Draw:
    """A logits processor that leaves only the token that `choose` draws, and keeps its log-prob."""

    def __init__(self, uniform: np.ndarray, sampling: Sampling, head: Head) -> None:
        self.uniform, self.sampling, self.head = torch.from_numpy(uniform), sampling, head
        self.logps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        uniform = self.uniform[:, len(self.logps)].to(scores.device)
        s = self.sampling
        logits = self.head.masked(scores.float(), -torch.inf)  # the model has scaled and capped them
        logits = truncate(logits, s.temperature, top_k=s.top_k, top_p=s.top_p)
        token, logp = choose(logits, uniform, s.temperature)
        self.logps.append(logp)
        return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)
