"""An outcome reward model: the chance that a response will be right, as seen after each of its tokens.

    s_t = sigmoid(w . h_t + b),   h_t the last hidden state of a copy of the policy's trunk at response token t

Source: 2110.14168, 2211.14275. w and b start at 0, so before any training every score is 1/2.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.policy.hf_policy import Policy
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH, microbatches

HEAD = "head.safetensors"


class Scorer:
    """`trunk` is a policy of its own, of which only what lies below the language-model head is used."""

    def __init__(self, trunk: Policy) -> None:
        self.trunk = trunk
        self.head = nn.Linear(trunk.head.weight.shape[1], 1, device=trunk.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def logits(self, batch: Batch) -> Tensor:
        """log s / (1 - s) after each response token, float32, differentiable, 0 at padding.  # [B, T]"""
        found, at = self.trunk.trunk(batch)
        states = found.index_select(0, at.place)  # [M, H]
        blank = torch.zeros(batch.mask.shape, device=self.trunk.device)
        return blank.index_put((at.row, at.step), self.head(states.float())[:, 0])

    @torch.no_grad()
    def scores(self, batch: Batch, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH) -> Tensor:
        """s after each response token, on the CPU; meaningless at padding.  # [B, T]"""
        logits = torch.zeros_like(batch.mask)
        for rows in microbatches(batch, tokens_per_microbatch, shared=self.trunk.shared):
            part = self.logits(batch.select(rows)).cpu()
            logits[rows, : part.shape[1]] = part
        return logits.sigmoid()

    def parameters(self) -> list[nn.Parameter]:
        """What training may change."""
        trunk = [p for p in self.trunk.model.get_decoder().parameters() if p.requires_grad]
        return [*trunk, *self.head.parameters()]

    def state_dict(self) -> dict[str, Tensor]:
        """Every weight, sharing memory with the model."""
        return {f"trunk.{k}": v for k, v in self.trunk.state_dict().items()} | {
            f"head.{k}": v for k, v in self.head.state_dict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        self.trunk.load_state_dict({k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")})
        self.head.load_state_dict({k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")})

    def save(self, folder: Path) -> None:
        """Writes the trunk in Hugging Face format, then the head beside it: where it is, all is there."""
        from safetensors.torch import save_file

        self.trunk.save(folder)
        save_file({k: v.cpu().contiguous() for k, v in self.head.state_dict().items()}, folder / HEAD)


def scorer_folder(name: str) -> Path:
    """Where the reward model called `name` lies. Raises `UserError` if there is none."""
    folder = Path(name).expanduser()
    folder = folder / "scorer" if (folder / "scorer").is_dir() else folder
    if not (folder / HEAD).is_file():
        raise UserError(f"{name!r} holds no reward model; give the folder of a run of `reasonenv train orm`")
    return folder


def load_scorer(name: str, policy: Policy) -> Scorer:
    """The reward model in a folder, or in that of the run that trained it, for responses of `policy`.

    Raises `UserError` for a folder that holds none, and for a model that reads other tokens than `policy` writes.
    """
    from safetensors.torch import load_file

    from reasonenv.policy.pretrained import load_policy

    folder = scorer_folder(name)
    scorer = Scorer(load_policy(str(folder), device=str(policy.device)))
    scorer.head.load_state_dict(load_file(folder / HEAD))
    if scorer.trunk.tokenizer.hf.get_vocab() != policy.tokenizer.hf.get_vocab():
        raise UserError(
            f"reward model {name!r} reads other tokens than {policy.name!r} writes; train one from that policy"
        )
    return scorer
