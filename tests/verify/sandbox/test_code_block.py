"""The program of a response is found however a model writes its blocks, and in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.verify.sandbox.code_block import MAX_CODE, find_code, names_asked

ADD = "def add(a, b):\n    return a + b\n"
OTHER = "def add(a, b):\n    return a - b\n"
FENCED = f"```python\n{ADD}```"


def indented(text: str, prefix: str) -> str:
    return "".join(prefix + line for line in text.splitlines(keepends=True))


TAGS = (
    *(
        "",
        "py",
        "py3",
        "python",
        "python2",
        "python3",
        "python3.11",
        "Python",
        "PYTHON",
        "Python 3",
        "ipython3",
        "{python}",
    ),
    *("{.python .numberLines}", 'python title="add.py"', "python, linenos", "python {highlight=[1]}", "solution.py"),
    *(" python", "python  ", "python:add.py", "python (final)", "code"),
)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("fence", ["```", "~~~", "`````", "~~~~"])
def test_fences_and_tags_of_every_kind(tag: str, fence: str) -> None:
    for line_end in ("\n", "\r\n", "\r"):
        text = f"So:\n{fence}{tag}\n{ADD}{fence}\nThat is all."
        assert find_code(text.replace("\n", line_end), {"add"}) == ADD


LANGUAGES = (
    "bash",
    "sh",
    "json",
    "text",
    "output",
    "console",
    "pycon",
    "javascript",
    "c++",
    "toml",
    "diff",
    "python-repl",
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_blocks_of_other_languages_are_passed_over(language: str) -> None:
    other = f"```{language}\ndef add(a, b): nothing\n```"
    assert find_code(f"First:\n{other}\nNow:\n{FENCED}", {"add"}) == ADD
    assert find_code(f"{FENCED}\nIt prints:\n{other}\nDone.", {"add"}) == ADD
    assert find_code(f"~~~{language}\n```\n~~~\n{FENCED}", {"add"}) == ADD
    assert find_code(other, {"add"}) is None


RESPONSES = {
    "a usage example after it": f"{FENCED}\nExample:\n```python\nprint(add(1, 2))\n```",
    "an example that imports it": f"{FENCED}\nExample:\n```python\nfrom solution import add\nprint(add(1, 2))\n```",
    "tests after it": f"{FENCED}\n```python\nassert add(1, 2) == 3\nresult = add(3, 4)\n```",
    "its output after it": f"{FENCED}\nOutput:\n```\n3\n```\n```output\n3\n```",
    "another class after it": f"{FENCED}\n```python\nclass Test:\n    def add(self): pass\n```",
    "an attempt before it": f"```python\n{OTHER}```\nWait, no:\n{FENCED}",
    "a broken block after it": f"{FENCED}\n```python\ndef add(a, b) return\n```",
    "no closing fence": f"```python\n{ADD}",
    "no closing fence, and prose": f"```python\n{ADD}\nThis function adds two numbers. It's done.",
    "no closing fence, and a word": f"```python\n{ADD}\nDone",
    "no closing fence before the next": f"```python\n{ADD}```python\nprint(add(1, 2))\n```",
    "no closing fence before an output": f"```python\n{ADD}```output\n3\n```",
    "a fence at the end of the code": f"```python\n{ADD.strip()}```\nSo.",
    "a fence at the end of prose": f"Here it is: ```python\n{ADD}```",
    "a closing fence with prose": f"```python\n{ADD}``` and that is it.",
    "a closing fence with a full stop": f"Run:\n```bash\nls\n```.\n{FENCED}.",
    "only the closing fence": f"{ADD}```\nThis adds.",
    "a numbered list": f"1. Do:\n\n{indented(FENCED, '   ')}\n2. Then use it.",
    "a fence behind a bullet": f"- {indented(FENCED, '  ').strip()}\n- x",
    "tabs": f"* So:\n{indented(FENCED, chr(9))}",
    "a quotation": indented(FENCED, "> "),
    "code in a line": f"Use ```add``` so:\n{FENCED}\nThen ```add(1, 2)``` is 3.",
    "Markdown inside Markdown": f"```markdown\nSolution:\n{FENCED}\nDone.\n```\nBye.",
    "Markdown with a longer fence": f"````md\nSolution:\n{FENCED}\n````\nBye.",
    "a string that never ends before it": f'```python\ndef f():\n    """doc\n```\nNow:\n{FENCED}',
    "an apostrophe before it": f"```\nIt's a note\n```\n{FENCED}",
    "thinking before it": f"<think>\nMaybe\n```python\n{OTHER}```\nor ``` or\n</think>\n{FENCED}",
    "thinking that the prompt began": f"Maybe\n```python\n{OTHER}\n</think>\n{FENCED}",
    "a byte-order mark": f"\ufeff```python\n\ufeff{ADD}```",
    "bare code": ADD,
    "bare code in prose": f"Here is the function:\n\n{ADD}\nThis adds the numbers.",
    "bare code before a word": f"{ADD}\nDone",
    "bare code that is indented": f"So:\n\n{indented(ADD, '    ')}\nok",
    "bare code and a block of another language": f"{ADD}\n```text\n3\n```",
}


