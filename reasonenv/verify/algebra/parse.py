r"""Recursive descent over a whitelisted grammar: tokens in, one tree out, or `Unreadable`.

What has two readings has none here: `2\frac{3}{2}`, `x/2y`, `5!!`, `3 4`, `\log` of a list. Degrees and percent signs
are units and dropped, but inside a trigonometric function a degree is pi/180. `\log` without a base has base 10.

    answer   := clause (("," | ";" | "or" | "and") clause)*          clause := [label] union (relation union)*
    union    := sum ("∪" sum)*           sum  := [sign] term (("+" | "-" | "±") term)*     then units, dropped
    term     := power (["*" | "/"] power)*                           power := base ["!" | "°"] ["^" exponent]
"""

from __future__ import annotations

from fractions import Fraction
from itertools import takewhile

from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.expression import Node, Unreadable, scalar
from reasonenv.verify.algebra.lexer import Token, tokens
from reasonenv.verify.algebra.relations import PLUS_MINUS, relate, spread, top_level
from reasonenv.verify.numeric import NOT_UNITS

MAX_DEPTH = 40
_OPERANDS = frozenset(("var", "const", "name", "(", "[", "{", "begin"))
_MATRICES = frozenset(("pmatrix", "bmatrix", "matrix", "Bmatrix", "smallmatrix", "array"))
_TRIGONOMETRIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
_RELATIONS = frozenset(("=", "!=", "<", "<=", ">", ">="))
_SIGNS = ("+", "-", "±", "∓")
_END = Token("nothing")


def parse(text: str) -> Node:
    """The tree of a whole answer; `Unreadable` for everything else. Never evaluates text; its cost is bounded."""
    read = tokens(text)
    if read and all(token.kind == "text" for token in read):
        return Node("text", (), " ".join(token.text for token in read))
    return _Parser(read).answer()


def arithmetic(text: str) -> Fraction | None:
    """The exact rational number that an expression is worth; None if it is worth none, as a division by 0."""
    try:
        return parse(text).value
    except Unreadable:
        return None


