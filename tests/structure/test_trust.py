"""Nothing that the package reads can make it run code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(f for folder in ("reasonenv", "agents", "envs") for f in (ROOT / folder).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "torch.jit.load", "np.load", "numpy.load", "os.system"}
EXCEPT = {
    "reasonenv/verify/sandbox/child.py",  # runs the code of answers, under restrictions; see SECURITY.md
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
