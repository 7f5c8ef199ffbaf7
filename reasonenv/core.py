"""The records that carry everything. Learn these and you know the program.

Dimensions, used in every shape comment of the package:

    N  problems in a batch          T  response tokens (padded: the longest response)
    G  samples a problem            L  = P + T, the whole sequence
    B  = N * G rows                 S  steps (actions) of an episode
    P  prompt tokens                V  vocabulary

Token ids are the state and text is a view of them: nothing here is ever tokenised twice. Masks come from lengths and
roles, never from token values, because the padding token of most models is also their end-of-sequence token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from reasonenv.errors import UserError

if TYPE_CHECKING:
    import torch

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


class Role(IntEnum):
    """Who wrote a response token. Only the policy's own tokens are trained on."""

    ENVIRONMENT = 0
    POLICY = 1


class Reason(StrEnum):
    """Why a verdict is what it is. Only `CORRECT` and `WRONG` compare two answers; the last three compare nothing."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"  # nothing that looks like an answer, or the response was cut off before it ended
    UNPARSABLE_ANSWER = "unparsable_answer"  # an answer was given, but it is not a value of the task's kind
    UNPARSABLE_GOLD = "unparsable_gold"  # the reference answer cannot be read: it says something about the problem
    TIMEOUT = "timeout"  # the answer could not be compared in time: so does this
    ERROR = "error"  # a verifier or a sandbox broke: it says something about us

    @classmethod
    def of(cls, equal: bool) -> Reason:
        """The reason where answer and gold were compared."""
        return cls.CORRECT if equal else cls.WRONG


ANSWERED = (Reason.CORRECT, Reason.WRONG)  # an answer was given and compared: it has a vote
# A verdict for one of these reasons says that the answer was not judged, not that it was wrong.
HARD_TO_VERIFY = (Reason.UNPARSABLE_GOLD, Reason.TIMEOUT)  # because of the problem
FAILURES = (*HARD_TO_VERIFY, Reason.ERROR)


@dataclass(frozen=True)
class Problem:
    """One question with its reference answer and, where the source has one, its reference solution.

    Environments share problems, so a `meta` is read-only.
    """

    id: str
    question: str
    answer: str
    steps: tuple[str, ...] = ()  # reference solution without the answer line, one step each
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not isinstance(self.meta, MappingProxyType):
            object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Of its fields; a read-only view of a mapping, as `meta` is by default, cannot be pickled or copied itself."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self), tuple({**values, "meta": dict(self.meta)}.values())


@dataclass(frozen=True)
class Verdict:
    """The result of verification.

    `score` is what the answer is worth, in [0, 1]: exactly 1 if it is correct and 0 if it was not judged, whatever is
    given; else below 1, by default 0, and what is above that is partial credit. Raises `UserError` for another score.
    """

    reason: Reason
    extracted: str | None  # the answer as it stands in the text
    gold: str
    millis: float = field(default=0.0, compare=False)  # wall clock; two runs agree on a verdict, not on its time
    # The answer in the verifier's normal form: two answers are the same if these are equal. None if none was given.
    canonical: str | None = None
    score: float = 0.0
    cause: str = field(default="", compare=False)  # what failed, in words, where the answer was not judged

    def __post_init__(self) -> None:
        if self.reason is Reason.CORRECT:
            object.__setattr__(self, "score", 1.0)
        elif self.reason in FAILURES:
            object.__setattr__(self, "score", 0.0)
        elif not 0 <= self.score < 1:
            raise UserError(f"score is {self.score!r} of an answer that is {self.reason}; it must be in [0, 1)")

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        return self.reason is Reason.CORRECT

    @property
    def checked(self) -> bool:
        """Whether answer and gold could be compared at all."""
        return self.reason not in FAILURES


@dataclass(frozen=True)
class Completion:
    """What a sampler returns for one prompt and one seed."""

    tokens: IntArray  # [T], the token that ends it included
    logprobs: FloatArray  # [T], under the distribution that was really sampled
    # eos: at one of the tokenizer's `ends`, whichever was drawn; length: cut, by the budget or at a stop token
    stop: Literal["eos", "length"]
    versions: IntArray  # [T], of the weights that drew each token
    seed: int
    # Whether something chose it among draws, or made it of parts of them: no ratio of log-probs holds for it. Whoever
    # draws more than he returns says so here.
    selected: bool = False

    @classmethod
    def unsampled(cls, tokens: IntArray, stop: Literal["eos", "length"]) -> Completion:
        """Tokens that no policy drew, such as a reference solution: log-probs, versions and seed are 0."""
        blank = np.zeros(len(tokens), dtype=np.float32)
        return cls(tokens, blank, stop, versions=np.zeros(len(tokens), dtype=np.int64), seed=0)


@dataclass(frozen=True)
class Trajectory:
    """One episode: the tokens, who chose them, and what each of them earned."""

    problem: Problem
    prompt: IntArray  # [P]
    tokens: IntArray  # [T]
    roles: npt.NDArray[np.int8]  # [T], `Role`
    logprobs: FloatArray  # [T], of the sampler; 0 where the environment wrote
    versions: IntArray  # [T], of the weights; where the environment wrote, as at the policy's token before, or the next
    rewards: FloatArray  # [T], at the policy's tokens
    ends: IntArray  # [S], index of the last token of each action at step granularity
    terminated: bool
    truncated: bool
    verdict: Verdict
    noise: int = 0  # seed of the environment's own draws
    metrics: Mapping[str, float] = field(default_factory=dict)  # what the task measures itself, in [0, 1]
    selected: bool = False  # as `Completion.selected`: no draw of the policy
    # Of a tree of rollouts: (the token with which a branch begins, its number among its siblings), from the root on.
    branches: tuple[tuple[int, int], ...] = ()

    @property
    def ret(self) -> float:
        """The undiscounted return."""
        return float(self.rewards.sum(dtype=np.float64))


@dataclass(frozen=True)
class Group:
    """The G trajectories of one problem."""

    problem: Problem
    trajectories: tuple[Trajectory, ...]


@dataclass(frozen=True)
class TokenBatch:
    """What a policy scores. Prompts are padded on the left and responses on the right, so they meet at column P."""

    tokens: torch.Tensor  # [B, L] int64
    prompt_length: torch.Tensor  # [B] int64
    length: torch.Tensor  # [B] int64, response tokens
    mask: torch.Tensor  # [B, T] float32, 1 on the tokens that the policy chose

    @property
    def width(self) -> int:
        """T, the padded response length."""
        return int(self.mask.shape[1])

    def select(self, rows: torch.Tensor) -> Self:
        """The given rows, with the padding that only the other rows needed cut away."""
        pad = self.tokens.shape[1] - self.width  # P
        left = pad - int(self.prompt_length[rows].max())
        width = int(self.length[rows].max())
        chosen: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None or value.dim() == 1:
                chosen[entry.name] = None if value is None else value[rows]
            elif entry.name == "tokens":
                chosen[entry.name] = value[rows, left : pad + width]
            else:
                chosen[entry.name] = value[rows, :width]
        return type(self)(**chosen)

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            moved[entry.name] = None if value is None else value.to(device)
        return type(self)(**moved)


@dataclass(frozen=True)
class Batch(TokenBatch):
    """Trajectories as tensors."""

    sampled_logp: torch.Tensor  # [B, T]
    old_logp: torch.Tensor  # [B, T], the trainer's own at the start of the update; the sampler's until it is known
    rewards: torch.Tensor  # [B, T]
    discount: torch.Tensor  # [B, T], 0 at a terminal token, else 1: a truncation is bootstrapped, a termination is not
    group: torch.Tensor  # [B] int64, rows of one problem share a number
    versions: torch.Tensor  # [B, T] int64, of the weights that drew each token
    values: torch.Tensor | None = None  # [B, T], of the critic at the start of the update
    returns: torch.Tensor | None = None  # [B, T], what the critic is to learn
    ref_logp: torch.Tensor | None = None  # [B, T]
    ends: torch.Tensor | None = None  # [B, T], 1 at the last token of each step
    branches: torch.Tensor | None = None  # [B, T] int64, k + 1 where branch k of a tree of rollouts begins, else 0
    top: torch.Tensor | None = None  # [B, T, K] int64, the sampled token and the likeliest others
    top_logp: torch.Tensor | None = None  # [B, T, K], theirs when the tokens were sampled
    divergence: torch.Tensor | None = None  # [B, T], of the policy from what it was when the tokens were sampled
    entropy: torch.Tensor | None = None  # [B, T], in nats, of each choice of the policy as it is, differentiable
