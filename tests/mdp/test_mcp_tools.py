"""Tools of a server in another process, by the Model Context Protocol."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import reasonenv
from reasonenv.core import Completion, Role
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.registry import refusing_code

pytest.importorskip("mcp", reason="needs the package mcp")

SERVER = '''
import itertools
from mcp.server import MCPServer

server = MCPServer("numbers")
numbers = itertools.count(1)


@server.tool()
def following(step: int) -> str:
    """The next number of this server."""
    return f"{next(numbers)} by {step}"


@server.tool()
def broken(text: str) -> str:
    """Never works."""
    raise ValueError(text)


server.run()
'''


@pytest.fixture
def server(tmp_path: Path) -> str:
    (tmp_path / "server.py").write_text(SERVER)
    return f"mcp:{tmp_path / 'server.py'}"


def test_tools_of_a_server_are_listed_called_and_replayed_as_recorded(server: str) -> None:
    mdp = make_mdp("Chain", size=2, tools=f"calculator+{server}", max_tokens=4_000)
    assert mdp.tools is not None
    assert list(mdp.tools.tools) == ["calculator", "following", "broken"]
    assert mdp.tools.tools["following"].description == "The next number of this server."
    assert "step" in mdp.tools.tools["following"].parameters["properties"]
    turns = (
        '<following>{"step": 3}</following>',
        "<broken>no</broken>",
        '<following>{"step": "x"}</following>',
        "#### 1",
    )
    tokens = [token for turn in turns for token in (*mdp.tokenizer.encode(turn), mdp.end_id)]
    whole = mdp.trajectory(0, Completion.unsampled(np.array(tokens), "eos"))
    first, second, third = mdp.tokenizer.decode(whole.tokens[whole.roles == Role.ENVIRONMENT].tolist()).split("\n\n")
    assert first == "\n<output>1 by 3</output>"
    assert second.startswith("<output>error: ")
    assert third.startswith("<output>error: ")
    reasonenv.replay(whole, ReasoningEnv(mdp, "response"))
    twin = pickle.loads(pickle.dumps(mdp))  # has a server of its own, which begins at 1
    again = twin.trajectory(0, Completion.unsampled(np.array(tokens), "eos"))
    assert again.tokens.tolist() == whole.tokens.tolist()


@pytest.mark.parametrize("command", ["no-such-program-anywhere", f"{sys.executable} -c pass"])
def test_a_server_that_does_not_answer_is_named(command: str) -> None:
    with pytest.raises(reasonenv.UserError, match="no server answers by that command"):
        make_mdp("Chain", size=2, tools=f"mcp:{command}")


def test_a_folder_of_a_stranger_starts_no_server(server: str) -> None:
    with refusing_code("run.json"), pytest.raises(reasonenv.UserError, match="names code"):
        make_mdp("Chain", size=2, tools=server)
    with refusing_code("run.json", [f"calculator+{server}"]):  # a person has typed it
        make_mdp("Chain", size=2, tools=server)
