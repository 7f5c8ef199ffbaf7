"""Our own sampler: prompts are read once for all their samples, finished rows give way to waiting ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Completion, IntArray
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.sampling.choose import choose, truncate
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling, check_prompts
from reasonenv.sampling.torch.packed import PackedLinear, replica
from reasonenv.sampling.torch.slots import Slots
from reasonenv.seeding import uniforms

PREFILL_TOKENS = 4096  # read at once, padding included
ROWS = 128, 512  # drawn at a time, at least and at most: a step of a small model costs much the same for either
CACHE = 2**27  # bytes of keys and values that more rows than the least may take


class TorchSampler(Sampler):
    """Samples of `policy` with plain torch, at most `rows` at a time.

    `rows` bounds the memory of the key-value cache and changes results only by float rounding. By default it is as many
    of `ROWS` as `CACHE` holds.
    """

    def __init__(self, policy: HFPolicy, *, rows: int | None = None) -> None:
        self.policy = policy
        self.rows = rows
        self.sync(0)

    def sync(self, version: int) -> dict[str, float]:
        self.version = version
        self.model: Any = replica(self.policy.model)
        return {}

    def release(self) -> None:
        self.model = None  # the packed weights go

    @torch.inference_mode()
    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        assert self.model is not None, "a sampler that was released draws after the next sync"
        check_prompts(prompts, sampling, self.policy.context)
        decoder = _Decoder(self, prompts, jobs, sampling)
        for job in decoder.run():
            yield job, decoder.completion(job)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits [R, V] of hidden states [R, H]; on a CPU the head's weight is packed."""
        layer, head = self.model.get_output_embeddings(), self.policy.head
        if isinstance(layer, PackedLinear):
            return head.finished(layer(hidden.float()))
        return replace(head, weight=layer.weight, bias=layer.bias).logits(hidden)


