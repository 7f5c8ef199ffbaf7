"""A policy that is a causal language model of transformers: it can be saved, copied, restored, and have an adapter."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from reasonenv.core import TokenBatch
from reasonenv.errors import UserError
from reasonenv.policy.adapter_files import MARK, write_seed
from reasonenv.policy.attention import segment_arguments, share_prompts
from reasonenv.policy.goals import Goals
from reasonenv.policy.logit_map import logit_map
from reasonenv.policy.logprobs import Head
from reasonenv.policy.microbatch import layout
from reasonenv.policy.policy import Policy, ResponseStates
from reasonenv.tokenizer import Tokenizer, stated_ends

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


class HFPolicy(Policy):
    """A Hugging Face causal LM, trained in its own dtype, always in eval mode: dropout would part trainer from sampler.

    Its tokenizer is the one given, with the ends that the model's generation config states. Raises `UserError` for a
    model whose vocabulary is smaller than the tokenizer's, and for one whose logits `Head` does not describe.
    """

    adapter: Any = None  # the `peft.PeftModel` around `model`, if only an adapter is trained
    seed: int | None = None  # of a model made from scratch
    revision: str | None = None  # of a model on the hub: a branch, a tag or a commit

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, name: str) -> None:
        self.model = model.eval()
        self.scale, self.cap = logit_map(model, name)
        embedding = model.get_input_embeddings()
        rows = len(model.get_output_embeddings().weight)
        if min(rows, embedding.num_embeddings) < tokenizer.vocab_size:
            raise UserError(
                f"policy {name!r} knows {min(rows, embedding.num_embeddings)} tokens but its tokenizer has "
                f"{tokenizer.vocab_size}; use the tokenizer the model was trained with"
            )
        embedding.padding_idx = None  # pad is EOS in most models, and torch gives the padding row no gradient
        self.shared = share_prompts(model)
        generation = model.generation_config
        if generation is not None:
            tokenizer = tokenizer.with_ends(stated_ends(generation, model.config))
            model.generation_config = _writable(generation)
        self.tokenizer = tokenizer
        known = np.pad(tokenizer.is_token, (0, rows - tokenizer.vocab_size))
        self.absent = torch.from_numpy(np.flatnonzero(~known))  # ids of the head that are no token
        self.name = name
        self.source = str(model.name_or_path)  # what the weights are found by
        config = model.config.get_text_config()
        # A model without a table of positions, such as one with a state, reads as far as it is given.
        self.context = int(getattr(config, "max_position_embeddings", None) or 2**31 - 1)

    @property
    def head(self) -> Head:
        layer = self.model.get_output_embeddings()
        absent = self.absent.to(layer.weight.device) if len(self.absent) else None
        return Head(layer.weight, layer.bias, self.scale, self.cap, absent)

    def states(self, batch: TokenBatch) -> ResponseStates:
        assert int(batch.prompt_length.min()) >= 1, "the first response token needs a prompt token before it"
        at = layout(batch, self.device, shared=self.shared)
        options: dict[str, Any] = {"input_ids": at.tokens, "position_ids": at.positions, "use_cache": False}
        if at.segments:
            options |= segment_arguments(at.segments, self.device)
        output = self.model.get_decoder()(**options)
        hidden = output.last_hidden_state.flatten(0, 1)  # [n * W, H]
        last = at.place[batch.length.to(self.device).cumsum(0) - 1]  # [B]
        return ResponseStates(
            before=hidden.index_select(0, at.before),
            after=hidden.index_select(0, last),
            targets=at.tokens.flatten()[at.place],
            row=at.row,
            step=at.step,
            shape=(len(batch.mask), batch.width),
        )

    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def trunk_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.get_decoder().parameters() if p.requires_grad]

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

    def save(self, folder: Path | str, goals: Goals | None = None) -> None:
        """Writes the model and tokenizer in Hugging Face format; `folder` is replaced as a whole or not at all.

        Of a policy with an adapter, the adapter in peft's format, which names the model that it rests on. `goals` are
        those that it has learned to be conditioned on.
        """
        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh, stale = target.parent / f".{target.name}.new", target.parent / f".{target.name}.old"
        for remains in (fresh, stale):  # of a save that was killed
            shutil.rmtree(remains, ignore_errors=True)
        fresh.mkdir()  # nothing else has this name, such as a link to another folder
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

    def clone(self) -> Self:
        """A frozen copy, for a reference policy: with a fresh adapter the model itself, the adapter switched off."""
        twin = self.trainable_copy()
        twin.model.requires_grad_(False)
        if twin.adapter is not None:
            fresh = not any(tensor.any() for name, tensor in twin.state_dict().items() if ".lora_B." in name)
            if fresh:
                twin.adapter.base_model.disable_adapter_layers()
        return twin

    def trainable_copy(self) -> Self:
        """A copy of which training may change what it may change here, for a critic with a trunk that is not shared.

        What may not be changed, such as all that an adapter rests on, is shared.
        """
        shared: dict[int, Any] = {id(p): p for p in self.model.parameters() if not p.requires_grad}
        model, adapter = copy.deepcopy((self.model, self.adapter), shared)
        twin = type(self)(model, self.tokenizer, name=self.name)
        twin.adapter, twin.source, twin.seed, twin.revision = adapter, self.source, self.seed, self.revision
        return twin


def _writable(generation: GenerationConfig) -> GenerationConfig:
    """`generation`, or its tokens alone where transformers has read what it refuses to write.

    Such as a temperature without sampling, of which some published checkpoints are: a run would fail at its end.
    """
    try:
        generation.validate(strict=True)
    except ValueError:
        from transformers import GenerationConfig

        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        return GenerationConfig(**{name: getattr(generation, name) for name in names})
    return generation


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it transformers shows neither progress bars nor warnings; afterwards it is as it was."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