@pytest.mark.parametrize("text", RESPONSES.values(), ids=RESPONSES.keys())
def test_the_last_block_that_defines_what_is_asked_is_the_program(text: str) -> None:
    assert find_code(text, {"add"}) == ADD


INSIDE = (
    "    '''Example: ```add(1, 2)```'''\n",
    '    """\n    ```\n    add(1, 2)\n    ```\n    """\n',
    '    """\n    ```python\n    add(1, 2)\n    ```\n    """\n',
    "    '''\n```\nadd(1, 2)\n```\n    '''\n",
    "    # ```\n",
    "    mark = '```'\n",
    '    mark = "\\"```"\n',
)


@pytest.mark.parametrize("inside", INSIDE)
def test_a_fence_in_a_string_or_a_comment_ends_nothing(inside: str) -> None:
    code = ADD.replace("    return", f"{inside}    return")
    assert find_code(f"So:\n```python\n{code}```\nDone.\n```\n3\n```", {"add"}) == code


def test_a_longer_fence_holds_shorter_ones() -> None:
    code = ADD.replace("    return", '    """\n    ```\n    """\n    return')
    assert find_code(f"````python\n{code}````\n", {"add"}) == code


def test_earlier_blocks_are_taken_where_they_define_what_is_used() -> None:
    helper, user = "def half(x):\n    return x / 2\n", "def mean(a, b):\n    return half(a + b)\n"
    attempt = "mean = half = None\nwhile True: pass\n"
    text = "\n".join(f"```python\n{code}```" for code in (attempt, helper, "print(half(3))\n", user, "mean(1, 2)\n"))
    assert find_code(text, {"mean"}) == f"{helper}\n{user}"
    imports = "import math\nfrom math import *\nLIMIT = 3\n"
    text = f"```python\n{imports}```\n```python\ndef f(x):\n    LIMIT = x\n    return math.floor(LIMIT)\n```"
    assert find_code(text, {"f"}) == f"{imports}\ndef f(x):\n    LIMIT = x\n    return math.floor(LIMIT)\n"
    local = "```python\nresult = slow()\n```\n```python\ndef f(x):\n    result = x\n    return result\n```"
    assert find_code(local, {"f"}) == "def f(x):\n    result = x\n    return result\n"  # a variable of its own
    both = "```python\ndef f(x): return 1\n```\n```python\ndef g(x): return 2\n```"
    assert find_code(both, {"f", "g"}) == "def f(x): return 1\n\ndef g(x): return 2\n"


def test_a_name_may_be_assigned_imported_or_a_class() -> None:
    for code in (
        "add = lambda a, b: a + b\n",
        "class add:\n    pass\n",
        "from operator import add\n",
        "if 1:\n    def add(): pass\n",
    ):
        assert find_code(f"```python\n{code}```\n```python\nadd(1, 2)\n```", {"add"}) == code