class _Decoder:
    """The state of one `generate`: jobs wait, hold a slot, and end. Slot tensors have a first axis of `rows`."""

    def __init__(
        self, sampler: TorchSampler, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling
    ) -> None:
        self.sampler, self.prompts, self.jobs, self.sampling = sampler, prompts, jobs, sampling
        self.device = sampler.policy.device
        self.lengths = torch.tensor([len(prompt) for prompt in prompts])
        self.decoder = sampler.model.get_decoder()
        config = sampler.model.config.get_text_config()
        self.rows = min(sampler.rows or _rows(config, sampler.policy.dtype, sampling.max_tokens), len(jobs))
        self.slots = Slots(config.num_hidden_layers, self.rows, sampling.max_tokens, self.device)
        self.uniforms = torch.from_numpy(np.stack([uniforms(seed, sampling.max_tokens) for _, seed in jobs]))
        self.tokens = torch.zeros(len(jobs), sampling.max_tokens, dtype=torch.int64)
        self.logps = torch.zeros(len(jobs), sampling.max_tokens, dtype=torch.float32)
        self.made = torch.zeros(len(jobs), dtype=torch.int64)  # tokens of each job so far
        self.prompt = torch.tensor([n for n, _ in jobs])  # of each job
        self.active = torch.empty(0, dtype=torch.int64)  # the job in each slot in use
        self.assigned = self.active  # the jobs whose prompts the slots know
        self.waiting = 0  # the next job to be given a slot
        self.held: list[int] = []  # the prompts that the slots hold, in their order
        self.hidden: dict[int, Tensor] = {}  # last hidden state [1, H] of the prompts of which jobs still wait

    def run(self) -> Iterator[int]:
        """Draws a token for every slot in use until no job is left; the jobs as they end."""
        s = self.sampling
        hidden = torch.empty(0)
        ends = torch.tensor([*self.sampler.policy.tokenizer.ends, *s.stop])
        while self.waiting < len(self.jobs) or len(self.active):
            hidden = self.admit(hidden)  # [n, H], n slots in use
            active = self.active
            step = self.made[active]
            logits = truncate(self.sampler.logits(hidden), s.temperature, top_k=s.top_k, top_p=s.top_p)  # [n, V]
            token, logp = choose(logits, self.uniforms[active, step].to(self.device), s.temperature)
            token = token.cpu()
            self.tokens[active, step], self.logps[active, step] = token, logp.cpu()
            self.made[active] += 1
            ended = torch.isin(token, ends) | (step + 1 == s.max_tokens)
            if s.stop_strings:
                ended |= torch.tensor([self.stopped(job) for job in active.tolist()])
            if ended.any():
                token = token[self.drop(ended)]
                yield from active[ended].tolist()
            hidden = self.decode(token) if len(token) else hidden[:0]

    def stopped(self, job: int) -> bool:
        """Whether what a job has drawn holds a stop string."""
        ids = self.tokens[job, : self.made[job]].tolist()
        return self.sampling.stopped(self.sampler.policy.tokenizer.decode(ids))

    def admit(self, hidden: Tensor) -> Tensor:
        """Gives free slots to waiting jobs; `hidden` [n, H] of the slots in use grows by theirs."""
        while self.waiting < len(self.jobs) and len(self.active) < self.rows:
            prompt = self.jobs[self.waiting][0]
            if prompt not in self.hidden:
                self.prefill()
            first, free = self.waiting, self.rows - len(self.active)
            while self.waiting < min(first + free, len(self.jobs)) and self.jobs[self.waiting][0] == prompt:
                self.waiting += 1
            self.active = torch.cat([self.active, torch.arange(first, self.waiting)])
            state = self.hidden[prompt]
            hidden = torch.cat([hidden.to(state), state.expand(self.waiting - first, -1)])
            if self.waiting == len(self.jobs) or self.jobs[self.waiting][0] != prompt:
                del self.hidden[prompt]
        return hidden

    def prefill(self) -> None:
        """Reads the prompts that the free slots will need, in one causal pass padded on the right."""
        from transformers import DynamicCache

        free = self.rows - len(self.active)
        chosen: list[int] = []
        width = 0
        for prompt, _ in self.jobs[self.waiting : self.waiting + free]:
            if prompt not in chosen:
                width = max(width, len(self.prompts[prompt]))
                if chosen and width * (len(chosen) + 1) > PREFILL_TOKENS:
                    break
                chosen.append(prompt)
        lengths = self.lengths[chosen]
        padded = torch.zeros(len(chosen), int(lengths.max()), dtype=torch.int64)  # no token attends what follows it
        for row, n in enumerate(chosen):
            padded[row, : lengths[row]] = torch.from_numpy(np.asarray(self.prompts[n], dtype=np.int64))
        cache = DynamicCache()
        states = self.decoder(input_ids=padded.to(self.device), past_key_values=cache, use_cache=True).last_hidden_state
        self.slots.add(cache, lengths.to(self.device))
        self.held += chosen
        for row, n in enumerate(chosen):
            self.hidden[n] = states[row, lengths[row] - 1][None].clone()  # not the whole of `states`

    def drop(self, ended: Tensor) -> Tensor:
        """Frees the slots that `ended` [n]: the last slots move into the holes. Returns where each slot was before."""
        count = len(ended)
        left = count - int(ended.sum())
        order = torch.arange(count)
        holes, movers = order[:left][ended[:left]], order[left:][~ended[left:]]
        if len(holes):
            columns = int(self.made[self.active[movers]].max()) - 1  # the newest token is not in the cache yet
            self.slots.move(movers.to(self.device), holes.to(self.device), columns)
            order[holes] = movers
        order = order[:left]
        self.active = self.active[order]
        return order

    def decode(self, token: Tensor) -> Tensor:
        """One forward of the last `token` [n] of each slot in use: hidden states [n, H]."""
        prompt = self.prompt[self.active]
        if self.assigned is not self.active:
            self.assigned = self.active
            self.assign_prompts(prompt.tolist())
        made = self.made[self.active]
        out = self.decoder(
            input_ids=token[:, None].to(self.device),
            position_ids=(self.lengths[prompt] + made - 1)[:, None].to(self.device),
            attention_mask=self.slots.set_columns((made - 1).to(self.device)),
            past_key_values=self.slots.cache,
            use_cache=True,
            slots=self.slots,
        )
        hidden: Tensor = out.last_hidden_state[:, 0]
        return hidden

    def assign_prompts(self, prompts: list[int]) -> None:
        """Tells the slots which prompt each of those in use follows; prompts that nobody needs any more go."""
        needed = {*prompts, *self.hidden}
        places = [place for place, n in enumerate(self.held) if n in needed]
        self.slots.keep(torch.tensor(places, device=self.device))
        self.held = [self.held[place] for place in places]
        place_of = {n: place for place, n in enumerate(self.held)}
        self.slots.assign_prompts(torch.tensor([place_of[n] for n in prompts], device=self.device))

    def completion(self, job: int) -> Completion:
        """What job number `job` has drawn."""
        count = int(self.made[job])
        tokens, logps = self.tokens[job, :count].numpy(), self.logps[job, :count].numpy()
        ends = self.sampler.policy.tokenizer.ends
        return self.sampler.completion(tokens, logps, ends=ends, seed=self.jobs[job][1])


def _rows(config: Any, dtype: torch.dtype, tokens: int) -> int:
    """How many responses of so many tokens `CACHE` holds, within `ROWS`."""
    width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    each: int = 2 * config.num_hidden_layers * heads * width * tokens * dtype.itemsize  # keys and values
    least, most = ROWS
    return max(least, min(most, CACHE // each))
