"""What is built holds every module and data file exactly once, and is importable far from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKS = {"reasonenv/agents": "../agents", "reasonenv/envs": "../envs", "reasonenv/suites": "../benchmarks/suites"}
FOLDERS = {"reasonenv": "reasonenv"} | {"agents": "reasonenv/agents", "envs": "reasonenv/envs"}

LOOK = """
import importlib, importlib.resources, json
names = ["reasonenv", "reasonenv.agents", "reasonenv.envs", "reasonenv.suites", "reasonenv.core"]
files = [importlib.import_module(name).__file__ for name in names]
suites = sorted(f.name for f in importlib.resources.files("reasonenv.suites").iterdir() if f.name.endswith(".toml"))
print(json.dumps([files, suites]))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would clone from the working tree, so that builds leave and find nothing of another."""
    target = tmp_path_factory.mktemp("checkout")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if os.path.lexists(ROOT / name):  # a deleted file is listed until the deletion is committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


@pytest.fixture(scope="module")
def shipped(checkout: Path) -> dict[str, str]:
    """Every file to be shipped: its place under the import name -> its place in the checkout."""
    places = {name: name for name in ("reasonenv/py.typed", "reasonenv/verify/corpus.txt")}
    for folder, package in FOLDERS.items():
        for file in (checkout / folder).rglob("*.py"):
            source = file.relative_to(checkout).as_posix()
            if not any(source.startswith(f"{link}/") for link in LINKS):
                places[package + source.removeprefix(folder)] = source
    report = checkout / "reasonenv/report"
    for file in (report / "report.css", report / "report.js", *report.glob("templates/*")):
        name = file.relative_to(checkout).as_posix()
        places[name] = name
    for file in (checkout / "benchmarks/suites").iterdir():
        if file.suffix in {".py", ".toml"}:
            places[f"reasonenv/suites/{file.name}"] = f"benchmarks/suites/{file.name}"
    return places


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of the checkout, and the wheel that was built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout)
    return out


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command that sees none of this process's Python settings; on failure, what it said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def look(environment: Path, *what: str | Path) -> tuple[list[Path], list[str]]:
    """Install `what` into a new environment that also sees the running one's libraries; where its modules come from."""
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (site / "running.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    # --ignore-installed: the running environment may hold reasonenv itself, which must be neither kept nor touched
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what)
    files, suites = json.loads(run(python, "-I", "-c", LOOK, cwd=environment))
    return [Path(file).resolve() for file in files], suites


def toml_names(checkout: Path) -> list[str]:
    return sorted(file.name for file in (checkout / "benchmarks/suites").glob("*.toml"))


def test_links_are_relative_and_lead_to_the_top_level_folders(checkout: Path) -> None:
    assert {link: os.readlink(checkout / link) for link in LINKS} == LINKS
    assert all((checkout / link / "__init__.py").is_file() for link in LINKS)


def test_packages_in_pyproject_are_the_folders() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [file.parent.relative_to(ROOT).as_posix() for file in (ROOT / "reasonenv").rglob("__init__.py")]
    links = [link for link in LINKS if link not in folders]  # whether rglob follows links depends on the Python version
    inside = [f"{link}/{file.parent.name}" for link in LINKS for file in (ROOT / link).glob("*/__init__.py")]
    assert packages == sorted(name.replace("/", ".") for name in {*folders, *links, *inside})


def test_every_folder_with_modules_is_a_package() -> None:
    for top in ("reasonenv", "agents", "envs"):
        for file in (ROOT / top).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), f"{file.parent} needs an __init__.py"


def test_wheel_holds_every_file_exactly_once(built: Path, shipped: dict[str, str]) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        commands = archive.read(next(n for n in names if n.endswith("/entry_points.txt"))).decode()
    assert sorted(n for n in names if ".dist-info/" not in n) == sorted(shipped)
    assert [n.split("/", 1)[1] for n in names if "LICENSE" in n] == ["licenses/LICENSE"]
    assert "reasonenv = reasonenv.cli:main" in commands


def test_sdist_holds_every_file_exactly_once_and_no_link(built: Path, shipped: dict[str, str]) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert [m.name for m in members if not (m.isfile() or m.isdir())] == []
    names = [m.name.split("/", 1)[1] for m in members if m.isfile()]
    code = [
        n
        for n in names
        if n.endswith((".py", ".toml", ".typed", "corpus.txt", ".css", ".js", ".j2")) and n != "pyproject.toml"
    ]
    assert sorted(code) == sorted(shipped.values())
    assert names.count("LICENSE") == names.count("README.md") == names.count("pyproject.toml") == 1


def test_installed_wheel_imports_far_from_the_checkout(built: Path, checkout: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    files, suites = look(tmp_path / "venv", wheel)
    assert [file for file in files if not file.is_relative_to(tmp_path / "venv")] == []
    assert suites == toml_names(checkout)


def test_editable_install_imports_from_the_checkout(checkout: Path, tmp_path: Path) -> None:
    files, suites = look(tmp_path / "venv", "--editable", checkout)
    names = ["reasonenv/__init__.py", "agents/__init__.py", "envs/__init__.py", "benchmarks/suites/__init__.py"]
    assert files == [checkout / name for name in (*names, "reasonenv/core.py")]
    assert suites == toml_names(checkout)


def test_checkout_runs_in_place_through_the_links(checkout: Path) -> None:
    files, suites = json.loads(run(sys.executable, "-c", LOOK, cwd=checkout))
    assert [file for file in files if not Path(file).resolve().is_relative_to(checkout)] == []
    assert suites == toml_names(checkout)


@pytest.mark.parametrize("name", ["agents", "envs"])
def test_bare_name_says_the_right_one(name: str, checkout: Path) -> None:
    # the command line sets the variable for its children, also in a process of tests that has called it
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    command = [sys.executable, "-c", f"import {name}"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert f"ImportError: this folder is the package reasonenv.{name}" in done.stderr
