"""How a model writes calls of tools, and how they are read.

A chat template says itself which form its model knows: one call is rendered in it, and the first of `FORMATS` that
reads that call back is the form. Where a template takes no tools, writes them in none of these forms, or where there is
no template, calls are written between tags:

    <calculator>2 * (3 + 4)</calculator>        the one text that the tool takes
    <search>{"query": "a", "count": 3}</search>     or all of its arguments in JSON

What stands in a block of thinking, or in a block of code between fences of backticks, is no call. Reading is linear in
the length of the text and raises nothing: what looks like a call and cannot be read is a `Call` with an `error`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jinja2 import TemplateError

from reasonenv.mdp.turns import QUESTION, call_message
from reasonenv.tokenizer import Tokenizer
from reasonenv.verify.response import behind_thoughts

Schema = Mapping[str, Any]  # of a tool, as templates take it: {"type": "function", "function": {"name": ...}}
_DECODER = json.JSONDecoder()
_PROBE = "probe_tool", {"argument": "the value of a probe"}


@dataclass(frozen=True)
class Call:
    """What a policy asks for: a tool and its arguments, or an `error` that says why it cannot be read."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


class Format(Protocol):
    """A form of calls: those in a turn, in their order."""

    def __call__(self, text: str) -> list[Call]: ...


def hermes(text: str) -> list[Call]:
    """`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, as Hermes and Qwen write."""
    return [_json_call(content) for _, content in _tagged(text, {"<tool_call>": "</tool_call>"})]


def mistral(text: str) -> list[Call]:
    """`[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]`, or `[TOOL_CALLS]name[ARGS]{...}` of later models."""
    calls: list[Call] = []
    for _, content in _tagged(text, {"[TOOL_CALLS]": "[TOOL_CALLS]"}, closes=False):
        assert content is not None, "it reaches to the next mark or to the end"
        name, marked, arguments = content.partition("[ARGS]")
        if marked:
            calls.append(_read_call({"name": name.strip(), "arguments": _value(arguments)}))
            continue
        value = _value(content)
        values = value if isinstance(value, list) else [value]
        calls += map(_read_call, values)
    return calls


def llama(text: str) -> list[Call]:
    """The whole turn is `{"name": ..., "parameters": {...}}`, perhaps behind `<|python_tag|>`; several behind `;`."""
    content = text.strip()
    marked = content.startswith("<|python_tag|>")
    content = content.removeprefix("<|python_tag|>").strip()
    calls: list[Call] = []
    while content:
        value, content = _first_value(content)
        if not marked and not _is_call(value):
            return []  # an answer that happens to be JSON, or begins so
        call = _read_call(value)
        calls.append(call)
        if call.error:
            break
        content = content.lstrip("; \t\n")
    return calls


FORMATS: tuple[Format, ...] = (hermes, mistral, llama)


class Tags:
    """A call of a tool stands between tags of its name; see above. `texts` names the parameter of those with one."""

    def __init__(self, schemas: Sequence[Schema]) -> None:
        self._texts: dict[str, str | None] = {}
        for schema in schemas:
            function = schema["function"]
            self._texts[function["name"]] = _text_parameter(function["parameters"])
        self._tags = {f"<{name}>": f"</{name}>" for name in self._texts}

    def __call__(self, text: str) -> list[Call]:
        calls: list[Call] = []
        for opening, content in _tagged(text, self._tags):
            name = opening[1:-1]
            parameter = self._texts[name]
            if content is None:
                calls.append(Call(name, error=f"{opening} is never closed by </{name}>"))
            elif parameter is not None:
                calls.append(Call(name, {parameter: content.strip("\r\n")}))
            else:
                calls.append(_read_call({"name": name, "arguments": _value(content or "{}")}))
        return calls


def tool_format(tokenizer: Tokenizer, schemas: Sequence[Schema], *, templated: bool) -> Format:
    """The form in which the chat template tells of tools and renders a call; else `Tags`."""
    if templated:
        try:
            rendered = _rendered_call(tokenizer, schemas)
        except (TemplateError, TypeError, ValueError):  # a template that takes no tools, or no turns of them
            rendered = None
        for read in FORMATS:
            if rendered is not None and read(rendered) == [Call(*_PROBE)]:
                return read
    return Tags(schemas)


