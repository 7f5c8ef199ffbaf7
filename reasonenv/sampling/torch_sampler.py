"""Our own sampler: prompts are read once for all their samples, finished rows give way to waiting ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Completion, IntArray
from reasonenv.policy.lm import Policy
from reasonenv.policy.logprobs import head_logits
from reasonenv.sampling.choose import choose
from reasonenv.sampling.limits import check_prompts
from reasonenv.sampling.replica import PackedLinear, Slots, replica
from reasonenv.sampling.sampler import Sampling
from reasonenv.seeding import uniforms

PREFILL_TOKENS = 4096  # read at once, padding included


class TorchSampler:
    """Samples of `policy` with plain torch, at most `rows` at a time, as a `Sampler`.

    `rows` bounds the memory of the key-value cache and changes results only by float rounding.
    """

    def __init__(self, policy: Policy, *, rows: int = 128) -> None:
        self.policy = policy
        self.rows = rows
        self.sync(0)

    def sync(self, version: int) -> dict[str, float]:
        """See `Sampler.sync`."""
        self.version = version
        self.model = replica(self.policy.model)
        return {}

    def close(self) -> None:
        """Nothing runs beside this process."""

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        check_prompts(prompts, seeds, sampling, self.policy.context)
        jobs = [(n, seed) for n, row in enumerate(seeds) for seed in row]
        if not jobs:
            return [[] for _ in prompts]
        done = _Decoder(self, prompts, jobs, sampling, progress).run()
        completions = iter(done)
        return [[next(completions) for _ in row] for row in seeds]

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits [R, V] of hidden states [R, H]; on a CPU `head_logits` with its weight packed."""
        head = self.model.get_output_embeddings()
        if isinstance(head, PackedLinear):
            out: Tensor = head(hidden.float())
            return out
        return head_logits(hidden, head.weight, head.bias)


