"""A policy is a causal language model and its tokenizer: it scores tokens, and it can be saved, copied and restored."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.policy.adapter_files import MARK, write_seed
from reasonenv.policy.attention import arguments, share_prompts
from reasonenv.policy.goals import Goals
from reasonenv.policy.logprobs import token_logprobs
from reasonenv.policy.microbatch import Layout, layout, microbatches
from reasonenv.policy.silence import quiet
from reasonenv.policy.states import States
from reasonenv.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Config fields by which a model changes its logits after the head; the log-probs here are of the head alone.
LOGIT_FIELDS = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier")


class Policy:
    """A Hugging Face causal LM, trained in its own dtype, always in eval mode: dropout would part trainer from sampler.

    Raises `UserError` for a model whose vocabulary is smaller than the tokenizer's, or which rescales its logits.
    """

    goals: Goals | None = None  # with which the loaded weights were trained; never set anew
    shared: bool = True  # whether rows with one prompt share its computation
    adapter: Any = None  # the `peft.PeftModel` around `model`, if only an adapter is trained
    seed: int | None = None  # of a model made from scratch
    revision: str | None = None  # of a model on the hub: a branch, a tag or a commit

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, name: str) -> None:
        config = model.config.get_text_config()
        for field in LOGIT_FIELDS:
            value = getattr(config, field, None)
            if value is not None and value != 1:
                raise UserError(
                    f"policy {name!r} has {field}={value} in its config; models that rescale logits are not supported"
                )
        embedding = model.get_input_embeddings()
        if embedding.num_embeddings < tokenizer.vocab_size:
            raise UserError(
                f"policy {name!r} knows {embedding.num_embeddings} tokens but its tokenizer has "
                f"{tokenizer.vocab_size}; use the tokenizer the model was trained with"
            )
        embedding.padding_idx = None  # pad is EOS in most models, and torch gives the padding row no gradient
        self.shared = share_prompts(model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.source = str(model.name_or_path)  # what the weights are found by
        # A model without a table of positions, such as one with a state, reads as far as it is given.
        self.context = int(getattr(config, "max_position_embeddings", None) or 2**31 - 1)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.head.weight.dtype

    @property
    def head(self) -> nn.Linear:
        """The layer from hidden states [H] to logits [V]."""
        head: nn.Linear = self.model.get_output_embeddings()
        return head

    @property
    def width(self) -> int:
        """H, the size of a hidden state."""
        return int(self.head.weight.shape[1])

    def trunk(self, batch: Batch) -> tuple[Tensor, Layout]:
        """Hidden states of one micro-batch [n * W, H], differentiable, and where what stands in them."""
        at = layout(batch, self.device, shared=self.shared)
        families = {} if at.families is None else arguments(at.families, self.device)
        output = self.model.get_decoder()(input_ids=at.tokens, position_ids=at.positions, use_cache=False, **families)
        return output.last_hidden_state.flatten(0, 1), at

    def states(self, batch: Batch) -> States:
        """The hidden states that heads read, differentiable. Give it one micro-batch."""
        assert int(batch.prompt_length.min()) >= 1, "the first response token needs a prompt token before it"
        found, at = self.trunk(batch)
        last = at.place[batch.length.to(self.device).cumsum(0) - 1]  # [B]
        return States(
            before=found.index_select(0, at.before),
            after=found.index_select(0, last),
            targets=at.tokens.flatten()[at.place],
            row=at.row,
            step=at.step,
            shape=(len(batch.mask), batch.width),
        )

    def logprobs(
        self, batch: Batch, *, temperature: float = 1.0, states: States | None = None
    ) -> tuple[Tensor, Tensor]:
        """(logp [B, T], entropy [B, T]) of the response tokens at `temperature`, float32, 0 at padding.

        Both are differentiable. Give it one micro-batch, and its `states` if they are at hand.
        """
        at = states or self.states(batch)
        logp, entropy = token_logprobs(at.before, self.head.weight, self.head.bias, at.targets, temperature=temperature)
        return at.spread(logp), at.spread(entropy)

    @torch.no_grad()
    def score(self, batch: Batch, *, tokens_per_microbatch: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """`logprobs` of a whole batch without gradient, by micro-batches: (logp [B, T], entropy [B, T]) on the CPU."""
        logp, entropy = torch.zeros(2, *batch.mask.shape)
        for rows in microbatches(batch, tokens_per_microbatch, shared=self.shared):
            part = self.logprobs(batch.select(rows), temperature=temperature)
            width = part[0].shape[1]
            logp[rows, :width], entropy[rows, :width] = (x.cpu() for x in part)
        return logp, entropy

    def parameters(self) -> list[nn.Parameter]:
        """What training may change; a tied parameter comes once."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def state_dict(self) -> dict[str, Tensor]:
        """Every weight once (of tied ones the first name), sharing memory; with an adapter, its weights alone."""
        seen: set[int] = set()
        state: dict[str, Tensor] = {}
        for name, tensor in self.model.state_dict().items():
            if self.adapter is not None and MARK not in name:
                continue
            if tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                state[name] = tensor
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy `state` into the model. Raises `UserError` if it is of another model."""
        own = self.state_dict()
        if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
            raise UserError(
                f"these weights are not of policy {self.name!r}: names or shapes differ; load the policy that made them"
            )
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def save(self, folder: Path | str, goals: Goals | None = None) -> None:
        """Write the model and tokenizer in Hugging Face format; `folder` is replaced as a whole or not at all.

        Of a policy with an adapter, the adapter in peft's format, which names the model that it rests on. `goals` are
        those that it has learned to be conditioned on.
        """
        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh, stale = (target.parent / f".{target.name}.{kind}" for kind in ("new", "old"))
        for left in (fresh, stale):  # by a save that was killed
            shutil.rmtree(left, ignore_errors=True)
        with quiet():
            if self.adapter is None:
                self.model.save_pretrained(fresh)
            else:
                self.adapter.save_pretrained(fresh, save_embedding_layers=False)
                (fresh / "README.md").unlink(missing_ok=True)  # a form to be filled in
                write_seed(fresh, self.seed)
            self.tokenizer.hf.save_pretrained(fresh)
        if goals is not None:
            goals.save(fresh)
        if target.exists():
            target.rename(stale)
        fresh.rename(target)
        shutil.rmtree(stale, ignore_errors=True)

    def clone(self) -> Policy:
        """A frozen copy, for a reference policy: with a fresh adapter the model itself, the adapter switched off."""
        twin = self.trainable_copy()
        twin.model.requires_grad_(False)
        if twin.adapter is not None and not any(t.any() for name, t in twin.state_dict().items() if ".lora_B." in name):
            twin.adapter.base_model.disable_adapter_layers()
        return twin

    def trainable_copy(self) -> Policy:
        """A copy of which training may change what it may change here, for a critic of its own.

        What may not be changed, such as all that an adapter rests on, is shared.
        """
        shared: dict[int, Any] = {id(p): p for p in self.model.parameters() if not p.requires_grad}
        model, adapter = copy.deepcopy((self.model, self.adapter), shared)
        twin = Policy(model, self.tokenizer, name=self.name)
        twin.adapter, twin.source, twin.seed, twin.revision = adapter, self.source, self.seed, self.revision
        return twin
