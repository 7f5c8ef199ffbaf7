"""Tools: functions that a policy may call, which are told to it, called for it, and whose results it reads.

    def search(query: str, count: int = 3) -> str:
        \"\"\"Titles of the pages nearest to a query.\"\"\"

The name, the typed parameters and the docstring are what the model is told, as a JSON schema; pydantic makes that and
checks the arguments of a call. A parameter called `problem` or `state` is not the model's: it is given the problem and
the dict of the episode. A function may be a coroutine: those of one turn run side by side, all others in order. It runs
in this process with the rights of the user; a program of the model runs in a sandbox (`python_tool`). What it returns
is text, or is written as JSON. Whatever it raises, and a call that cannot be read, is text for the policy: `error: ..`.

Attributes of a function say more: `timeout` in seconds (None: it is called without a clock), `deterministic = False`
where its result is no function of the episode, `max_characters` of a result.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from reasonenv.core import Problem
from reasonenv.errors import UserError, title, unknown
from reasonenv.mdp.specs import Several, built, divided
from reasonenv.mdp.timed_call import call, submit, wait
from reasonenv.mdp.tool_calls import Call, Format, Schema, Tags
from reasonenv.registry import Registry

TIMEOUT = 30.0  # seconds on the wall
MAX_CHARACTERS = 10_000  # of one text of the environment
CALLS = "tool_calls"  # the key of an episode's dict under which the calls stand
_EPISODES = ("problem", "state")  # parameters that the model does not give
_ATTRIBUTES = ("timeout", "deterministic", "max_characters")
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_ROOM = 256  # tokens beside the budget of the task, for calls and their results

_JSON = TypeAdapter[Any](Any)

Run = Callable[[Mapping[str, Any], Problem, dict[str, Any]], Any]


@dataclass(frozen=True)
class Tool:
    """A tool: what a model is told of it, and `run(arguments, problem, state)`, which may return a coroutine."""

    name: str
    description: str
    parameters: Mapping[str, Any]  # JSON schema of an object
    run: Run = field(repr=False)
    timeout: float | None = TIMEOUT
    deterministic: bool = True
    max_characters: int = MAX_CHARACTERS
    asynchronous: bool = False  # `run` returns a coroutine

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UserError(f"tool {self.name!r} has no name that a model can write; use letters, digits, _ and -")

    @property
    def schema(self) -> Schema:
        """As chat templates take it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


def function_tool(function: Callable[..., Any]) -> Tool:
    """A function as a tool. Raises `UserError` if its docstring or the type of a parameter is missing."""
    name, description = title(function), inspect.getdoc(function)
    if not description:
        raise UserError(f"tool {name!r} has no docstring; write one, for it tells the model what the tool does")
    run = _Function(function)
    more = {key: getattr(function, key) for key in _ATTRIBUTES if hasattr(function, key)}
    return Tool(name, description, run.parameters, run, asynchronous=inspect.iscoroutinefunction(run.routine), **more)