class _Decoder:
    """The state of one `generate`: jobs wait, hold a slot, and end. Slot tensors have a first axis of `rows`."""

    def __init__(
        self,
        sampler: TorchSampler,
        prompts: Sequence[IntArray],
        jobs: list[tuple[int, int]],
        sampling: Sampling,
        progress: Callable[[int], None],
    ) -> None:
        self.sampler, self.prompts, self.jobs, self.sampling, self.progress = sampler, prompts, jobs, sampling, progress
        self.device = sampler.policy.device
        self.lengths = [len(prompt) for prompt in prompts]
        self.decoder = sampler.model.get_decoder()
        config = sampler.model.config.get_text_config()
        self.rows = min(sampler.rows, len(jobs))
        self.slots = Slots(config.num_hidden_layers, self.rows, max(self.lengths) + sampling.max_tokens)
        self.uniforms = torch.from_numpy(np.stack([uniforms(seed, sampling.max_tokens) for _, seed in jobs]))
        self.tokens = torch.zeros(len(jobs), sampling.max_tokens, dtype=torch.int64)
        self.logps = torch.zeros(len(jobs), sampling.max_tokens, dtype=torch.float32)
        self.made = torch.zeros(len(jobs), dtype=torch.int64)  # tokens of each job so far
        self.start = torch.tensor([self.lengths[n] for n, _ in jobs])  # prompt length of each job
        self.active = torch.empty(0, dtype=torch.int64)  # the job in each used slot
        self.waiting = 0  # the next job to be given a slot
        self.read: dict[int, tuple[object, int, Tensor]] = {}  # prompts read: cache, row in it, last hidden state

    def run(self) -> list[Completion]:
        """Draw a token for every used slot until no job is left."""
        hidden = torch.empty(0)
        ends = torch.tensor([self.sampler.policy.tokenizer.eos_id, *self.sampling.stop])
        while self.waiting < len(self.jobs) or len(self.active):
            hidden = self.admit(hidden)  # [n, H], n slots in use
            active = self.active
            step = self.made[active]
            logits = self.sampler.logits(hidden)  # [n, V]
            token, logp = choose(logits, self.uniforms[active, step].to(self.device), self.sampling.temperature)
            token = token.cpu()
            self.tokens[active, step], self.logps[active, step] = token, logp.cpu()
            self.made[active] += 1
            ended = torch.isin(token, ends) | (step + 1 == self.sampling.max_tokens)
            if ended.any():
                token = token[self.drop(ended)]
            hidden = self.decode(token) if len(token) else hidden[:0]
        return [self.completion(job) for job in range(len(self.jobs))]

    def admit(self, hidden: Tensor) -> Tensor:
        """Give free slots to waiting jobs; `hidden` [n, H] of the used slots grows by theirs."""
        while self.waiting < len(self.jobs) and len(self.active) < self.rows:
            prompt = self.jobs[self.waiting][0]
            if prompt not in self.read:
                self.prefill()
            cache, index, state = self.read[prompt]
            first, used = self.waiting, len(self.active)
            while (
                self.waiting < len(self.jobs)
                and self.jobs[self.waiting][0] == prompt
                and used + self.waiting - first < self.rows
            ):
                self.waiting += 1
            count = self.waiting - first
            self.slots.fill(slice(used, used + count), cache, index, self.lengths[prompt])
            self.active = torch.cat([self.active, torch.arange(first, self.waiting)])
            hidden = torch.cat([hidden.to(state), state.expand(count, -1)])
        if self.waiting == len(self.jobs) or self.jobs[self.waiting][0] not in self.read:
            self.read.clear()
        return hidden

    def prefill(self) -> None:
        """Read the prompts that the free slots will need, in one causal pass padded on the right."""
        from transformers import DynamicCache

        free = self.rows - len(self.active)
        job, chosen = self.waiting, list[int]()
        while job < len(self.jobs) and job - self.waiting < free:
            prompt = self.jobs[job][0]
            if prompt not in chosen:
                width = max(self.lengths[n] for n in (*chosen, prompt))
                if chosen and width * (len(chosen) + 1) > PREFILL_TOKENS:
                    break
                chosen.append(prompt)
            job += 1
        width = max(self.lengths[n] for n in chosen)
        padded = torch.zeros(len(chosen), width, dtype=torch.int64)  # what follows a prompt is behind all that count
        for row, n in enumerate(chosen):
            padded[row, : self.lengths[n]] = torch.from_numpy(np.asarray(self.prompts[n], dtype=np.int64))
        cache = DynamicCache()
        states = self.decoder(input_ids=padded.to(self.device), past_key_values=cache, use_cache=True).last_hidden_state
        for row, n in enumerate(chosen):
            self.read[n] = (cache, row, states[row, self.lengths[n] - 1 : self.lengths[n]])

    def drop(self, ended: Tensor) -> Tensor:
        """Free the slots that `ended` [n]: the last slots move into the holes. Returns which slot each kept one was."""
        count = len(ended)
        left = count - int(ended.sum())
        order = torch.arange(count)
        holes, movers = order[:left][ended[:left]], order[left:][~ended[left:]]
        if len(holes):
            columns = (
                int((self.start + self.made)[self.active[movers]].max()) - 1
            )  # the newest token is not in the cache yet
            self.slots.move(movers.to(self.device), holes.to(self.device), columns)
            order[holes] = movers
        order = order[:left]
        self.active = self.active[order]
        self.progress(count - left)
        return order

    def decode(self, token: Tensor) -> Tensor:
        """One forward of the last `token` [n] of each used slot: hidden states [n, H]."""
        position = (self.start + self.made - 1)[self.active].to(self.device)
        out = self.decoder(
            input_ids=token[:, None].to(self.device),
            position_ids=position[:, None],
            attention_mask=self.slots.aim(position),
            past_key_values=self.slots.cache,
            use_cache=True,
        )
        hidden: Tensor = out.last_hidden_state[:, 0]
        return hidden

    def completion(self, job: int) -> Completion:
        """What job number `job` has drawn."""
        count = int(self.made[job])
        tokens = self.tokens[job, :count].numpy().copy()
        logps = self.logps[job, :count].numpy().copy()
        return Completion(
            tokens=tokens,
            logprobs=logps,
            stop="eos" if tokens[-1] == self.sampler.policy.tokenizer.eos_id else "length",
            version=self.sampler.version,
            seed=self.jobs[job][1],
        )
