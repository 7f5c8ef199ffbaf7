"""Our own sampler: prompts are read once for all their samples, finished rows give way to waiting ones.

A row that pauses keeps its slot, and with it the keys and values of all that it has read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Completion, IntArray
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.sampling.choose import choose, truncate
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling, check_prompts
from reasonenv.sampling.session import Part, Session, check_room, room, whole
from reasonenv.sampling.torch.packed import PackedLinear, replica
from reasonenv.sampling.torch.slots import Slots
from reasonenv.seeding import uniforms

PREFILL_TOKENS = 4096  # read at once, padding included
CHUNK = 64  # more tokens than these that somebody appended are read at once, fewer one a step beside the other rows
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

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        return whole(self.open(prompts, jobs, sampling), len(jobs))

    def open(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Session:
        assert self.model is not None, "a sampler that was released draws after the next sync"
        check_prompts(prompts, sampling, self.policy.context)
        return _TorchSession(self, prompts, jobs, sampling)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits [R, V] of hidden states [R, H]; on a CPU the head's weight is packed."""
        layer, head = self.model.get_output_embeddings(), self.policy.head
        if isinstance(layer, PackedLinear):
            return head.finished(layer(hidden.float()))
        return replace(head, weight=layer.weight, bias=layer.bias).logits(hidden)


