"""Tools of a server that speaks the Model Context Protocol on its input and output: `tools="mcp:COMMAND"`.

The server is a program of the user: it is started once a process, and runs with the user's rights. What its tools
return is no function of an episode, so replay takes the recorded results.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.mdp.timed_call import loop, submit, wait
from reasonenv.mdp.tools import TIMEOUT, Tool
from reasonenv.registry import admit

if TYPE_CHECKING:
    from mcp import Client, StdioServerParameters

START = 60.0  # seconds until a server must have said which tools it has


class McpServer:
    """A server by its command, or by the Python file that it is. Raises `UserError` where none answers."""

    def __init__(self, command: str) -> None:
        admit(f"mcp:{command}")
        self.command = command
        self._client: Future[Client] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return McpServer, (self.command,)

    def tools(self) -> list[Tool]:
        """The tools that the server lists."""
        try:
            listed = wait(submit(self._listed()), START)
        except ImportError:
            raise UserError("tools of a server need the package mcp; pip install 'reasonenv[mcp]'") from None
        except (Exception, asyncio.CancelledError) as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(f"tools is 'mcp:{self.command}', and no server answers by that command ({cause})") from None
        tools = []
        for tool in listed:
            run = partial(self._run, tool.name)
            description = tool.description or tool.name
            tools.append(Tool(tool.name, description, tool.input_schema, run, TIMEOUT, False, asynchronous=True))
        return tools

    async def _listed(self) -> list[Any]:
        client = await self._connected()
        return list((await client.list_tools()).tools)

    async def _run(self, name: str, arguments: Mapping[str, Any], problem: Problem, state: dict[str, Any]) -> str:
        client = await self._connected()
        result: Any = await client.call_tool(name, dict(arguments))
        text = "\n".join(getattr(block, "text", f"[{block.type}]") for block in result.content)
        return f"error: {text}" if result.is_error else text

    async def _connected(self) -> Client:
        """The connection to the server, made at the first call. Runs on the event loop alone."""
        if self._client is None:
            from mcp import StdioServerParameters

            program, *arguments = shlex.split(self.command)
            if program.endswith(".py"):
                program, arguments = sys.executable, [program, *arguments]
            self._client, stop = Future(), asyncio.Event()
            submit(_serve(StdioServerParameters(command=program, args=arguments), self._client, stop))
            weakref.finalize(self, loop().call_soon_threadsafe, stop.set)
        return await asyncio.wrap_future(self._client)


async def _serve(server: StdioServerParameters, connected: Future[Client], stop: asyncio.Event) -> None:
    """Keeps a connection until it is to `stop`: it must be closed in the task that has opened it."""
    from mcp import Client

    try:
        async with Client(server) as client:
            connected.set_result(client)
            await stop.wait()
    except Exception as error:
        if not connected.done():
            connected.set_exception(error)
