"""Low-rank adapters, through peft: a layer x W^T becomes x (W + alpha / r B A)^T, and only A and B are trained.

Source: 2106.09685. Every linear layer but the head has one. B starts at 0, so a fresh adapter changes nothing.
A and B are float32 whatever the model is.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from reasonenv.errors import UserError
from reasonenv.policy.adapter_files import CONFIG, MARK
from reasonenv.seeding import derive_seed
from reasonenv.storage import read_record

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from reasonenv.policy.hf_policy import HFPolicy

ALPHA = 32  # constant, so that the best learning rate hardly depends on the rank
# What the config of a plain LoRA says: which model and layers, and A, B and their factor. The rest of peft's fields are
# other methods, which may import modules, change the weights below or train more; they must be as in a fresh config.
PLAIN = {
    "peft_type",
    "peft_version",
    "task_type",
    "auto_mapping",
    "inference_mode",
    "base_model_name_or_path",
    "revision",
    "r",
    "rank_pattern",
    "lora_alpha",
    "alpha_pattern",
    "use_rslora",
    "lora_dropout",
    "fan_in_fan_out",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
}


def add_adapter(policy: HFPolicy, rank: int, *, seed: int) -> None:
    """Freezes the policy and gives it an adapter of this rank, a pure function of `seed`.

    Raises `UserError` if it has one already, or no layer that could take one.
    """
    if policy.adapter is not None:
        raise UserError(f"policy {policy.name!r} has an adapter already, and that is trained; leave lora={rank} out")
    peft = _peft()
    config = peft.LoraConfig(r=rank, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    try:
        with torch.random.fork_rng():  # peft draws A from the process's generator; it is drawn again below
            policy.adapter = peft.get_peft_model(policy.model, config)
    except ValueError as error:
        raise UserError(f"policy {policy.name!r} takes no adapter ({error}); leave lora={rank} out") from error
    config.base_model_name_or_path, config.revision = policy.source, policy.revision
    draw = torch.Generator().manual_seed(derive_seed("lora", seed))
    with torch.no_grad():
        for name, tensor in policy.model.named_parameters():
            if ".lora_A." in name:  # [r, in], uniform of variance 1 / (3 in) as in peft
                limit = tensor.shape[1] ** -0.5
                tensor.copy_(torch.empty(tensor.shape).uniform_(-limit, limit, generator=draw))


def attach(policy: HFPolicy, folder: Path) -> None:
    """Puts the adapter of a folder on the policy that it rests on. Raises `UserError` if it is not plain LoRA."""
    from safetensors import SafetensorError

    peft = _peft()
    fresh = peft.LoraConfig().to_dict()
    for field, value in read_record(folder / CONFIG).items():
        harmless = field == "init_lora_weights" and value == "gaussian"  # A and B are read over it
        if field not in PLAIN and value and value != fresh.get(field) and not harmless:
            raise UserError(
                f"adapter {folder} is no plain LoRA: its {field} is {value!r}; merge it into its model first"
            )
    if policy.adapter is not None:
        raise UserError(f"adapter {folder} rests on {policy.name!r}, another adapter; merge that into its model first")
    try:
        with torch.random.fork_rng():
            policy.adapter = peft.PeftModel.from_pretrained(policy.model, str(folder), is_trainable=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"adapter {folder} cannot be read: {error}") from error
    trained = [name for name, tensor in policy.model.named_parameters() if tensor.requires_grad]
    ends = (policy.model.get_input_embeddings(), policy.model.get_output_embeddings())
    if any(MARK not in name for name in trained) or any(hasattr(layer, "base_layer") for layer in ends):
        raise UserError(f"adapter {folder} trains more than the linear layers below the head; only that is supported")


def merge_adapters(model: PreTrainedModel) -> None:
    """Replaces every layer that has an adapter by a plain one of the sum. No weight is changed in place.

    A sum in bfloat16 rounds: what is far below the last bit of W is seen by the trainer and not by the merged copy,
    which the gap between sampler and trainer then shows.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "base_layer"):
                setattr(parent, name, _merged(child))


def _merged(layer: Any) -> nn.Module:
    twin = copy.deepcopy(layer)
    if not twin.disable_adapters:
        twin.merge()
    plain: nn.Module = twin.get_base_layer()
    return plain


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise UserError("adapters need peft; pip install 'reasonenv[lora]'") from error
    return peft
