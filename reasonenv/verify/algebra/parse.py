r"""Recursive descent over a whitelisted grammar: tokens in, one tree out, or `Unreadable`. `terms` reads expressions.

    answer   := clause (("," | ";" | "or" | "and") clause)*
    clause   := [label] operand (relation operand)* ["(" "=" operand ")"]      relation := "=" | "<" | "≈" | "in" | ..
    operand  := set [":" set]*                                                   a ratio or a clock time
    set      := sum (("∪" | "∩" | "\" | "-") sum)*
    bracket  := "(" clause ("," clause)* ")"     and "[" "]" "\{" "\}", set-builders, matrices, cases

A name in front of the value is the name of an `assign` (see `relations`); a label in words is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import chain

from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.arrays import determinant
from reasonenv.verify.algebra.expression import SCALARS, SETS, Node, Unreadable, scalar
from reasonenv.verify.algebra.lexer import Token, tokens
from reasonenv.verify.algebra.relations import name_of, relate, solutions, spread, top_level
from reasonenv.verify.algebra.terms import Terms, quotient
from reasonenv.verify.algebra.vocabulary import (
    EMPTY,
    INFINITE,
    INTRODUCTIONS,
    LABELS,
    MERIDIEM,
    REALS,
    SHORT_WORDS,
    SYNONYMS,
)
from reasonenv.verify.units import in_words, is_unit

_MATRICES = frozenset(("vmatrix", "pmatrix", "bmatrix", "matrix", "Bmatrix", "smallmatrix", "psmallmatrix", "array"))
_ALIGNED = frozenset(("aligned", "gathered"))  # where "&" says what stands below what, and in `cases` what is when
_SYSTEMS = _ALIGNED | {"cases"}
_RELATIONS = ("=", "!=", "<", "<=", ">", ">=", "approx")
_SEPARATORS = (",", ";", "or", "and")
_CONSTRUCTS = {"choose": ex.choose, "over": quotient}
_SUCH_THAT = ("mid", "|", ":")
_CONDITION_WORDS = frozenset(("if", "for", "when", "where"))
_VALUES = frozenset(("num", "var", "name", "(", "[", r"\{", "{", "const", "-", "domain", "begin"))
_BRACKETS = {"][": "()", "[[": "[)", "]]": "(]"}
_HOURS = re.compile(r"[01]?[0-9]|2[0-4]")
_MINUTES = re.compile(r"[0-5][0-9]")


@lru_cache(maxsize=4_096)  # a gold is read at every sample of its problem
def parse(text: str) -> Node:
    """The tree of a whole answer; `Unreadable` for everything else. Never evaluates text; its cost is bounded."""
    return _Answers(tokens(text)).answer()


def units(text: str) -> list[str]:
    """The units that stand in an answer behind its values, in their order; `Unreadable` as `parse`."""
    answers = _Answers(tokens(text))
    answers.answer()
    return answers.units


def arithmetic(text: str) -> Fraction | None:
    """The exact rational number that an expression is worth; None if it is worth none, as a division by 0."""
    try:
        return parse(text).value
    except Unreadable:
        return None


class _Answers(Terms):
    heading = False  # inside the head of a set-builder, where a colon is no ratio

    def answer(self) -> Node:
        self.take("=")
        answer = self.clauses()
        if not self.ended:
            raise self.unexpected("the end expected")
        return answer

    def clauses(self) -> Node:
        groups, separators = self.separated()
        if len(separators) == 2:  # 1, 2, and 3
            separators.discard(",")
        return solutions(groups, separators)

    def separated(self) -> tuple[list[list[Node]], set[str]]:
        """Clauses in groups that commas hold together, and all that stands between clauses."""
        groups, separators = [[self.clause()]], set[str]()
        while separator := self.take(*_SEPARATORS):
            separators.add(separator.kind)
            if separator.kind == "," and (joined := self.take("or", "and")):
                separators.add(joined.kind)
            if separator.kind == ",":
                groups[-1].append(self.clause())
            else:
                groups.append([self.clause()])
        return groups, separators

    def clause(self) -> Node:
        name = self.label()
        self.take("approx")
        point = self.labelled_point()
        if point is not None:
            return point
        sides, signs = [self.operand()], list[str]()
        if relation := self.take("in", "notin"):
            return _member(sides[0], self.union(), relation.kind)
        while token := self.take(*_RELATIONS):
            signs.append(token.kind)
            sides.append(self.operand())
        if not self.remark(sides[-1]) and (self.ahead("(", "=") or self.ahead("(", "approx")):
            signs.append(self.tokens[self.at + 1].kind)
            self.at += 2
            sides.append(self.operand())
            self.need(")")
        tree = relate(sides, signs)
        if name is None:
            return tree
        return Node("assign", (tree,), name)

    def remark(self, value: Node) -> bool:
        """Skips a bracket behind a value that says nothing new: "(approx.)", "(five)"."""
        if self.ahead("(", "word", ")"):
            said = in_words(self.tokens[self.at + 1].text)
            if said is None or said != value.value:
                raise Unreadable("a word in a bracket behind a value")
        elif not self.ahead("(", "approx", ")"):
            return False
        self.at += 3
        return True

    # Names in front of a value.

    def label(self) -> str | None:
        """Skips words that name the answer (`Area =`, `The answer is`); the name in `T(x) =` and `dy/dx =`."""
        if self.words_label():
            return None
        for name, end in (self.application(), self.derivative()):
            if name and self.tokens[end].kind in ("=", "approx"):
                self.at = end + 1
                return name
        return None

    def words_label(self) -> bool:
        words, end = list[str](), self.at
        while self.tokens[end].kind == "word":
            words.append(self.tokens[end].text.lower())
            end += 1
        kind = self.tokens[end].kind
        named = kind in ("=", ":", "approx")
        if not words or not (named or kind in _VALUES) or " ".join(words) in REALS | EMPTY:
            return False
        if not named and not INTRODUCTIONS.issuperset(words):
            return False
        if named and not all(word in LABELS or _counts(word) for word in words):
            raise Unreadable(f"{' '.join(words)!r} as the name of a value")
        self.at = end + (kind in ("=", ":"))
        return True

    def application(self) -> tuple[str, int]:
        """The name in `T(x)`, `A(r, h)`, `y^{-1}(x)`, and its end."""
        at = self.at
        if self.tokens[at].kind != "var":
            return "", at
        name, begin = self.tokens[at].text, self.at
        self.at += 1
        if self.inverse():
            name += "^{-1}"
        at, self.at = self.at, begin
        if self.tokens[at].kind != "(":
            return "", at
        end = at + 1
        while self.tokens[end].kind == "var" and self.tokens[end + 1].kind == ",":
            end += 2
        if self.tokens[end].kind != "var" or self.tokens[end + 1].kind != ")":
            return "", at
        arguments = tuple(Node("var", (), token.text) for token in self.tokens[at + 1 : end + 1 : 2])
        return ex.written(Node("call", arguments, name)), end + 2

    def derivative(self) -> tuple[str, int]:
        at = self.at
        if not self.ahead("name", "{", "var", "var", "}", "{", "var", "var", "}"):
            return "", at
        letters = [self.tokens[at + step].text for step in (2, 3, 6, 7)]
        if self.next.text != "frac" or letters[0] != "d" or letters[2] != "d":
            return "", at
        return f"d{letters[1]}/d{letters[3]}", at + 9

    def labelled_point(self) -> Node | None:
        """`P(3, 4)` as a whole clause: the point without its name."""
        start = self.at
        if self.depth or not self.ahead("var", "(") or not self.next.text[0].isupper():
            return None
        if not self.comes(","):
            return None
        self.at += 1
        try:
            point = self.base()
        except Unreadable:
            point = ex.ZERO
        if point.op == "tuple" and (self.ended or self.next.kind in _SEPARATORS) and self.tokens[start].text != "C":
            return point
        self.at = start
        return None

    # Ratios and sets.

    def operand(self) -> Node:
        start = self.at
        parts = [self.union()]
        while not self.heading and self.take(":"):
            parts.append(self.union())
        if len(parts) == 1 and self.tokens[start].kind == "num" and self.at == start + 1 and (half := self.meridiem()):
            return Node("clock", (parts[0], ex.ZERO), half)  # 9 a.m.
        if len(parts) == 1:
            return parts[0]
        written = self.tokens[start : self.at]
        if len(written) == 3 and _is_time(written[0], written[2]):
            return Node("clock", tuple(parts), self.meridiem())
        return Node("ratio", tuple(map(scalar, parts)))

    def meridiem(self) -> str:
        half = MERIDIEM.get(self.next.text.lower(), "")
        if half:
            self.at += 1
        return half

    def union(self) -> Node:
        parts, ops = [self.sum()], set[str]()
        while operator := self.take("∪", "∩", "\\", "-"):  # a sum takes the sign of its own terms
            op = {"∪": "union", "∩": "intersection"}.get(operator.kind, "difference")
            part = self.sum()
            ops.add(op)
            if op == "difference" and part.op in SCALARS:
                part = Node("set", (part,))
            parts.append(part)
        if not ops:
            return parts[0]
        if len(ops) > 1:
            raise Unreadable("unions, intersections and differences without brackets")
        if ops == {"union"} and ex.ops(parts) == {"set"}:
            return Node("set", tuple(chain(*(part.args for part in parts))))
        return Node(ops.pop(), tuple(parts))

    def bracket(self, opening: str) -> Node:
        """Behind an opening bracket: an expression in parentheses, or a tuple, point, interval, or rows of a matrix."""
        items = self.items(")", "]", "[")
        brackets = opening + self.tokens[self.at - 1].kind
        turned = brackets in _BRACKETS
        brackets = _BRACKETS.get(brackets, brackets)
        matched = brackets in ("()", "[]") and not turned
        if not items or (len(items) != 2 and not matched):
            raise Unreadable(f"{brackets} around {len(items)} items")
        if len(items) == 1:
            return items[0]
        rows = [Node("row", item.args) for item in items if item.op == "tuple" and item.atom == "[]"]
        if brackets == "[]" and len(rows) == len(items) and _is_rectangle(rows):
            return Node("matrix", tuple(rows))
        if len(items) == 2 and (not matched or "inf" in ex.ops(items)):
            return Node("interval", tuple(items), brackets)
        return Node("tuple", tuple(items), brackets)

    def items(self, *closing: str, first: Node | None = None) -> list[Node]:
        """Clauses up to a closing bracket, which is taken. Inside brackets bars begin anew."""
        self.nested()
        bars, heading = self.bars, self.heading
        self.bars, self.heading = 0, False
        items = list(filter(None, [first]))
        if not items and (self.next.kind not in closing or self.next.kind == "["):
            items.append(self.clause())
        while items and self.take(",", ";"):
            self.take("and", "or")  # 1, 2, and 3
            items.append(self.clause())
        if not self.take(*closing):
            raise self.unexpected(f"{closing[0]} expected")
        self.depth, self.bars, self.heading = self.depth - 1, bars, heading
        return items

    def group(self) -> Node:
        r"""Behind a brace that LaTeX does not show: one value, `n \choose k`, `a \over b`, or a set."""
        self.nested()
        groups, separators = self.separated()
        value = groups[0][0]
        if not separators:
            while construct := self.take("choose", "over"):
                value = _CONSTRUCTS[construct.kind](scalar(value), scalar(self.sum()))
        self.need("}")
        self.depth -= 1
        if not separators:
            return value
        if separators == {","}:
            return Node("set", tuple(spread(groups[0])))
        return solutions(groups, separators)

    def braces(self) -> Node:
        r"""Behind `\{`: a list of items, or `element | condition`."""
        self.nested()
        element = None
        if self.next.kind not in ("|", r"\}") and self.comes(*_SUCH_THAT):
            element = self.head()
            if self.take(*_SUCH_THAT):
                condition = self.clauses()
                self.need(r"\}")
                self.depth -= 1
                return _such_that(element, condition)
        items = self.items(r"\}", first=element)
        self.depth -= 1
        return Node("set", tuple(spread(items)))

    def head(self) -> Node:
        """What may stand before the bar or colon of a set-builder."""
        bars, heading = self.bars, self.heading
        self.bars, self.heading = 1, True
        element = self.clause()
        self.bars, self.heading = bars, heading
        return element

    # Arrays.

    def matrix(self, name: str) -> Node:
        if name not in _MATRICES and name not in _SYSTEMS:
            raise Unreadable(f"the environment {name}")
        self.nested()
        system = name in _SYSTEMS
        if name in _ALIGNED:
            self.drop("&", "end")
        rows = [[self.cell(system)]]
        while separator := self.take("&", "row"):
            if separator.kind == "&":
                rows[-1].append(self.cell(system))
            elif self.next.kind != "end":
                rows.append([self.cell(system)])
        self.need("end")
        self.depth -= 1
        if system and len(rows) == sum(map(len, rows)):
            return top_level(list(chain(*rows)), {"and"})
        array = Node("cases" if system else "matrix", tuple(Node("row", tuple(row)) for row in rows))
        if not _is_rectangle(array.args):
            raise Unreadable("a matrix with rows of different lengths")
        return determinant(array) if name == "vmatrix" else array

    def cell(self, system: bool) -> Node:
        if not system:
            return self.sum()
        while self.next.kind == "word" and self.next.text.lower() in _CONDITION_WORDS:
            self.at += 1
        clause = self.clause()
        self.take(",")
        return clause

    # Words.

    def phrase(self) -> Node:
        """Words where a value should be: a set that they name, or an answer in words."""
        begin = self.at
        while self.take("word", "letter"):
            pass
        text = " ".join(token.text.lower() for token in self.tokens[begin : self.at])
        if text in EMPTY:
            return Node("set")
        if text in REALS:
            return ex.REALS
        if text in INFINITE:
            return ex.INFINITY
        return Node("text", (), SYNONYMS.get(text, text))


def _is_rectangle(rows: Sequence[Node]) -> bool:
    return len({len(row.args) for row in rows}) == 1


def _counts(word: str) -> bool:
    """Whether a word is a unit or a counted thing, as in "Apples: 5"."""
    return word not in SHORT_WORDS and is_unit(word)


def _is_time(hours: Token, minutes: Token) -> bool:
    return _HOURS.fullmatch(hours.text) is not None and _MINUTES.fullmatch(minutes.text) is not None


def _member(element: Node, values: Node, relation: str) -> Node:
    """`x \\in S`: the name and the set of its values."""
    name = name_of(element)
    if name is None or (values.op not in SETS and values.op != "tuple"):
        raise Unreadable("an element of something that is no set")
    if relation == "notin":
        values = Node("difference", (ex.REALS, values))
    return Node("assign", (values,), name)


def _such_that(element: Node, condition: Node) -> Node:
    """The set of a builder: that of the condition where it says something of a real number, else both parts."""
    name = name_of(element)
    if element.op == "assign" and element.args[0] == ex.REALS:
        name = str(element.atom)
    if condition.op == "assign" and condition.atom == name and len(condition.args) == 1:
        value = condition.args[0]
        if value.op in SETS:
            return value
        if value.op == "list":
            return Node("set", value.args)
        return Node("set", (value,))
    return Node("such", (element, condition))
