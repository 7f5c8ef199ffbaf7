"""Finds the program in a response: the code blocks of Markdown as models write them, and which of them is meant.

Which lines are a block. A fence is three or more backticks or tildes; it opens a block at the start of a line, behind
the marks of a list or a quotation, or at the end of a line of prose. The block ends at a fence of the same character
that is at least as long, without a word behind it. In Python it is looked for outside of strings and comments, so a
fence inside a docstring ends nothing. A block of another language (`bash`, `json`, `text`, ..) is passed over, and one
of Markdown is looked into. A last block that is never closed ends with the text, without the prose behind its last
statement.

Which block is meant. The last one that defines a name that is asked for, as a function, a class or a variable; so an
example of its use or its output behind it does not count. Earlier blocks are put before it where they define a name
that is asked for or that the program uses and does not define: imports, helpers, a second function. Where nothing is
asked for by name the program reads its input or prints: the last block that does is meant. Without any block, the
definitions and imports that stand in the text at the start of a line are the program, if they define what is asked for.
Where no block defines it, the last one of Python is taken as it is, so that its verdict is about what was written.

What stands in a block of thinking (`<think>`) is no answer. Every scan is linear, and text beyond `MAX_CODE` is not
parsed.
"""

from __future__ import annotations

import builtins
import re
import symtable
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from reasonenv.verify.response import behind_thoughts

MAX_CODE = 100_000  # characters

_MARKS = re.compile(r"[ \t]*+(?:(?:>|[-*+]|\d{1,3}[.)])[ \t]++|>)*+")  # of a list and of a quotation
_QUOTED = re.compile(r"[ \t]*>[ \t]?")
_INFO = re.compile(r"[ \t{.]*(?P<language>[\w+#./-]*)(?P<rest>.*)")
_PYTHON = re.compile(r"i?py[\d.]*|i?python(?!.*(?:repl|console|traceback))[\w.+-]*|.*\.py|code", re.IGNORECASE)
_WORD = re.compile(r"\w")
_MARKDOWN = ("markdown", "md")
# In a line of Python: a comment, the start of a string of several lines, a string to its end or that of the line.
_TOKEN = re.compile(r"""#.*|(?P<long>\"{3}|'{3})|"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|(?P<mark>`{3,})""")
_STATEMENT = re.compile(
    r"(?P<indent>[ \t]*)(?:(?:async\s+)?def\s+\w|class\s+\w|@\w|import\s+\w|from\s+[\w.]+\s+import\b|\w+\s*=[^=])"
)
_CLOSING = (")", "]", "}", "else:", "elif ", "except", "finally:")  # what goes on with the statement before it
_READS, _PRINTS = frozenset({"input", "sys", "open"}), frozenset({"print"})  # names that a script uses
_BUILTINS = frozenset(dir(builtins))

# A response with "\d" in it shall not warn on the console of whoever trains.
warnings.filterwarnings("ignore", module="<response>")


class _Names(NamedTuple):
    """Of a program: the names that it defines, those that it imports, and all others that it uses."""

    defined: frozenset[str]
    imported: frozenset[str]
    used: frozenset[str]


class _Block(NamedTuple):
    code: str
    tagged: bool  # as Python, not only by its fence
    names: _Names | None  # None if it is no Python


def find_code(text: str, asked: Iterable[str] = ()) -> str | None:
    """The program of a response that defines what is `asked` for, or one that reads and prints; None without one."""
    needed = frozenset(asked)
    fenced, prose = _split(_answer(text).split("\n"))
    blocks = fenced
    if needed:
        blocks = [*fenced, *_bare(fenced, prose)]
        choices: tuple[Callable[[_Names], object], ...] = (
            lambda names: names.defined & needed,
            lambda names: names.imported & needed,
        )
    else:
        choices = (lambda names: names.used & _READS, lambda names: names.used & _PRINTS)
    for is_meant in choices:
        program = _program(blocks, is_meant, needed)
        if program:
            return program
    tagged = [block.code for block in fenced if block.tagged]
    return next(reversed(tagged or [block.code for block in fenced]), None)


@lru_cache(maxsize=1024)
def names_asked(tests: tuple[str, ...], entry_point: str = "") -> frozenset[str]:
    """The names that tests use and nobody else defines: those of the solution."""
    names = _names("\n".join(tests))
    used = frozenset[str]() if names is None else names.used - _BUILTINS - {"candidate"}
    return used | {entry_point} - {""}


def _answer(text: str) -> str:
    """What stands behind the thinking, without byte-order marks, its lines ended by line feeds."""
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
    return behind_thoughts(text)


def _program(blocks: Sequence[_Block], is_meant: Callable[[_Names], object], needed: frozenset[str]) -> str:
    """The last block that is meant, behind those that define what it needs; empty if none is meant."""
    parts: list[str] = []
    for block in reversed(blocks):
        if block.names is None:
            continue
        defines = block.names.defined | block.names.imported
        if needed & defines if parts else is_meant(block.names):
            parts.append(block.code)
            needed = needed - defines | block.names.used
    return "\n".join(reversed(parts))


def _names(code: str) -> _Names | None:
    """The names of a program; None if it is no Python."""
    if len(code) > MAX_CODE:
        return None
    try:
        top = symtable.symtable(code, "<response>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None
    imported = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_imported()}
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()} - imported
    used = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    scopes = top.get_children()
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        used |= {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global()}
    return _Names(frozenset(defined), frozenset(imported), frozenset(used - defined - imported))


# The lines of a response.


class _Opening(NamedTuple):
    """What opens a block."""

    marks: str  # before it
    mark: str
    language: str

    @property
    def python(self) -> bool:
        return not self.language or _PYTHON.fullmatch(self.language) is not None