class _Function:
    """A function that is called with the arguments of a model, checked, and perhaps the problem and the dict."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.routine = function if inspect.isroutine(function) else type(function).__call__
        self._episodes: list[str] = []
        name, entries, hints = title(function), list[Any](), get_type_hints(self.routine)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in _EPISODES:
                self._episodes.append(parameter.name)
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise UserError(f"tool {name!r}: parameter {parameter} has no name that a call could give; name each")
            if parameter.name not in hints:
                raise UserError(f"tool {name!r}: parameter {parameter.name!r} has no type; write {parameter.name}: str")
            entries.append((parameter.name, hints[parameter.name], _field(parameter.default)))
        config = {"__pydantic_config__": ConfigDict(extra="forbid")}
        try:
            self._adapter = TypeAdapter[Any](make_dataclass(name, entries, kw_only=True, namespace=config))
            schema = self._adapter.json_schema()
        except (PydanticUserError, TypeError, ValueError) as error:
            raise UserError(f"tool {name!r} has parameters of types that JSON cannot give: {error}") from None
        self.parameters = _untitled({key: value for key, value in schema.items() if key != "additionalProperties"})

    def __reduce__(self) -> tuple[Any, ...]:
        return _Function, (self.function,)

    def __call__(self, arguments: Mapping[str, Any], problem: Problem, state: dict[str, Any]) -> Any:
        values = vars(self._adapter.validate_python(dict(arguments)))
        episode = {"problem": problem, "state": state}
        return self.function(**values, **{name: episode[name] for name in self._episodes})


def _field(default: Any) -> Any:
    """The field of a parameter with this default, or without one."""
    if default is inspect.Parameter.empty:
        return field()
    if type(default).__hash__ is None:  # a list, of which each call has its own
        return field(default_factory=partial(copy.copy, default))
    return field(default=default)


def _untitled(schema: Any) -> Any:
    """A JSON schema without the titles that pydantic derives from names."""
    if isinstance(schema, list):
        return list(map(_untitled, schema))
    if not isinstance(schema, dict):
        return schema
    return {key: _untitled(value) for key, value in schema.items() if key != "title" or isinstance(value, dict)}


class Tools:
    """The tools of a process, and the form in which they are called."""

    def __init__(self, tools: Sequence[Tool], read: Format) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.read = read
        self.in_template = not isinstance(read, Tags)  # whether the chat template tells of tools and their results

    @property
    def schemas(self) -> list[Schema]:
        """What a model is told of each."""
        return [tool.schema for tool in self.tools.values()]

    def budget(self, tokens: int) -> int:
        """Room for calls and results."""
        return tokens + _ROOM

    @property
    def deterministic(self) -> bool:
        """Whether every result is a function of the episode."""
        return all(tool.deterministic for tool in self.tools.values())

    def results(self, text: str, problem: Problem, state: dict[str, Any], fails: Callable[[int], bool]) -> list[str]:
        """The text of the result of each call in a turn; call number n of the turn fails where `fails(n)`.

        `state` gains the calls, with their results, under "tool_calls".
        """
        calls = self.read(text)
        begun: list[str | Future[Any]] = []
        for n, asked in enumerate(calls):
            begun.append("error: the tool failed" if fails(n) else self._begin(asked, problem, state))
        results = []
        for asked, outcome in zip(calls, begun, strict=True):
            if isinstance(outcome, Future):
                tool = self.tools[asked.name]
                outcome = _text(tool, partial(wait, outcome, tool.timeout))
            results.append(outcome)
            state.setdefault(CALLS, []).append(
                {"name": asked.name, "arguments": dict(asked.arguments), "result": outcome}
            )
        return results

    def _begin(self, asked: Call, problem: Problem, state: dict[str, Any]) -> str | Future[Any]:
        """The result of a call, or what will have it where others run meanwhile."""
        if asked.error:
            return f"error: {asked.error}"
        if asked.name not in self.tools:
            return f"error: {unknown('tool', asked.name, self.tools)}"
        tool = self.tools[asked.name]
        run = partial(tool.run, asked.arguments, problem, state)
        if not tool.asynchronous:
            return _text(tool, partial(call, run, tool.timeout))
        try:
            return submit(run())
        except ValidationError as error:  # of the arguments
            return _refusal(error)


def _text(tool: Tool, value: Callable[[], Any]) -> str:
    """What a tool returns as text, or why there is nothing."""
    try:
        returned = value()
        text = returned if isinstance(returned, str) else _JSON.dump_json(returned, fallback=str).decode()
    except TimeoutError:
        return f"error: no result within {tool.timeout:g} seconds"
    except ValidationError as error:
        return _refusal(error)
    except (Exception, SystemExit) as error:
        text = f"error: {type(error).__name__}: {error}"
    return shortened(text, tool.max_characters)


def _refusal(error: ValidationError) -> str:
    """The first of the arguments that is wrong."""
    detail = error.errors(include_url=False)[0]
    return f"error: {'.'.join(map(str, detail['loc']))}: {detail['msg']}"


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning where it has more characters than that."""
    return text if len(text) <= most else f"{text[:most]}\n[{len(text) - most} more characters are left out]"


def _check_tool(name: str, tool: Any) -> None:
    if not callable(tool) and not isinstance(tool, Tool) and not hasattr(tool, "tools"):
        raise UserError(f"tool {name!r} is {tool!r}; it must be a function with typed parameters and a docstring")


TOOLS: Registry[Any] = Registry(
    "tool",
    "reasonenv.tools",
    {
        "calculator": "reasonenv.mdp.calculator:calculator",
        "python": "reasonenv.mdp.python_tool:PythonTool",
        "mcp": "reasonenv.mdp.mcp_tools:McpServer",
    },
    _check_tool,
)


def register_tool(name: str, entry_point: str | Callable[..., Any]) -> None:
    """Makes `tools=<name>` of a function, of a class of one, or of its `module:name`."""
    TOOLS.register(name, entry_point)


def named_tools(several: Several) -> list[Tool]:
    """The tools that a setting names: `python+mine.py:search`, or a list of functions and names.

    Raises `UserError` for an unknown name, for two tools of one name, and for a function that is no tool.
    """
    tools: dict[str, Tool] = {}
    for part in divided(several):
        for tool in _tools(built(TOOLS, part)):
            if tool.name in tools:
                raise UserError(f"tools has two that are called {tool.name!r}; leave one out or rename it")
            tools[tool.name] = tool
    return list(tools.values())


def _tools(thing: Any) -> Sequence[Tool]:
    """A tool, the tools of a server, or a function as a tool."""
    if isinstance(thing, Tool):
        return [thing]
    if hasattr(thing, "tools"):
        tools: Sequence[Tool] = thing.tools()
        return tools
    if not callable(thing):
        raise UserError(f"tools holds {thing!r}; it must be a name, a function or a list of them")
    return [function_tool(thing)]
