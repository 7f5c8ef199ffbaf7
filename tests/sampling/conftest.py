"""An adapter that does something, which a fresh one does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.lora import add_adapter


@pytest.fixture(scope="session")
def adapt() -> Callable[[HFPolicy], None]:
    """Adds an adapter whose weights are drawn from torch's own state; a fresh one adds 0."""

    def draw(policy: HFPolicy) -> None:
        pytest.importorskip("peft")
        add_adapter(policy, 4, seed=0)
        for name, weight in policy.model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(weight, std=0.02)

    return draw
