"""What vLLM is asked for, and what is said where no engine answers: needs no vLLM."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reasonenv.errors import UserError
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling
from reasonenv.sampling.vllm import engine
from reasonenv.sampling.vllm.engine import Limits, request


def test_a_request_holds_every_end_and_forbids_what_is_no_token() -> None:
    asked = request(Sampling(8, 0.7, stop=(10,)), Limits(ends=(2, 7), absent=(30, 31)), -100.0)
    assert asked["stop_token_ids"] == [2, 7, 10]
    assert asked["ignore_eos"]
    assert asked["logit_bias"] == {30: -100.0, 31: -100.0}


def test_a_dead_address_is_named_at_once_and_given_up_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.0)
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: None)
    with socket.socket() as free:  # bound and not listening: whoever connects is refused
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no vLLM answers at {address} .*or leave address out") as refused:
            make_sampler("vllm", tiny_policy(0), address=address)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr().err == ""  # there was nothing to wait for
    moments = iter([0.0, 0.5, 2.0])
    monkeypatch.setattr(engine, "PATIENCE", 1.0)
    monkeypatch.setattr(engine.time, "monotonic", lambda: next(moments))
    with pytest.raises(UserError, match="no vLLM answers"):
        make_sampler("vllm", tiny_policy(0), address=address)
    told = capsys.readouterr().err
    assert told.startswith(f"reasonenv: waiting up to 1 s for a vLLM at {address} (")
    assert told.count("\n") == 1
