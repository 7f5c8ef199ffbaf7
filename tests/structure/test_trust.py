"""Nothing that the package reads can make it run code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(f for folder in ("reasonenv", "agents", "envs") for f in (ROOT / folder).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "torch.jit.load", "np.load", "numpy.load", "os.system"}
EXCEPT = {
    "reasonenv/verify/sandbox/child.py",  # runs the code of answers, under restrictions; see SECURITY.md
    "reasonenv/verify/sandbox/cells.py",  # the same, inside a child
    "envs/programming.py",  # programs that stand in the file itself
}


def name(node: ast.expr) -> str:
    """`torch.load` of the function of a call."""
    if isinstance(node, ast.Attribute):
        return f"{name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_file_unpickles_evaluates_or_trusts_code_from_elsewhere(file: Path) -> None:
    tree = ast.parse(file.read_text())
    modules = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} & UNPICKLERS == set()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if file.relative_to(ROOT).as_posix() not in EXCEPT:
        assert {name(call.func) for call in calls} & CALLS == set()
    options = {(k.arg, getattr(k.value, "value", None)) for call in calls for k in call.keywords}
    assert not options & {("shell", True), ("allow_pickle", True), ("weights_only", False), ("trust_remote_code", True)}


def test_models_are_read_as_safetensors_and_without_their_code() -> None:
    tree = ast.parse((ROOT / "reasonenv/policy/pretrained.py").read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and name(n.func).endswith("LM.from_pretrained")]
    from_folders = [call for call in calls if call.args]  # the others read one GGUF file
    assert from_folders
    for call in from_folders:
        given = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
        assert (given.get("use_safetensors"), given.get("trust_remote_code")) == (True, False)


# What may write: a file here changes others' only by names that it makes itself, or that a person has typed.
WRITERS = {
    "reasonenv/storage.py": "whole files under new names, and their removal",
    "reasonenv/learn/checkpoint.py": "checkpoints, which are removed file by file",
    "reasonenv/learn/log.py": "metrics.jsonl, which is replaced before it grows",
    "reasonenv/policy/hf_policy.py": "the policy of a run, in a folder that it has just made",
    "reasonenv/policy/value_head.py": "beside that",
    "reasonenv/policy/goals.py": "beside that",
    "reasonenv/policy/adapter_files.py": "beside that",
    "reasonenv/policy/pretrained.py": "the user's cache, in a folder that it has just made",
    "reasonenv/experiment/identity.py": "the code of a run, in a folder that it has just made",
    "reasonenv/experiment/claim.py": "renames that folder",
    "reasonenv/experiment/scheduler.py": "removes error.txt",
    "reasonenv/mdp/record.py": "a file that a program names",
    "reasonenv/sampling/vllm/vllm_sampler.py": "a temporary folder",
    "reasonenv/verify/sandbox/child.py": "what a program may, see SECURITY.md",
    "reasonenv/verify/sandbox/processes.py": "a temporary folder, and a file without a name",
}
MODE = re.compile(r"[rwaxbt+]*[wax+][bt+]*")  # of `open`, that can write
WRITES = {"write_text", "write_bytes", "rmtree", "unlink", "rmdir", "rename", "removedirs", "save_file"}
WRITES |= {"save_pretrained", "symlink_to", "hardlink_to", "touch", "copyfile", "copytree", "copy2"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_files_are_written_by_few_modules(file: Path) -> None:
    label = file.relative_to(ROOT).as_posix()
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    writes = [name(call.func) for call in calls if name(call.func).rpartition(".")[2] in WRITES]
    for call in calls:
        if name(call.func).rpartition(".")[2] == "open":
            modes = [getattr(each, "value", None) for each in (*call.args, *(k.value for k in call.keywords))]
            writes += [mode for mode in modes if isinstance(mode, str) and MODE.fullmatch(mode)]
    assert not writes or label in WRITERS


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_console_is_written_to_in_one_module(file: Path) -> None:
    if file.relative_to(ROOT).as_posix().startswith(("reasonenv/terminal.py", "reasonenv/verify/")):
        return  # the latter talk to the processes that started them
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    assert "print" not in {name(call.func) for call in calls}