def test_a_script_is_the_last_block_that_reads_or_else_prints() -> None:
    script = "print(int(input()) + 1)\n"
    assert find_code(f"```python\n{script}```\nFor example:\n```\n3\n```\n```python\nprint(4)\n```") == script
    assert find_code("```python\nprint(1)\n```\nOutput:\n```\n1\n```") == "print(1)\n"
    helper = "def read():\n    return 3\n"
    assert find_code(f"```python\n{helper}```\n```python\nimport sys\nprint(read())\n```") == (
        f"{helper}\nimport sys\nprint(read())\n"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n``` or rather\n```py\nx = 2\n```", "x = 2\n"),
        ("```python\nx = \n```\n```\n3\n```", "x =\n"),  # what is tagged is meant, though it is no Python
        ("```\nx = \n```", "x =\n"),
        ("```python\n\n```", None),
        ("<think>\n```python\nx = 1\n```", None),  # it has not ended
        ("```python\nx = 1\n```\n</think>\nIt is above.", None),
        ("I give up.", None),
        ("", None),
    ],
)
def test_what_defines_nothing_is_taken_as_it_is(text: str, code: str | None) -> None:
    assert find_code(text) == find_code(text, {"add"}) == code


def test_prose_is_no_program() -> None:
    for text in ("add", "The sum: add = a and b", "import it from the module", "x = 5\nadd(1, 2)", "class of add"):
        assert find_code(text, {"add"}) is None


def test_names_asked_are_those_that_only_the_solution_can_define() -> None:
    tests = (
        "import math\nroot = Node(1)\nroot.left = Node(2)",
        "assert [depth(x) for x in [root]] == [math.floor(2.5)]",
    )
    assert names_asked(tests) == {"Node", "depth"}
    assert names_asked(("def check(candidate):\n    assert candidate(2) == 4", "check(square)"), "square") == {"square"}
    assert names_asked(("assert sum(1, 2) == 3",), "sum") == {"sum"}
    assert names_asked(("assert (",), "f") == {"f"}


HOSTILE = (
    *("```" * 300_000, "```python\n" * 100_000, "`" * 10**6, "``` " * 10**5, "```\n" + "x\n" * 10**6, "~~~\n" * 10**5),
    *('```\n"""\n```\n' * 10**5, '"\\' * 500_000, '```\n"' + "\\" * 10**6, "```python\n'''\n" * 10**5, "> " * 500_000),
    *("- " * 500_000, "```python\nx=1\n```\n" * 30_000, "@a\n" * 300_000, "x = 1\n" * 200_000, "<think>" * 10**5),
    *("```py\n" + "lambda:" * 14_000, "```py\n" + "-" * 99_000 + "1", "```py\n" + "1+" * 49_000 + "1", " " * 10**6),
    *("```py\n" + "x" + ".a" * 49_000, "```py\n" + "(" * 99_000, "```py\n" + "f'{" * 30_000, "\x00", "```\n\x00\n```"),
    *(
        "```markdown\n" * 10**5,
        ("\t" * 1000 + "x\n") * 1000,
        "def f" * 200_000,
        "</think>" * 10**5,
        "\ud800```\n\ud800",
    ),
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_responses_are_read_in_one_pass(text: str) -> None:
    for names in ((), {"add"}):  # quadratic, each of these takes minutes or hours
        find_code(text, names)


PIECES = st.sampled_from(
    ["```", "~~~", "````", "python", "\n", " ", "'''", '"', "#", "def add(): pass", "x = 1", "> ", "1. "]
)


def _unquoted(text: str) -> str:
    """Without the marks of quotations and indentation, which are no part of a program in them."""
    return "".join(character for character in text if character != ">" and not character.isspace())


@given(st.lists(PIECES, max_size=30).map("".join))
def test_whatever_is_found_stands_in_the_response(text: str) -> None:
    for names in ((), {"add"}):
        code = find_code(text, names)
        if code is not None:
            assert code.strip()
            assert all(_unquoted(line) in _unquoted(text) for line in code.splitlines())


def test_what_is_too_long_is_not_parsed_but_found() -> None:
    code = find_code(f"```python\n{'x = 1;' * MAX_CODE}\n```", {"x"})
    assert code is not None
    assert len(code) > MAX_CODE