def _opening(line: str) -> _Opening | None:
    """The fence that opens a block in a line."""
    at = line.find("```")
    if at < 0:
        at = line.find("~~~")
        if at < 0 or not _MARKS.fullmatch(line, 0, at):
            return None
    info = line[at:].lstrip(line[at])
    match = _INFO.match(info)
    assert match is not None, "it matches the empty text too"
    opening = _Opening(line[:at], line[at : len(line) - len(info)], match["language"].lower())
    words = match["rest"].strip()
    if "`" in info or (words and not opening.python and not set(words) & set("{=:")):
        return None  # code in a line, or prose behind a fence
    if not _MARKS.fullmatch(line, 0, at) and not (opening.python and not words):
        return None
    return opening


def _closes(line: str, mark: str) -> bool:
    """Whether a line is a fence without a word, which ends the block of another one."""
    marks = _MARKS.match(line)
    assert marks is not None, "it matches the empty text too"
    rest = line[marks.end() :].rstrip()
    return rest.startswith(mark) and not _WORD.search(rest)


def _split(lines: Sequence[str]) -> tuple[list[_Block], list[str]]:
    """The blocks that may be Python, and the lines outside of all blocks."""
    blocks: list[_Block] = []
    prose: list[str] = []
    markdown = ""  # the fence of a block of Markdown that is looked into
    strings = True  # whether fences are looked for outside of strings: not after one that never ends
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        opening = _opening(line)
        if markdown and _closes(line, markdown):
            markdown = ""
        elif opening is None:
            prose.append(line)
        elif opening.language in _MARKDOWN:
            markdown = opening.mark
        else:
            ended = None
            if opening.python and strings and opening.mark[0] == "`":
                ended = _end_of_python(lines, position, opening.mark)
                strings = ended is not None
            end, rest = ended or _end(lines, position, opening.mark)
            if opening.python:
                blocks += _block(opening, [*lines[position:end], *rest], end < len(lines))
            position = end
            if end < len(lines) and (rest or not _reopens(lines[end])):
                position += 1
    return blocks, prose


def _reopens(line: str) -> bool:
    """Whether a fence that ends a block opens the next one at once, as ```python does."""
    opening = _opening(line)
    return opening is not None and bool(opening.language)


def _end(lines: Sequence[str], start: int, mark: str) -> tuple[int, list[str]]:
    """The line that ends a block: one that is only a fence, or opens a block of Python. All lines if there is none."""
    for position in range(start, len(lines)):
        line = lines[position]
        if _closes(line, mark) or (line.lstrip().startswith(mark) and _reopens(line)):
            return position, []
    return len(lines), []


def _end_of_python(lines: Sequence[str], start: int, mark: str) -> tuple[int, list[str]] | None:
    """The line with a fence outside of strings and comments, and what stands before it; None if a string never ends."""
    string = ""  # by which the string that goes on will end
    for position in range(start, len(lines)):
        line, at = lines[position], 0
        while at <= len(line):
            if string:
                end = line.find(string, at)
                if end < 0:
                    break
                at, string = end + 3, ""
            token = _TOKEN.search(line, at)
            if token is None:
                break
            at, string = token.end(), token["long"] or ""
            if token["mark"] and len(token["mark"]) >= len(mark):
                before = line[: token.start()]
                return position, [before] if before.strip(" \t>") else []
    return None if string else (len(lines), [])


def _block(opening: _Opening, lines: Sequence[str], closed: bool) -> Iterator[_Block]:
    """The program between two fences, if there is anything; without a second one, up to where the prose begins."""
    if ">" in opening.marks:
        lines = [_QUOTED.sub("", line, count=1) for line in lines]
    code = _flush(lines)
    if code:
        tagged = bool(opening.language)
        yield _Block(code, tagged, _names(code)) if closed else _among_prose(lines, tagged)


def _bare(blocks: Sequence[_Block], prose: Sequence[str]) -> list[_Block]:
    """The program outside of all blocks, where no block defines anything."""
    if any(block.names and block.names.defined for block in blocks):
        return []
    return [_among_prose("\n".join(prose)[-MAX_CODE:].split("\n"), False)]


def _among_prose(lines: Sequence[str], tagged: bool) -> _Block:
    """All lines if they are a program that uses nothing unknown, as words of prose are, else the statements in them."""
    whole = _flush(lines)
    names = _names(whole)
    if names is None or names.used - _BUILTINS:
        statements = _statements(lines)
        if statements:
            return _Block(statements, tagged, _names(statements))
    return _Block(whole, tagged, names)


def _statements(lines: Sequence[str]) -> str:
    """The definitions, imports and assignments in lines of prose."""
    chunks: list[list[str]] = []
    indent = None  # of the statement that may go on
    for line in lines:
        match = _STATEMENT.match(line)
        stripped = line.strip()
        deeper = indent is not None and (not stripped or line.startswith((f"{indent} ", f"{indent}\t")))
        if deeper or (indent is not None and stripped.startswith(_CLOSING)):
            chunks[-1].append(line)
        elif match is None:
            indent = None
        elif indent is not None and chunks[-1][-1].lstrip().startswith("@"):
            chunks[-1].append(line)
        else:
            indent = match["indent"]
            chunks.append([line])
    return "".join(code for code in map(_flush, chunks) if _names(code) is not None)


def _flush(lines: Sequence[str]) -> str:
    """Lines as one text that begins at the left margin; empty if all are blank."""
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    text = "\n".join(line.removeprefix(indent) for line in lines)
    return f"{text.rstrip()}\n" if first else ""
