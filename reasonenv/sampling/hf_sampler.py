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
from reasonenv.sampling.sampler import Drawn, Job, RereadingSession, Sampler, Sampling, check_prompts
from reasonenv.sampling.session import Row, Session
from reasonenv.seeding import uniforms


class HFSampler(Sampler):
    """Samples of `policy` with `model.generate`, all rows in one left-padded batch.

    It always reads the live weights; `sync` only sets the version.
    """

    def __init__(self, policy: HFPolicy) -> None:
        self.policy = policy

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        check_prompts(prompts, sampling, self.policy.context)
        rows = [Row(prompts[n].tolist(), seed) for n, seed in jobs]
        return self.continued(rows, sampling)

    def open(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Session:
        check_prompts(prompts, sampling, self.policy.context)
        return _HFSession(self, prompts, jobs, sampling, self.policy.context)

    def continued(self, rows: Sequence[Row], sampling: Sampling) -> Iterator[Drawn]:
        """Completions behind the history of each row, from where its stream is."""
        from transformers import GenerationConfig, LogitsProcessorList

        eos, ends, device = self.policy.tokenizer.eos_id, self.policy.tokenizer.ends, self.policy.device
        width = max(len(row.history) for row in rows)
        tokens = torch.full((len(rows), width), eos, dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        uniform = np.empty((len(rows), sampling.max_tokens))
        for n, row in enumerate(rows):
            start = width - len(row.history)
            tokens[n, start:] = torch.tensor(row.history)
            mask[n, start:] = 1
            uniform[n] = uniforms(row.seed, sampling.max_tokens, start=len(row.tokens))
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
        for n, row in enumerate(rows):
            size = sampling.size(drawn[n].tolist(), self.policy.tokenizer)
            self.tokens_read += len(row.history)
            self.tokens_drawn += size
            yield n, self.completion(drawn[n, :size], logps[n, :size], ends=ends, seed=row.seed)


class _HFSession(RereadingSession):
    """It enters the stream of a seed in the middle, as the torch sampler does."""

    sampler: HFSampler

    def continued(self, rows: Sequence[Row], sampling: Sampling) -> Iterator[Drawn]:
        return self.sampler.continued(rows, sampling)


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