def _rendered_call(tokenizer: Tokenizer, schemas: Sequence[Schema]) -> str | None:
    """What stands in a turn of the policy that calls a tool; None where the template does not speak of tools."""
    question = {"role": "user", "content": QUESTION}
    prompt = tokenizer.render([question], schemas)
    if not all(schema["function"]["name"] in prompt for schema in schemas):
        return None
    whole = tokenizer.render([question, call_message(*_PROBE)], schemas, opens=False)
    differing = (n for n, pair in enumerate(zip(prompt, whole, strict=False)) if len(set(pair)) > 1)
    ids = tokenizer.encode(whole[next(differing, len(prompt)) :])
    size = next((n for n, token in enumerate(ids) if token in tokenizer.ends), len(ids))
    return tokenizer.decode(ids[:size])


def instruction(schemas: Sequence[Schema]) -> str:
    """What tells a model of the tools where its template does not."""
    lines = ["You can use tools. Write a call, end your turn, and you will be given the output:"]
    for schema in schemas:
        function = schema["function"]
        parameter = _text_parameter(function["parameters"])
        arguments = parameter or json.dumps(function["parameters"].get("properties", {}), ensure_ascii=False)
        name, description = function["name"], function["description"]
        lines.append(f"<{name}>{arguments}</{name}>: {description}")
    return "\n".join(lines)


def _text_parameter(parameters: Mapping[str, Any]) -> str | None:
    """The only parameter of a tool, if it is a text."""
    properties = parameters.get("properties", {})
    if len(properties) != 1:
        return None
    ((name, description),) = properties.items()
    return name if description.get("type") == "string" else None


def _tagged(text: str, tags: Mapping[str, str], *, closes: bool = True) -> Iterator[tuple[str, str | None]]:
    """The opening and the content of each call outside of thoughts and of blocks of code.

    A call that is never closed has the content None and is the last one; unless it `closes` at all, it ends with the
    text.
    """
    text = behind_thoughts(text)
    opening = re.compile("|".join((r"^[ \t]*```", *map(re.escape, tags))), re.MULTILINE)
    last_end = max((match.start() for match in _CODE_ENDS.finditer(text)), default=-1)
    position = 0
    while match := opening.search(text, position):
        position = match.end()
        if match[0] not in tags:
            closing = _CODE_ENDS.search(text, position) if position <= last_end else None
            if closing is not None:  # else it is no block, and hides nothing
                position = closing.end()
            continue
        end = text.find(tags[match[0]], position)
        if end < 0:
            yield match[0], None if closes else text[position:]
            return
        yield match[0], text[position:end]
        position = end + closes * len(tags[match[0]])


_CODE_ENDS = re.compile(r"^[ \t]*```[ \t]*$", re.MULTILINE)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value and bool({"parameters", "arguments"} & value.keys())


def _json_call(content: str | None) -> Call:
    if content is None:
        return Call("", error="the call is never closed")
    return _read_call(_value(content))


def _read_call(value: Any) -> Call:
    """The call of a JSON object with a name and arguments, which may be JSON in a text."""
    if isinstance(value, _Unreadable):
        return Call("", error=value.reason)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return Call("", error='a call is {"name": ..., "arguments": {...}}')
    name = value["name"]
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _value(arguments)
    if isinstance(arguments, _Unreadable):
        return Call(name, error=arguments.reason)
    if not isinstance(arguments, dict):
        return Call(name, error="the arguments must be a JSON object")
    return Call(name, arguments)


@dataclass(frozen=True)
class _Unreadable:
    reason: str


def _value(content: str) -> Any:
    """The JSON value that a text is, or why it is none."""
    value, rest = _first_value(content.strip())
    return _Unreadable("the call is no JSON: more stands behind it") if rest.strip() else value


def _first_value(content: str) -> tuple[Any, str]:
    """The JSON value that a text begins with, or why there is none, and the rest."""
    try:
        value, end = _DECODER.raw_decode(content)
    except (ValueError, RecursionError) as error:
        return _Unreadable(f"the call is no JSON: {error}"), ""
    return value, content[end:]