class _TorchSession(Session):
    """Rows wait, hold a slot, and end. Slots 0 .. n - 1 hold the n rows that run; paused rows are behind them.

    Arrays have a first axis of rows. What follows the prompt of a row are its `tokens`, of which `read` are in the
    cache; the newest one drawn is not. Where all are, the model's state behind them says what is drawn next.
    """

    pauses_freely = True

    def __init__(
        self, sampler: TorchSampler, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling
    ) -> None:
        self.sampler, self.prompts, self.sampling = sampler, prompts, sampling
        self.device, budget, count = sampler.policy.device, sampling.max_tokens, len(jobs)
        config = sampler.model.config.get_text_config()
        size = min(sampler.rows or _rows(config, sampler.policy.dtype, budget), count)
        self.slots = Slots(config.num_hidden_layers, size, budget, self.device)
        self.ends = np.array([*sampler.policy.tokenizer.ends, *sampling.stop])
        self.seeds = [seed for _, seed in jobs]
        self.uniforms = np.stack([uniforms(seed, budget) for seed in self.seeds])  # [R, budget]
        self.prompt = np.array([n for n, _ in jobs])  # [R]
        self.prompt_length = np.array([len(prompts[n]) for n, _ in jobs])  # [R]
        self.tokens = np.zeros((count, budget), dtype=np.int64)  # [R, C], what follows the prompt
        self.length, self.read = np.zeros((2, count), dtype=np.int64)  # [R], of the tokens
        self.chosen, self.versions = np.zeros((2, count, budget), dtype=np.int64)  # [R, budget], by the policy
        self.logps = np.zeros((count, budget), dtype=np.float32)
        self.drawn = np.zeros(count, dtype=np.int64)  # [R], how many it has chosen
        self.part, self.limit = np.zeros((2, count), dtype=np.int64)  # [R], how many before its last part, and at most
        self.paused = np.ones(count, dtype=np.bool_)  # [R]
        self.row_in = np.full(size, -1)  # the row in each slot, -1 in a free one
        self.placed = np.zeros(count, dtype=np.bool_)  # [R], whether it has a slot
        self.active: IntArray = np.empty(0, dtype=np.int64)  # [n], the rows in slots 0 .. n - 1, which run
        self.assigned = self.active  # the rows whose places among the prompts held the slots know
        self.waiting: deque[int] = deque()  # the rows that are to be given a slot
        self.held: list[int] = []  # the prompts that the slots hold, in their order
        self.hidden: dict[int, Tensor] = {}  # last hidden state [1, H] of the prompts of which rows still wait

    @torch.inference_mode()
    def draw(self) -> list[Part]:
        """One step: a token for every row in a slot that is not paused, drawn or read."""
        self.arrange()
        rows, hidden = self.decode()
        rows, hidden = self.admit(rows, hidden)  # [n], [n, H]
        if not len(rows):
            return []
        s, step = self.sampling, self.drawn[rows]
        logits = truncate(self.sampler.logits(hidden), s.temperature, top_k=s.top_k, top_p=s.top_p)  # [n, V]
        uniform = torch.from_numpy(self.uniforms[rows, step]).to(self.device)
        token, logp = choose(logits, uniform, s.temperature)
        tokens = token.cpu().numpy()
        self.tokens[rows, self.length[rows]] = self.chosen[rows, step] = tokens
        self.logps[rows, step], self.versions[rows, step] = logp.cpu().numpy(), self.sampler.version
        self.length[rows] += 1
        self.drawn[rows] += 1
        self.sampler.tokens_drawn += len(rows)
        pauses = np.isin(tokens, self.ends) | (step + 1 == self.limit[rows])
        if s.stop_strings:
            pauses |= np.array([self.stopped(row) for row in rows])
        self.paused[rows] = pauses
        return [(row, self.last_part(row)) for row in rows[pauses].tolist()]

    def append(
        self, row: int, tokens: Sequence[int] = (), *, keep: int | None = None, limit: int | None = None
    ) -> None:
        self.take_back(row, keep)
        drawn, length = int(self.drawn[row]), int(self.length[row]) + len(tokens)
        limit = room(drawn, self.sampling.max_tokens, limit)
        check_room(int(self.prompt_length[row]) + length, limit, self.sampler.policy.context)
        if length + limit > self.tokens.shape[1]:
            self.tokens = np.pad(self.tokens, ((0, 0), (0, length + limit)))
        if len(tokens):
            self.tokens[row, length - len(tokens) : length] = tokens
            self.length[row] = length
            self.sampler.tokens_read += len(tokens)
        self.part[row], self.limit[row] = drawn, drawn + limit
        self.paused[row] = False
        if not self.placed[row]:
            self.waiting.append(row)

    def finish(self, row: int, *, keep: int | None = None) -> Completion:
        self.take_back(row, keep)
        self.row_in[self.row_in == row] = -1
        self.placed[row] = False
        chosen = slice(int(self.drawn[row]))
        tokens = self.chosen[row, chosen].copy()
        stop: Literal["eos", "length"] = "length"
        if len(tokens) and tokens[-1] in self.sampler.policy.tokenizer.ends:
            stop = "eos"
        logprobs, versions = self.logps[row, chosen].copy(), self.versions[row, chosen].copy()
        return Completion(tokens, logprobs, stop, versions, self.seeds[row])

    def take_back(self, row: int, keep: int | None) -> None:
        """Of the last part of a row only the first `keep` tokens stand."""
        back = 0 if keep is None else int(self.drawn[row] - self.part[row]) - keep
        if back:
            self.drawn[row] -= back
            self.length[row] -= back
            self.read[row] = min(self.read[row], self.length[row] - 1)

    def last_part(self, row: int) -> list[int]:
        """What a row has drawn since it last went on."""
        part: list[int] = self.chosen[row, self.part[row] : self.drawn[row]].tolist()
        return part

    def stopped(self, row: int) -> bool:
        """Whether the last part of a row holds a stop string."""
        return self.sampling.stopped(self.sampler.policy.tokenizer.decode(self.last_part(row)))

    def arrange(self) -> None:
        """Moves rows that run into the first slots: the last of them into the holes, paused rows behind them."""
        runs = (self.row_in >= 0) & ~self.paused[self.row_in]  # [slots]
        count = int(runs.sum())
        holes, movers = np.flatnonzero(~runs[:count]), count + np.flatnonzero(runs[count:])
        if len(holes):
            occupied = self.row_in[holes] >= 0
            source = np.concatenate([movers, holes[occupied]])
            target = np.concatenate([holes, movers[occupied]])
            rows = self.row_in[source]
            moved, places = torch.from_numpy(source).to(self.device), torch.from_numpy(target).to(self.device)
            self.slots.move(moved, places, int(self.read[rows].max()))
            self.row_in[movers] = -1
            self.row_in[target] = rows
        self.active = self.row_in[:count].copy()

    def decode(self) -> tuple[IntArray, Tensor]:
        """One forward of the next token of each row that runs: those that have read all, and their states [n, H]."""
        rows = self.active
        if not len(rows):
            return rows, torch.empty(0)
        if not np.array_equal(self.assigned, rows):
            self.assigned = rows
            self.assign_prompts()
        for slot in np.flatnonzero(self.length[rows] - self.read[rows] > CHUNK).tolist():
            self.read_chunk(slot, int(rows[slot]))
        column = self.read[rows]
        token, position = self.tokens[rows, column], self.prompt_length[rows] + column
        out = self.decoder(
            input_ids=torch.from_numpy(token)[:, None].to(self.device),
            position_ids=torch.from_numpy(position)[:, None].to(self.device),
            attention_mask=self.slots.set_columns(torch.from_numpy(column).to(self.device)),
            past_key_values=self.slots.cache,
            use_cache=True,
            slots=self.slots,
        )
        self.read[rows] += 1
        hidden: Tensor = out.last_hidden_state[:, 0]
        done = self.read[rows] == self.length[rows]
        if done.all():
            return rows, hidden
        return rows[done], hidden[torch.from_numpy(done).to(self.device)]

    @property
    def decoder(self) -> Any:
        """The model without its head, with the weights of the last `sync`."""
        return self.sampler.model.get_decoder()

    def read_chunk(self, slot: int, row: int) -> None:
        """Reads what a row has not read yet in one causal pass, but for its last token."""
        begin, end = int(self.read[row]), int(self.length[row]) - 1
        cache = self.slots.history(slot, begin)
        self.decoder(
            input_ids=torch.from_numpy(self.tokens[row, begin:end])[None].to(self.device),
            position_ids=torch.arange(begin, end, device=self.device)[None] + int(self.prompt_length[row]),
            past_key_values=cache,
            use_cache=True,
        )
        self.slots.write(slot, begin, end, cache)
        self.read[row] = end

    def admit(self, rows: IntArray, hidden: Tensor) -> tuple[IntArray, Tensor]:
        """Gives free slots to waiting rows; those that begin join `rows` [n] and their states `hidden` [n, H]."""
        if not self.waiting:
            return rows, hidden
        if not len(self.active) and (self.row_in >= 0).all():
            self.make_way()
        beginners, states = [], []
        for slot in np.flatnonzero(self.row_in < 0).tolist()[: len(self.waiting)]:
            row = self.waiting[0]
            prompt, begins = int(self.prompt[row]), self.length[row] == 0
            if prompt not in (self.hidden if begins else self.held):
                self.prefill()
            self.waiting.popleft()
            self.row_in[slot], self.placed[row] = row, True
            if begins:
                beginners.append(row)
                states.append(self.hidden[prompt])
        needed = {int(self.prompt[row]) for row in self.waiting}
        self.hidden = {prompt: state for prompt, state in self.hidden.items() if prompt in needed}
        if not beginners:
            return rows, hidden
        return np.concatenate([rows, beginners]), torch.cat([hidden.to(states[0]), *states])

    def make_way(self) -> None:
        """Takes their slots from paused rows, where they hold them all and nothing runs: they read again later."""
        for slot in range(min(len(self.waiting), len(self.row_in))):
            row = self.row_in[slot]
            self.sampler.tokens_read += int(self.read[row])
            self.read[row], self.row_in[slot], self.placed[row] = 0, -1, False

    def prefill(self) -> None:
        """Reads the prompts that the free slots will need, in one causal pass padded on the right."""
        from transformers import DynamicCache

        chosen: list[int] = []
        width = 0
        for row in islice(self.waiting, int((self.row_in < 0).sum())):
            prompt = int(self.prompt[row])
            if prompt in chosen or prompt in self.hidden:
                continue
            width = max(width, len(self.prompts[prompt]))
            if chosen and width * (len(chosen) + 1) > PREFILL_TOKENS:
                break
            chosen.append(prompt)
        lengths = torch.tensor([len(self.prompts[n]) for n in chosen])
        padded = torch.zeros(len(chosen), int(lengths.max()), dtype=torch.int64)  # no token attends what follows it
        for place, n in enumerate(chosen):
            padded[place, : lengths[place]] = torch.from_numpy(np.asarray(self.prompts[n], dtype=np.int64))
        cache = DynamicCache()
        states = self.decoder(input_ids=padded.to(self.device), past_key_values=cache, use_cache=True).last_hidden_state
        self.slots.add(cache, lengths.to(self.device))
        self.held += chosen
        self.assigned = np.empty(0, dtype=np.int64)
        for place, n in enumerate(chosen):
            self.hidden[n] = states[place, lengths[place] - 1][None].clone()  # not the whole of `states`
        self.sampler.tokens_read += int(lengths.sum())

    def assign_prompts(self) -> None:
        """Tells the slots which prompt each row that runs follows; prompts that nobody needs any more go."""
        needed = {*self.prompt[self.row_in[self.row_in >= 0]].tolist(), *self.hidden}
        place_of = {n: place for place, n in enumerate(self.held)}
        places = [place for place, n in enumerate(self.held) if n in needed and place_of[n] == place]
        self.slots.keep(torch.tensor(places, device=self.device))
        self.held = [self.held[place] for place in places]
        place_of = {n: place for place, n in enumerate(self.held)}
        prompts = [place_of[n] for n in self.prompt[self.active].tolist()]
        self.slots.assign_prompts(torch.tensor(prompts, device=self.device))


def _rows(config: Any, dtype: torch.dtype, tokens: int) -> int:
    """How many responses of so many tokens `CACHE` holds, within `ROWS`."""
    width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    each: int = 2 * config.num_hidden_layers * heads * width * tokens * dtype.itemsize  # keys and values
    least, most = ROWS
    return max(least, min(most, CACHE // each))
