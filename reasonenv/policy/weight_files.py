"""What is opened as weights of a folder in Hugging Face format: safetensors files that lie in it, and nothing else.

Libraries decide by names which file they open, and some of the names are pickles, which may run code. So the files are
named here before a library is called, by the rules by which it chooses: `model.safetensors`, else what the index names.
What a folder claims of sizes is compared with what its files hold, before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.storage import read_record

WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
SUFFIX = ".safetensors"
# What a config may claim. Names differ between models; other numbers are token ids, positions and the like.
HIDDEN = ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim")
ROWS = ("vocab_size", "intermediate_size", "n_inner", "ffn_dim", "head_dim")  # of H numbers each
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
MOST_PARTS = 1 << 14  # heads, experts, groups
MOST = 1 << 31
# Settings of a model's config that choose code, another format of weights or of what a model returns. They are chosen
# here.
CHOSEN_HERE = {
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
    "auto_map",
    "custom_pipelines",
    "transformers_weights",
    "return_dict",
    "torchscript",
    "output_attentions",
    "output_hidden_states",
}

Shapes = Mapping[str, tuple[int, ...]]  # of tensors by name


def model_files(folder: Path) -> list[Path]:
    """The weights of a model in the order of their names. Raises `UserError` if they are not all safetensors in it."""
    if (folder / WEIGHTS).is_file():
        return [_inside(folder, WEIGHTS)]
    if not (folder / INDEX).is_file():
        raise UserError(f"policy folder {folder} has no weights (*{SUFFIX}); add them or save the policy again")
    index = read_record(folder / INDEX).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise UserError(f"{folder / INDEX} has no weight_map; save the policy again")
    return [_inside(folder, name) for name in sorted(set(map(str, index.values())))]


def adapter_file(folder: Path) -> Path:
    """The weights of an adapter. Raises `UserError` if they are not safetensors in the folder."""
    if not (folder / ADAPTER).is_file():
        raise UserError(f"adapter folder {folder} has no {ADAPTER}; save the adapter again")
    return _inside(folder, ADAPTER)


def _inside(folder: Path, name: str) -> Path:
    """A file of weights by its name. Raises `UserError` for another kind of file, and for one that lies elsewhere."""
    path = folder / name
    if not name.endswith(SUFFIX) or Path(name).name != name:
        raise UserError(f"{folder} names {name!r} as weights; they must be files *{SUFFIX} in the folder itself")
    if not path.is_file():
        raise UserError(f"{path} is missing; add it or save the policy again")
    roots = [folder.resolve()]
    if roots[0].parent.name == "snapshots":  # of the hub's cache, whose snapshots are links to its `blobs`
        roots.append(roots[0].parent.parent / "blobs")
    if not set(roots) & set(path.resolve().parents):
        raise UserError(f"{path} is a link out of the folder; copy the weights into it")
    return path


def shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Of every tensor in the files, from their headers alone. Raises `UserError` for a file that is no safetensors."""
    from safetensors import SafetensorError, safe_open

    stored: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as content:
                for name in content.keys():  # noqa: SIM118 - it is no mapping
                    stored[name] = tuple(content.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
    return stored


def check_config(folder: Path, config: Mapping[str, Any], stored: Shapes) -> None:
    """Raises `UserError` for a config of a model that is larger than the tensors `stored` beside it, or quantised.

    A table of V tokens x H, and matrices of H numbers a row, must be among them, and each layer has a tensor at least.
    """
    if "quantization_config" in config or "compression_config" in config:
        raise UserError(f"policy folder {folder} holds quantised weights; give the model that is not quantised")
    elements = sum(map(math.prod, stored.values()))
    rows = elements // max(1, _size(config, HIDDEN))
    limits = dict.fromkeys(HIDDEN, elements) | dict.fromkeys(ROWS, rows) | dict.fromkeys(LAYERS, len(stored))
    for key, value in config.items():
        limit = limits.get(key, MOST_PARTS if key.startswith(("num_", "n_")) else MOST)
        if isinstance(value, int) and value > limit:
            raise UserError(
                f"{folder / 'config.json'}: {key} is {value}, but its weights, {elements} numbers in {len(stored)} "
                f"tensors, leave room for {limit} at most; save the policy again"
            )


def check_rank(folder: Path, config: Mapping[str, Any], stored: Shapes) -> None:
    """Raises `UserError` for the config of an adapter that is no plain LoRA, or larger than its tensors."""
    if config.get("peft_type") != "LORA":
        raise UserError(f"adapter {folder} is of type {config.get('peft_type')!r}; only LORA is supported")
    most = max((max(shape, default=1) for shape in stored.values()), default=0)
    patterns = config.get("rank_pattern") or {}
    ranks = [config.get("r", 8), *(patterns.values() if isinstance(patterns, dict) else ())]
    for rank in ranks:
        if not isinstance(rank, int) or not 0 < rank <= most:
            raise UserError(f"adapter {folder} is of rank {rank!r}, which its tensors do not have; save it again")


def _size(config: Mapping[str, Any], names: Iterable[str]) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    return 1


def chosen_here(value: Any) -> Any:
    """A config without the settings of it, or of a config in it, that are chosen here."""
    if isinstance(value, list):
        return [chosen_here(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: chosen_here(item) for key, item in value.items() if key not in CHOSEN_HERE}


def configs(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A model's config and those in it, such as `text_config`."""
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from configs(value)
