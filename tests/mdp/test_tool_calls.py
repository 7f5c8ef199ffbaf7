"""Calls of tools are read as chat templates write them, and hostile text is never one by accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reasonenv.mdp import tool_calls
from reasonenv.mdp.tool_calls import Call, Format, Tags, hermes, llama, mistral, tool_format
from reasonenv.mdp.tools import function_tool
from reasonenv.tokenizer import byte_tokenizer


def search(query: str, count: int = 3) -> str:
    """Titles of pages."""
    return query * count


def python(code: str) -> str:
    """Runs code."""
    return code


SCHEMAS = [function_tool(search).schema, function_tool(python).schema]
tags = Tags(SCHEMAS)
FORMATS: dict[str, Format] = {"hermes": hermes, "llama": llama, "mistral": mistral, "tags": tags}


def object_of(name: str, arguments: Any, key: str = "arguments") -> str:
    return json.dumps({"name": name, key: arguments})


WRITERS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "hermes": lambda name, arguments: f"<tool_call>\n{object_of(name, arguments)}\n</tool_call>",
    "llama": lambda name, arguments: object_of(name, arguments, "parameters") + ";",
    "mistral": lambda name, arguments: f"[TOOL_CALLS][{object_of(name, arguments)}]",
    "tags": lambda name, arguments: f"<{name}>{json.dumps(arguments)}</{name}>",
}
arguments = st.fixed_dictionaries(
    {"query": st.text(st.characters(codec="utf-8")), "count": st.integers(), "more": st.lists(st.booleans())}
)


@pytest.mark.parametrize("form", FORMATS)
@given(calls=st.lists(arguments, min_size=1, max_size=3))
def test_what_is_written_is_read_in_its_order(form: str, calls: list[dict[str, Any]]) -> None:
    text = "".join(WRITERS[form]("search", call) for call in calls)
    assert FORMATS[form](text) == [Call("search", call) for call in calls]


@pytest.mark.parametrize("form", ["hermes", "mistral", "tags"])
def test_prose_around_calls_is_none_of_theirs(form: str) -> None:
    written = WRITERS[form]("search", {"query": "a"})
    assert FORMATS[form](f"First I look.\n{written}") == [Call("search", {"query": "a"})]
    for text in (
        "no call",
        f"<think>{written}</think> 7",  # a thought
        f"<think>{written}",
        f"It is written\n```\n{written}\n```\nand so on.",  # an example in a block of code
        f"```json\n{written}\n```",
    ):
        assert FORMATS[form](text) == []
    behind = f"<think>one call</think>\n```\nan example\n```\n{written}"
    assert FORMATS[form](behind) == [Call("search", {"query": "a"})]
    assert FORMATS[form](f"```never closed\n{written}") == [Call("search", {"query": "a"})]


def test_the_llama_form_is_the_whole_turn() -> None:
    assert llama('{"name": "search", "parameters": {"query": "a"}}') == [Call("search", {"query": "a"})]
    assert llama('<|python_tag|>{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}') == [
        Call("f"),
        Call("g"),
    ]
    for answer in ("7", '{"answer": 7}', "[1, 2]", '{"name": "Ada"}', 'So {"name": "f", "parameters": {}}', "{1, 2}"):
        assert llama(answer) == []
    (broken,) = llama('<|python_tag|>{"name": "f"')
    assert "no JSON" in broken.error


@pytest.mark.parametrize(
    ("read", "text", "error"),
    [
        (hermes, "<tool_call>{'name': 'f'}</tool_call>", "the call is no JSON: Expecting property name"),
        (hermes, "<tool_call>[1]</tool_call>", 'a call is {"name": ..., "arguments": {...}}'),
        (hermes, '<tool_call>{"name": 3}</tool_call>', 'a call is {"name": ..., "arguments": {...}}'),
        (hermes, '<tool_call>{"name": "f", "arguments": [1]}</tool_call>', "the arguments must be a JSON object"),
        (hermes, '<tool_call>{"name": "f"}{"name": "g"}</tool_call>', "the call is no JSON: more stands behind it"),
        (hermes, '<tool_call>{"name": "f"}', "the call is never closed"),
        (hermes, "<tool_call>" + "[" * 100_000 + "</tool_call>", "no JSON"),
        (hermes, "<tool_call>" + "9" * 10_000 + "</tool_call>", "no JSON"),
        (mistral, "[TOOL_CALLS]", "no JSON"),
        (mistral, "[TOOL_CALLS]f[ARGS]{", "no JSON"),
        (tags, "<python>print(1)", "<python> is never closed by </python>"),
        (tags, "<search>a</search>", "no JSON"),
    ],
)
def test_a_call_that_cannot_be_read_says_why(read: Format, text: str, error: str) -> None:
    (call,) = read(text)
    assert error in call.error


def test_arguments_may_be_json_in_a_text_and_names_may_stand_apart() -> None:
    assert hermes('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>') == [Call("f", {"a": 1})]
    assert mistral('[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{}') == [Call("f", {"a": 1}), Call("g")]
    assert tags('<python>\nif x:\n    print("</b>")\n</python>') == [
        Call("python", {"code": 'if x:\n    print("</b>")'})
    ]
    assert tags("<unknown>1</unknown>") == []


PIECES = (
    *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "<python>", "</python>", "<search>"),
    *(
        "```",
        "\n",
        "<think>",
        "</think>",
        "{",
        "}",
        "[",
        '"name"',
        ": ",
        '"f"',
        ",",
        "\\",
        "\ud800",
        ";",
        "1e999",
        "NaN",
    ),
)
pieces = st.sampled_from(PIECES)


@given(text=st.lists(pieces | st.text(max_size=5), max_size=30).map("".join))
@example(text="<python>" * 20_000)
@example(text="<tool_call>\n```\n" * 10_000)
@example(text="```\n" * 20_000)
@example(text='{"name": "f", "parameters": {}};' * 5_000)
def test_no_text_makes_a_reader_raise(text: str) -> None:
    for read in FORMATS.values():
        for call in read(text):
            assert isinstance(call, Call)


def test_json_with_backticks_is_a_call_and_not_a_block() -> None:
    call = {"code": "```\nprint(1)\n```"}
    assert hermes(WRITERS["hermes"]("python", call)) == [Call("python", call)]


def test_without_a_template_calls_stand_between_tags() -> None:
    assert isinstance(tool_format(byte_tokenizer(), SCHEMAS, templated=False), Tags)


def test_fences_that_are_never_closed_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []
    ends = tool_calls._CODE_ENDS

    class Ends:
        def search(self, text: str, position: int) -> Any:
            searches.append(position)
            return ends.search(text, position)

        def finditer(self, text: str) -> Any:
            return ends.finditer(text)

    monkeypatch.setattr(tool_calls, "_CODE_ENDS", Ends())
    assert hermes("```python\n" * 100 + WRITERS["hermes"]("search", {"query": "a"})) == [Call("search", {"query": "a"})]
    assert searches == []  # no end stands behind any of them
    assert hermes("```python\nx\n```\n" * 3 + "```python\n" * 100) == []
    assert len(searches) == 3
