"""The slow reference: `model.generate`, made to draw exactly as the others do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Completion, IntArray
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.silence import quiet
from reasonenv.sampling.choose import choose, truncate
from reasonenv.sampling.limits import check_prompts
from reasonenv.sampling.sampler import Sampling
from reasonenv.seeding import uniforms


class HFSampler:
    """Samples of `policy` with `model.generate`, all rows in one left-padded batch, as a `Sampler`.

    It always reads the live weights; `sync` only sets the version.
    """

    def __init__(self, policy: HFPolicy) -> None:
        self.policy = policy
        self.version = 0

    def sync(self, version: int) -> dict[str, float]:
        """The weights that are used are the policy's own; from now on they are called `version`."""
        self.version = version
        return {}

    def rest(self) -> None:
        """It holds nothing of its own."""

    def close(self) -> None:
        """Nothing runs beside this process."""

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        from transformers import GenerationConfig, LogitsProcessorList

        check_prompts(prompts, seeds, sampling, self.policy.context)
        jobs = [(prompt, seed) for prompt, row in zip(prompts, seeds, strict=True) for seed in row]
        if not jobs:
            return [[] for _ in prompts]
        eos = self.policy.tokenizer.eos_id
        width = max(len(prompt) for prompt, _ in jobs)
        tokens = torch.full((len(jobs), width), eos, dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        for row, (prompt, _) in enumerate(jobs):
            tokens[row, width - len(prompt) :] = torch.from_numpy(np.asarray(prompt, dtype=np.int64))
            mask[row, width - len(prompt) :] = 1
        draw = _Draw(np.stack([uniforms(seed, sampling.max_tokens) for _, seed in jobs]), sampling)
        # What a model's own generation config might add (penalties, beams) is switched off by name.
        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=[eos, *sampling.stop],
            pad_token_id=eos,
        )
        device = self.policy.device
        with quiet(), torch.no_grad():
            out = self.policy.model.generate(
                tokens.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                logits_processor=LogitsProcessorList([draw]),
            )
        drawn, logps = out[:, width:].cpu().numpy(), torch.stack(draw.logps, 1).cpu().numpy()  # [B, T]
        completions = iter([self._completion(drawn[i], logps[i], seed, sampling) for i, (_, seed) in enumerate(jobs)])
        progress(len(jobs))
        return [[next(completions) for _ in row] for row in seeds]

    def _completion(self, tokens: IntArray, logps: np.ndarray, seed: int, sampling: Sampling) -> Completion:
        """One row of the padded result, cut at its end."""
        count = sampling.size(tokens.tolist(), self.policy.tokenizer)
        return Completion(
            tokens=tokens[:count].astype(np.int64),
            logprobs=logps[:count].astype(np.float32),
            stop="eos" if tokens[count - 1] == self.policy.tokenizer.eos_id else "length",
            versions=np.full(count, self.version),
            seed=seed,
        )


class _Draw:
    """A logits processor that leaves only the token that `choose` draws, and keeps its log-prob."""

    def __init__(self, uniform: np.ndarray, sampling: Sampling) -> None:
        self.uniform, self.sampling = torch.from_numpy(uniform), sampling
        self.logps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        uniform = self.uniform[:, len(self.logps)].to(scores.device)
        s = self.sampling
        logits = truncate(scores.float(), s.temperature, top_k=s.top_k, top_p=s.top_p)
        token, logp = choose(logits, uniform, s.temperature)
        self.logps.append(logp)
        return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)
