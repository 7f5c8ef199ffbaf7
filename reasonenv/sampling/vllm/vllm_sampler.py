"""vLLM as a sampler. See `engine` for the engine itself.

A sample depends on its own prompt and seed, and on its neighbours only by float rounding. The folders of weights that
the engine takes over after each update also start a new one when it has died.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from reasonenv.core import IntArray
from reasonenv.errors import UserError
from reasonenv.policy.collate import padded, token_batch
from reasonenv.policy.hf_policy import HFPolicy, quiet
from reasonenv.sampling.sampler import MAX_GAP, Drawn, Job, Sampler, Sampling, check_prompts
from reasonenv.sampling.session import HistorySession, Part, Session, whole
from reasonenv.sampling.torch.packed import merged
from reasonenv.sampling.vllm.engine import Engine, EngineDied, Limits, Local, Request, Served, check_installed
from reasonenv.seeding import derive_seed

DEATHS = 3  # of the engine during one `generate`, after which something is wrong that a restart will not mend
CANARY_TEMPERATURE = 0.8  # not 1, where raw log-probs and those of the distribution sampled are the same


class VLLMSampler(Sampler):
    """Samples of `policy` with vLLM; `address` is that of a served engine, else one is started here.

    A dead engine is started again with the weights of the last `sync`, and only what it had not answered is drawn
    again. `head_dtype` "model" takes the head of an own engine in the policy's dtype: faster, further from the trainer.
    Raises `UserError` if vLLM is missing, of a version outside `WINDOW`, or disagrees with the trainer.
    """

    served = True
    reproducibility = ("seeded", "vLLM cuts its batches by the moment")

    @classmethod
    def check_installed(cls) -> None:
        check_installed()

    def __init__(self, policy: HFPolicy, *, address: str | None = None, head_dtype: str = "float32") -> None:
        self.policy = policy
        self.engine: Engine = Served(address) if address else Local(policy, head_dtype)
        memory = Path("/dev/shm")
        if not memory.is_dir():
            memory = Path(tempfile.gettempdir())
        self._root = tempfile.TemporaryDirectory(prefix="reasonenv-", dir=memory)
        self.folder = Path(self._root.name) / "policy"  # the whole model, or what an adapter rests on
        self.adapters = 0  # sent so far
        self.rank = max((len(x) for name, x in policy.model.named_parameters() if ".lora_A." in name), default=0)
        if self.rank:
            with quiet(), policy.adapter.disable_adapter():
                merged(policy.model).save_pretrained(self.folder)
        else:
            policy.save(self.folder)
        self.engine.start(self.folder, self.rank)
        if self.rank:
            self._send()

    def sync(self, version: int) -> dict[str, float]:
        """See `Sampler.sync`. Returns how far the engine's log-probs of a few samples are from the trainer's."""
        self.version = version
        try:
            self._send()
        except EngineDied:
            self.restart()
        return self._canary()

    def close(self) -> None:
        self.engine.close()
        self._root.cleanup()

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        with self.open(prompts, jobs, sampling) as session:
            yield from whole(session, len(jobs))

    def open(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Session:
        check_prompts(prompts, sampling, self.policy.context)
        if 0 < sampling.temperature < 0.01:
            raise UserError(f"temperature is {sampling.temperature}; vLLM takes 0 (greedy) or at least 0.01")
        return _VLLMSession(self, prompts, jobs, sampling)

    def _send(self) -> None:
        """The weights as they are now to the engine: those of the adapter, if there is one, else all.

        An adapter is not merged: in bfloat16 the sum with what it rests on rounds most of it away.
        """
        if not self.rank:
            self.policy.save(self.folder)
            self.engine.load(self.folder)
            return
        self.adapters += 1
        self.policy.save(self._adapter)
        self.engine.adapt(self._adapter)
        shutil.rmtree(self._adapter.with_name(f"adapter-{self.adapters - 1}"), ignore_errors=True)

    @property
    def _adapter(self) -> Path:
        return self.folder.with_name(f"adapter-{self.adapters}")

    def restart(self) -> None:
        """A new engine, with the weights that the dead one had."""
        self.engine.close()
        self.engine.start(self.folder, self.rank)
        if self.rank:
            self.engine.adapt(self._adapter)

    def _canary(self) -> dict[str, float]:
        """The mean and largest gap on samples just drawn; raises `UserError` above `MAX_GAP`."""
        prompt = np.array(self.policy.tokenizer.encode("7 + 5 = 12. 8 + 6 ="), dtype=np.int64)
        seeds, sampling = [derive_seed("canary", n) for n in range(4)], Sampling(8, CANARY_TEMPERATURE)
        ((*drawn,),) = self.generate([prompt], [seeds], sampling)
        batch = token_batch([prompt] * len(drawn), [c.tokens for c in drawn], pad=self.policy.tokenizer.eos_id)
        sampled = padded((c.logprobs for c in drawn), (len(drawn), batch.width))
        size = batch.tokens.numel()
        logp, _ = self.policy.score(batch, tokens_per_microbatch=size, temperature=CANARY_TEMPERATURE)
        gaps = ((logp - sampled).abs() * batch.mask).double()
        gap = float(gaps.sum() / batch.mask.sum())
        if not gap <= MAX_GAP:  # nan is no agreement either
            raise UserError(
                f"after sync {self.version} vLLM and the trainer disagree by {gap:.3f} nats a token "
                f"(limit {MAX_GAP}): the engine has other weights, or returns log-probs of another "
                "distribution; start a served engine with --logprobs-mode processed_logprobs and the same model "
                "and dtype, or use sampler=torch"
            )
        return {"canary/gap": gap, "canary/max": float(gaps.max())}


class _VLLMSession(HistorySession):
    """A row that goes on is a new request with its whole history, of which the engine's prefix cache has most.

    Each part has a seed of its own. A dead engine is started again, and asked for what it had not answered.
    """

    def __init__(
        self, sampler: VLLMSampler, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling
    ) -> None:
        context = sampler.policy.context
        super().__init__(prompts, jobs, max_tokens=sampling.max_tokens, stop=sampling.stop, context=context)
        self.sampler, self.sampling = sampler, sampling
        self.limits = Limits(sampler.policy.tokenizer.ends, tuple(sampler.policy.absent.tolist()))
        self.asked: dict[int, None] = {}  # rows that are being drawn, in order
        self.awake = False
        self.deaths = 0

    def draw(self) -> list[Part]:
        engine = self.sampler.engine
        rows, self.ready = self.ready, []
        self.asked |= dict.fromkeys(rows)
        try:
            if not self.awake:
                engine.wake()
                self.awake = True
            if rows:
                engine.add({row: self.request(row) for row in rows}, self.sampling, self.limits)
            answers = engine.step()
        except EngineDied as error:
            self.deaths += 1
            if self.deaths == DEATHS:
                raise UserError(
                    f"the vLLM engine died {DEATHS} times in one batch of samples ({error.__cause__}); see its "
                    "messages above; use fewer samples an iteration, a smaller max_tokens or sampler=torch"
                ) from error
            self.close()
            self.sampler.restart()
            self.ready, self.asked = list(self.asked), {}
            return []
        return [self.answered(*answer) for answer in answers]

    def request(self, row: int) -> Request:
        """For the next part of a row."""
        state = self.rows[row]
        return state.history, state.part_seed, state.limit

    def answered(self, row: int, tokens: list[int], logps: list[float], read: int) -> Part:
        """Takes an answer of the engine as the next part of a row."""
        del self.asked[row]
        self.sampler.tokens_read += read
        self.sampler.tokens_drawn += len(tokens)
        tokenizer, seed = self.sampler.policy.tokenizer, self.rows[row].seed
        size = self.sampling.size(tokens, tokenizer)  # the engine knows ids, and no strings
        return self.pause(row, self.sampler.completion(tokens[:size], logps[:size], ends=tokenizer.ends, seed=seed))

    def close(self) -> None:
        if self.awake:
            self.awake = False
            with contextlib.suppress(EngineDied):
                self.sampler.engine.rest()
