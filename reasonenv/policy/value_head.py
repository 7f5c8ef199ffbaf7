"""Linear heads of one number on the hidden states of a policy: a critic, and an outcome reward model."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from reasonenv.core import TokenBatch
from reasonenv.errors import UserError
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH, by_microbatch
from reasonenv.policy.policy import Policy, ResponseStates, prefixed, under

HEAD = "head.safetensors"


class ValueHead:
    """w . h + b in float32, on the hidden states of `trunk`; w and b start at 0.

    Its weights are those of the head and of `trunk`; without one, the trunk is the policy's and trained with that.
    """

    def __init__(self, policy: Policy, trunk: Policy | None, *, bias: bool) -> None:
        self.trunk = trunk
        # Without the usual initialisation, which would draw from the process's generator.
        self.head = nn.Linear(policy.head.weight.shape[1], 1, bias=bias, device="meta").to_empty(device=policy.device)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def read(self, hidden: Tensor) -> Tensor:
        """The number of each hidden state [M, H], differentiable.  # [M]"""
        out: Tensor = self.head(hidden.float())[:, 0]
        return out

    def state_dict(self) -> dict[str, Tensor]:
        """Every weight, flat, sharing memory."""
        trunk = self.trunk.state_dict() if self.trunk else {}
        return prefixed("trunk.", trunk) | prefixed("head.", self.head.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        self.head.load_state_dict(under("head.", state))
        if self.trunk:
            self.trunk.load_state_dict(under("trunk.", state))


class Critic(ValueHead):
    """V = w . h of every state of a response, on the trunk of a policy or on a copy of it.

    The value of the state that a response ended in is what a truncated episode is bootstrapped with.
    """

    def __init__(self, policy: Policy, *, separate: bool) -> None:
        self.policy = policy
        trunk = policy.trainable_copy() if separate else None
        super().__init__(policy, trunk, bias=False)

    def values(self, batch: TokenBatch, states: ResponseStates | None = None) -> tuple[Tensor, Tensor]:
        """(V before each token [B, T], 0 at padding; V at the end [B]), differentiable, of one micro-batch.

        `states` are the policy's own of this batch, if they are at hand; on a shared trunk they are not computed again.
        """
        if self.trunk or states is None:
            states = (self.trunk or self.policy).states(batch)
        return states.spread(self.read(states.before)), self.read(states.after)

    def score(self, batch: TokenBatch, *, tokens_per_microbatch: int) -> tuple[Tensor, Tensor]:
        """`values` of a whole batch without gradient, by micro-batches, on the CPU: ([B, T], [B])."""
        values, last = by_microbatch(self.values, batch, tokens_per_microbatch, shared=self.policy.shared)
        return values, last

    def parameters(self) -> list[nn.Parameter]:
        """What training may change of its weights."""
        trunk = self.trunk.parameters() if self.trunk else []
        return [*self.head.parameters(), *trunk]


class Scorer(ValueHead):
    """An outcome reward model: the chance that a response will be right, as seen after each of its tokens.

        s_t = sigmoid(w . h_t + b),   h_t the last hidden state of a copy of the policy's trunk at response token t

    Source: 2110.14168, 2211.14275. Before any training every score is 1/2. `trunk` is not shared, and its
    language-model head is not used.
    """

    trunk: Policy

    def __init__(self, trunk: Policy) -> None:
        super().__init__(trunk, trunk, bias=True)

    def logits(self, batch: TokenBatch) -> Tensor:
        """log s / (1 - s) after each response token, float32, differentiable, 0 at padding.  # [B, T]"""
        states = self.trunk.states(batch)
        return states.spread(self.read(states.after_each()))

    def scores(self, batch: TokenBatch, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH) -> Tensor:
        """s after each response token, without gradient, on the CPU; meaningless at padding.  # [B, T]"""

        def logits(micro: TokenBatch) -> tuple[Tensor]:
            return (self.logits(micro),)

        (whole,) = by_microbatch(logits, batch, tokens_per_microbatch, shared=self.trunk.shared)
        return whole.sigmoid()

    def parameters(self) -> list[nn.Parameter]:
        """What training may change."""
        return [*self.trunk.trunk_parameters(), *self.head.parameters()]

    def save(self, folder: Path) -> None:
        """Writes the trunk in Hugging Face format, then the head beside it: where it is, all is there."""
        from safetensors.torch import save_file

        self.trunk.save(folder)
        save_file({name: tensor.cpu().contiguous() for name, tensor in self.head.state_dict().items()}, folder / HEAD)


def scorer_folder(name: str) -> Path:
    """Where the reward model called `name` lies. Raises `UserError` if there is none."""
    folder = Path(name).expanduser()
    if (folder / "scorer").is_dir():
        folder = folder / "scorer"
    if not (folder / HEAD).is_file():
        raise UserError(f"{name!r} holds no reward model; give the folder of a run of `reasonenv train orm`")
    return folder


def load_scorer(name: str, policy: Policy) -> Scorer:
    """The reward model in a folder, or in that of the run that trained it, for responses of `policy`.

    Raises `UserError` for a folder that holds none, and for a model that reads other tokens than `policy` writes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from reasonenv.policy.pretrained import load_policy

    folder = scorer_folder(name)
    scorer = Scorer(load_policy(str(folder), device=str(policy.device)))
    try:
        scorer.head.load_state_dict(load_file(folder / HEAD))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder / HEAD} holds no head of {name!r}: {' '.join(str(error).split())}") from error
    if scorer.trunk.tokenizer.hf.get_vocab() != policy.tokenizer.hf.get_vocab():
        raise UserError(
            f"reward model {name!r} reads other tokens than {policy.name!r} writes; train one from that policy"
        )
    return scorer