class _Parser:
    """A position in the tokens; each method reads one rule of the grammar and leaves the position behind it."""

    def __init__(self, read: list[Token]) -> None:
        self.tokens, self.at = [*read, _END], 0
        self.depth, self.bars, self.turning = 0, 0, False

    # The tokens.

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, *kinds: str) -> bool:
        """Whether the next tokens are of these kinds."""
        return tuple(token.kind for token in self.tokens[self.at : self.at + len(kinds)]) == kinds

    def take(self, *kinds: str) -> Token | None:
        if self.next.kind not in kinds:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def need(self, kind: str) -> Token:
        token = self.take(kind)
        if token is None:
            raise Unreadable(f"{kind} expected, {self.next.text or self.next.kind} found")
        return token

    # Structures.

    def answer(self) -> Node:
        clauses, separators = [self.clause()], set[str]()
        while separator := self.take(",", ";", "or", "and"):
            separators.add(separator.kind)
            if separator.kind == ",":
                self.take("or", "and")
            clauses.append(self.clause())
        if self.next is not _END:
            raise Unreadable(f"{self.next.text or self.next.kind} behind the answer")
        return top_level(clauses, separators)

    def clause(self) -> Node:
        self.label()
        sides, signs = [self.union()], list[str]()
        if sides[0].op == "var" and self.take("in"):
            return self.union()
        while token := self.take(*_RELATIONS):
            signs.append(token.kind)
            sides.append(self.union())
        return relate(sides, signs) if signs else sides[0]

    def label(self) -> None:
        """Skips a name for the answer: `Area =`, `\\text{total}:`, `AB =`, `f(x) =`."""
        if self.ahead("var", "(", "var", ")", "=") and self.next.text in tuple("fghFGHpqP"):
            self.at += 5
            return
        end = self.at
        while self.tokens[end].kind in ("text", "word"):
            end += 1
        if end == self.at:
            capitals = takewhile(lambda token: token.kind == "var" and token.text.isupper(), self.tokens[end : end + 4])
            end += len(list(capitals))
            if end == self.at + 1:  # one is a variable
                return
        if end > self.at and self.tokens[end].kind in ("=", ":"):
            self.at = end + 1

    def union(self) -> Node:
        parts = [self.sum()]
        while self.take("∪"):
            parts.append(self.sum())
        return ex.single("union", parts)

    def nested(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")

    def bracket(self, opening: str) -> Node:
        """Behind an opening bracket: an expression in parentheses, or a tuple, point, interval, or rows of a matrix."""
        items = self.items(")", "]")
        brackets = opening + self.tokens[self.at - 1].kind
        matched = brackets in ("()", "[]")
        if not items or (len(items) != 2 and not matched):
            raise Unreadable(f"{brackets} around {len(items)} items")
        if len(items) == 1:
            return items[0]
        rows = [item.args for item in items if item.op == "tuple" and item.atom == "[]"]
        if brackets == "[]" and len(rows) == len(items) and len({len(row) for row in rows}) == 1:
            return Node("matrix", tuple(Node("row", row) for row in rows))
        return Node("tuple", tuple(items), brackets)

    def items(self, *closing: str) -> list[Node]:
        """Clauses up to a closing bracket, which is taken. Inside brackets bars begin anew."""
        self.nested()
        bars, self.bars = self.bars, 0
        items = list[Node]()
        if not self.take(*closing):
            items.append(self.clause())
            while self.take(",", ";"):
                items.append(self.clause())
            if not self.take(*closing):
                raise Unreadable(f"{closing[0]} expected, {self.next.text or self.next.kind} found")
        self.depth, self.bars = self.depth - 1, bars
        return items

    def matrix(self, name: str) -> Node:
        if name not in _MATRICES:
            raise Unreadable(f"the environment {name}")
        self.nested()
        rows = [[self.sum()]]
        while separator := self.take("&", "row"):
            if separator.kind == "&":
                rows[-1].append(self.sum())
            elif self.next.kind != "end":
                rows.append([self.sum()])
        self.need("end")
        self.depth -= 1
        if len({len(row) for row in rows}) != 1:
            raise Unreadable("a matrix with rows of different lengths")
        return Node("matrix", tuple(Node("row", tuple(row)) for row in rows))

    # Expressions.

    def sum(self) -> Node:
        terms = [_with_sign(self.take(*_SIGNS), self.term())]
        while sign := self.take(*_SIGNS):  # behind it a term may have a sign, but not two
            terms.append(_with_sign(sign, _with_sign(self.take("+", "-"), self.term())))
        self.units()
        return terms[0] if len(terms) == 1 else ex.add(*terms)

    def term(self) -> Node:
        start = self.at
        product, slashed, plain = self.power(), False, self.tokens[start].kind == "num" and self.at == start + 1
        while True:
            operator = self.take("*", "/")
            start = self.at
            if operator:
                factor = _with_sign(self.take("-", "+"), self.power())
                # 4/3 pi is (4/3) pi; what x/2y is nobody knows.
                slashed = operator.kind == "/"
                plain = plain and self.tokens[start].kind == "num" and self.at == start + 1
                product = ex.multiply(product, ex.power(factor, ex.MINUS_ONE) if slashed else factor)
            elif self.next.kind in _OPERANDS or (self.next.kind == "|" and not self.bars):
                if slashed and not plain:
                    raise Unreadable("a product behind a slash")
                product, slashed, plain = ex.multiply(product, self.power()), False, False
            else:
                return product

    def power(self) -> Node:
        base = self.base()
        if self.take("!"):
            base = ex.factorial_of(base)
            if self.next.kind == "!":
                raise Unreadable("a double factorial")
        if self.take("°") and self.turning:
            base = ex.multiply(base, ex.PI, ex.number(Fraction(1, 180)))
        if self.take("^"):
            base = ex.power(scalar(base), self.exponent())
        return base

    def exponent(self) -> Node:
        self.nested()
        sign = self.take("-", "+")
        base = scalar(self.literal() or self.base())
        if self.take("!"):
            base = ex.factorial_of(base)
        if self.take("^"):
            base = ex.power(base, self.exponent())
        self.depth -= 1
        return _with_sign(sign, base)

    def base(self) -> Node:
        token = self.next
        self.at += 1
        match token.kind:
            case "num":
                return self.mixed(token)
            case "var":
                return Node("var", (), token.text)
            case "const":
                return Node("const", (), token.text)
            case "inf":
                return Node("inf", (ex.ONE,))
            case "empty":
                return Node("set")
            case "(" | "[":
                return self.bracket(token.kind)
            case "{":
                items = self.items("}")
                if len(items) == 1:
                    return items[0]
                return Node("set", tuple(spread(items)))
            case r"\{":
                return Node("set", tuple(spread(self.items(r"\}"))))
            case "|":
                self.nested()
                self.bars += 1
                inner = ex.call("abs", self.sum())
                self.need("|")
                self.bars, self.depth = self.bars - 1, self.depth - 1
                return inner
            case "begin":
                return self.matrix(token.text)
            case "name":
                return self.named(token.text)
        raise Unreadable(f"{token.text or token.kind} where a value should be")

    def literal(self) -> Node | None:
        """A number alone: what stands behind it belongs to something else (`\\frac12\\frac13`, `2^3\\frac12`)."""
        token = self.take("num")
        return ex.number(token.value) if token else None

    def mixed(self, token: Token) -> Node:
        """A number, with the proper fraction behind it if there is one: `3 1/2`, `3\\frac{1}{2}`."""
        whole = ex.number(token.value)
        begin, slash = self.at, self.at > 1 and self.tokens[self.at - 2].kind == "/"
        if self.ahead("num", "/", "num"):
            top, bottom = self.tokens[begin].value, self.tokens[begin + 2].value
            self.at += 3
        elif self.ahead("name") and self.next.text == "frac":
            self.at += 1
            top_node, bottom_node = self.argument(), self.argument()
            if top_node.value is None or bottom_node.value is None:
                self.at = begin
                return whole
            top, bottom = top_node.value, bottom_node.value
        else:
            return whole
        if any(part.denominator != 1 for part in (token.value, top, bottom)) or not 0 < top < bottom or slash:
            raise Unreadable("a number beside a fraction that makes no mixed number")
        return ex.number(token.value + top / bottom)

    def named(self, name: str) -> Node:
        match name:
            case "frac":
                return ex.divide(self.argument(), self.argument())
            case "binom":
                return ex.choose(self.argument(), self.argument())
            case "sqrt":
                index = ex.number(2)
                if self.take("["):
                    index = self.sum()
                    self.need("]")
                return ex.power(self.argument(), ex.divide(ex.ONE, index))
        return self.function(name)

    def argument(self) -> Node:
        r"""What one LaTeX command takes: a group, a bracketed expression, one token, or one digit (`\frac12`)."""
        token = self.next
        if token.kind == "num" and token.text.isdecimal() and len(token.text) > 1:
            first, rest = token.text[0], token.text[1:]
            # The rest stays for what follows: \frac12 is 1/2, and \sqrt23 is a product that nobody means.
            self.tokens[self.at : self.at + 1] = [Token("num", each, Fraction(int(each))) for each in (first, rest)]
        if token.kind not in ("num", "var", "const", "{", "(", "name", "begin", "|"):
            raise Unreadable(f"{token.text or token.kind} as an argument")
        self.nested()
        node = scalar(self.literal() or self.base())
        self.depth -= 1
        return node

    def function(self, name: str) -> Node:
        self.nested()
        exponent, base = ex.ONE, ex.number(10)
        if name == "log" and self.take("_"):
            base = self.argument()
        if self.take("^"):
            exponent = self.exponent()
        if exponent == ex.MINUS_ONE and name in ("sin", "cos", "tan"):
            name, exponent = "a" + name, ex.ONE
        turning, self.turning = self.turning, name in _TRIGONOMETRIC
        arg = scalar(self.base() if self.next.kind == "(" else self.bare())
        self.turning, self.depth = turning, self.depth - 1
        if exponent.value is None or exponent.value < 0:
            raise Unreadable(f"a power of {name} without its argument")
        return ex.power(ex.apply(name, arg, base), exponent)

    def bare(self) -> Node:
        r"""An argument without parentheses: the factors up to an operator or the next function (`\sin 2x \cos x`)."""
        sign = self.take("-")
        product = self.power()
        while self.next.kind in ("var", "const") or (self.next.kind == "name" and self.next.text in ("frac", "sqrt")):
            product = ex.multiply(product, self.power())
        return _with_sign(sign, product)

    def units(self) -> None:
        """Skips units behind a value, with their exponents: `cm`, `\\text{ m}^2`, `km/h`."""
        while self.next.kind in ("text", "word") or (self.ahead("/", "text") or self.ahead("/", "word")):
            self.take("/")
            unit = self.tokens[self.at].text
            if any(NOT_UNITS.fullmatch(word) for word in unit.replace("/", " ").split()):
                raise Unreadable(f"the word {unit!r} behind a value")
            self.at += 1
            if self.take("^"):
                self.exponent()


def _with_sign(sign: Token | None, node: Node) -> Node:
    if sign is None or sign.kind == "+":
        return node
    if sign.kind == "-" and node.op == "inf":
        return Node("inf", (ex.MINUS_ONE,))
    if sign.kind == "-":
        return ex.negate(node)
    both = PLUS_MINUS if sign.kind == "±" else ex.negate(PLUS_MINUS)
    return ex.multiply(both, node)
