r"""The grammar of expressions: from a position in the tokens to one value. `parse` has what is built from values.

    sum   := [sign] term (("+" | "-" | "±") term)*  [unit | "%"]
    term  := power (["*" | "/"] power)*
    power := base ["!" | "°"] ["^" exponent]
    base  := number | variable | "(" .. ")" | "|" sum "|" | "⌊" sum "⌋" | command argument* | function [^n] argument

A function that is not known (`f(0)`, `f'(x)`, `f^{-1}(2)`) is applied, a letter before a bracket multiplies. What has
two readings has none here: `2\frac{3}{2}`, `x/2y`, `5!!`, `3 4`, `x2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction

from reasonenv.verify.algebra import arrays
from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.approximate import vanishes
from reasonenv.verify.algebra.cursor import Cursor
from reasonenv.verify.algebra.expression import SCALARS, SETS, Node, Unreadable, scalar
from reasonenv.verify.algebra.lexer import Token
from reasonenv.verify.algebra.relations import PLUS_MINUS
from reasonenv.verify.algebra.vocabulary import MERIDIEM
from reasonenv.verify.units import LETTERS, SCALES, SYMBOLS, is_unit

_OPERANDS = frozenset(("var", "const", "name", "(", "[", "{", "begin", "lfloor", "lceil", "numeral"))
_ARGUMENTS = frozenset(("num", "var", "const", "letter", "{", "(", "name", "begin", "|", "lfloor", "lceil"))
_TRIGONOMETRIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc", "cis"))
_QUOTIENTS = {"tan": "cos", "sec": "cos", "cot": "sin", "csc": "sin"}
_UNKNOWN_FUNCTIONS = frozenset("fghFGHIJ")
_BEHIND_SETS = frozenset(("nothing", "∪", "∩", "\\", ",", ";", "or", "and", ")", "}", r"\}"))
_TEMPERATURES = ("C", "F")
_SIGNS = ("+", "-", "±", "∓")
_ROUNDING = {"lfloor": ("floor", "rfloor"), "lceil": ("ceil", "rceil")}


class Terms(Cursor, ABC):
    """Each method reads one rule of the grammar and leaves the position behind it."""

    def __init__(self, read: list[Token]) -> None:
        super().__init__(read)
        self.bars, self.turning = 0, False  # inside of bars, and of the argument of a trigonometric function
        self.closed = -1  # the position behind a power, factorial or bracket, where a number may multiply
        self.severed = -1  # the position of digits behind the one that a command took
        self.units = list[str]()  # that were read and dropped

    # What `parse` adds.

    @abstractmethod
    def bracket(self, opening: str) -> Node: ...

    @abstractmethod
    def group(self) -> Node: ...

    @abstractmethod
    def braces(self) -> Node: ...

    @abstractmethod
    def matrix(self, name: str) -> Node: ...

    @abstractmethod
    def phrase(self) -> Node: ...

    # Sums and products.

    def sum(self) -> Node:
        before = len(self.units)
        terms = [with_sign(self.take(*_SIGNS), self.measured(self.term()))]
        while terms[0].op not in SETS and (sign := self.take(*_SIGNS)):
            second = self.take("+", "-")  # behind an operator a term may have a sign, but not two
            terms.append(with_sign(sign, with_sign(second, self.measured(self.term()))))
        angle = len(terms) == 1 and self.tokens[self.at - 1].kind in ("°", "'") and not self.turning
        total = terms[0]
        if len(set(self.units[before:])) > 1:
            raise Unreadable("a sum of different units")
        if len(terms) > 1 and "dots" in ex.ops(terms):
            total = arrays.progression(terms)
        elif len(terms) > 1:
            total = arrays.add(*terms)
        if self.take("%"):
            return Node("percent", (scalar(total),))
        if angle and total.op in SCALARS:
            return Node("degree", (total,))
        return total

    def term(self) -> Node:
        start = self.at
        product, slashed, plain = self.power(), False, self.tokens[start].kind == "num" and self.at == start + 1
        while True:
            if self.unit_ahead() or self.remark_ahead():
                return product
            operator = self.take("*", "/")
            start = self.at
            if operator:
                factor = with_sign(self.take("-", "+"), self.power())
                # 4/3 pi is (4/3) pi; what x/2y is nobody knows.
                slashed = operator.kind == "/"
                plain = plain and self.tokens[start].kind == "num" and self.at == start + 1
                product = quotient(product, factor) if slashed else arrays.multiply(product, factor)
            elif self.juxtaposed():
                if slashed and not plain:
                    raise Unreadable("a product behind a slash")
                product, slashed, plain = arrays.multiply(product, self.power()), False, False
            else:
                return product

    def juxtaposed(self) -> bool:
        """Whether a factor follows without a sign: `2x`, `2^3 3^2`, `n 2^n`, `i4`; never a number behind a number."""
        kind = self.next.kind
        if kind == "[" and self.tokens[self.at + 1].kind in _BEHIND_SETS:  # it closes ]a,b[
            return False
        if kind in _OPERANDS or kind == "letter":
            return True
        if kind == "|":
            return not self.bars
        if kind != "num" or self.at == self.severed:
            return False
        before, behind = self.tokens[self.at - 1], self.tokens[self.at + 1]
        if before.kind in ("var", "const", "letter"):
            return behind.kind in ("^", "!") or before.text == "i"
        return self.closed == self.at

    def power(self) -> Node:
        start = self.at
        base = self.base()
        if self.take("!"):
            base = ex.factorial_of(scalar(base))
            if self.next.kind == "!":
                raise Unreadable("a double factorial")
        if self.take("°"):
            base = self.degrees(base)
        if self.take("^"):
            base = self.raised(base)
        if self.at > start + 1:
            self.closed = self.at
        return base

    def degrees(self, base: Node) -> Node:
        """A number of degrees, with minutes and seconds behind it if there are any."""
        part = 60
        while self.ahead("num", "'") and part <= 3600:
            base = ex.add(base, ex.number(self.next.value / part))
            self.at += 2
            part *= 60
            if self.take("'"):
                break
        if self.next.text in _TEMPERATURES:
            self.at += 1
        if self.turning:
            return ex.multiply(base, ex.PI, ex.number(Fraction(1, 180)))
        return base

    def raised(self, base: Node) -> Node:
        if base.op in ("matrix", "tuple"):
            braced = self.take("{")
            if self.next.text != "T" and self.next.kind != "top":
                raise Unreadable("a power of a matrix")
            self.at += 1
            if braced:
                self.need("}")
            return arrays.transpose(base)
        return powered(scalar(base), self.exponent())

    def exponent(self) -> Node:
        self.nested()
        sign = self.take("-", "+")
        if self.tokens[self.at - 1].text != "**" and self.tokens[self.at + 1].kind == "^":
            self.split_digits()  # 2^33^2 is 2^3 3^2, as LaTeX sets it
        base = scalar(self.literal() or self.base())
        if self.take("!"):
            base = ex.factorial_of(base)
        if self.take("^"):
            base = powered(base, self.exponent())
        self.depth -= 1
        return with_sign(sign, base)

    # Values.

    def base(self) -> Node:
        token = self.next
        self.at += 1
        match token.kind:
            case "num":
                return self.mixed(token)
            case "var" | "letter":
                return self.letter(token)
            case "const":
                return Node("const", (), token.text)
            case "inf":
                return Node("inf", (ex.ONE,))
            case "empty":
                return Node("set")
            case "numeral":
                return Node("numeral", (), token.text)
            case "domain" if token.text == "R":
                return ex.REALS
            case "domain":
                return Node("domain", (), token.text)
            case "(" | "[" | "]":
                return self.bracket(token.kind)
            case "{" if self.ahead("num", "}"):
                number = self.take("num")
                assert number is not None
                self.at += 1
                return self.mixed(number)
            case "{":
                return self.group()
            case r"\{":
                return self.braces()
            case "|":
                self.bars += 1
                inner = self.enclosed("|")
                self.bars -= 1
                return ex.call("abs", inner)
            case "lfloor" | "lceil":
                name, closing = _ROUNDING[token.kind]
                return ex.apply(name, self.enclosed(closing), ex.ONE)
            case "begin":
                return self.matrix(token.text)
            case "name":
                return self.named(token.text)
            case "word":
                self.at -= 1
                return self.phrase()
            case "dots":
                return Node("dots")
        raise Unreadable(f"{token.text or token.kind} where a value should be")

    def enclosed(self, closing: str) -> Node:
        self.nested()
        inner = scalar(self.sum())
        self.need(closing)
        self.depth -= 1
        return inner

    def letter(self, token: Token) -> Node:
        """A variable or constant, or a function that is not known with its arguments."""
        if token.text in ("e", "i"):
            return Node("const", (), token.text)
        name, begin = token.text, self.at
        if name[0] in _UNKNOWN_FUNCTIONS and name.rstrip("'")[1:2] in ("", "_"):
            if self.inverse():
                name = f"{name}^{{-1}}"
            if self.take("("):
                return ex.call(name, *map(scalar, self.arguments()))
            self.at = begin
        if name == "C" and self.take("("):
            arguments = self.arguments()
            if len(arguments) == 2:
                return ex.choose(*map(scalar, arguments))
            self.at = begin
        return Node("var", (), name)

    def inverse(self) -> bool:
        """Whether `^{-1}` and a bracket follow; the exponent is taken then."""
        if self.ahead("^", "-", "num", "(") and self.tokens[self.at + 2].text == "1":
            self.at += 3
            return True
        if self.ahead("^", "{", "-", "num", "}", "(") and self.tokens[self.at + 3].text == "1":
            self.at += 5
            return True
        return False

    def arguments(self) -> list[Node]:
        """Values up to a closing parenthesis, which is taken."""
        self.nested()
        bars, self.bars = self.bars, 0
        values = [self.sum()]
        while self.take(","):
            values.append(self.sum())
        self.need(")")
        self.depth, self.bars = self.depth - 1, bars
        return values

    def split_digits(self) -> bool:
        r"""LaTeX takes one digit where no braces are: the others stay for what follows (`\frac12`, `2^33^2`)."""
        token = self.next
        if token.kind != "num" or not token.text.isdecimal() or len(token.text) == 1:
            return False
        first, rest = token.text[0], token.text[1:]
        if self.tokens[self.at + 1].kind == "^" and rest.startswith("0"):
            raise Unreadable("an exponent of several digits without braces")
        digit, others = Token("num", first, Fraction(int(first))), Token("num", rest, Fraction(int(rest)))
        self.tokens[self.at : self.at + 1] = [digit, others]
        return True

    def literal(self) -> Node | None:
        """A number alone: what stands behind it belongs to something else (`\\frac12\\frac13`, `2^3\\frac12`)."""
        token = self.take("num")
        if token is None:
            return None
        return ex.number(token.value)

    def mixed(self, token: Token) -> Node:
        """A number, with the proper fraction behind it if there is one: `3 1/2`, `3\\frac{1}{2}`, `3{\\frac12}`."""
        whole = ex.number(token.value)
        begin, slash = self.at, self.at > 1 and self.tokens[self.at - 2].kind == "/"
        if self.ahead("num", "/", "num"):
            top, bottom = self.tokens[begin].value, self.tokens[begin + 2].value
            self.at += 3
        elif self.fraction_ahead():
            braced = self.take("{")
            self.at += 1
            top_node, bottom_node = self.argument(), self.argument()
            if top_node.value is None or bottom_node.value is None or (braced and not self.take("}")):
                self.at = begin
                return whole
            top, bottom = top_node.value, bottom_node.value
        else:
            return whole
        if any(part.denominator != 1 for part in (token.value, top, bottom)) or not 0 < top < bottom or slash:
            raise Unreadable("a number beside a fraction that makes no mixed number")
        return ex.number(token.value + top / bottom)

    def fraction_ahead(self) -> bool:
        at = self.at + (self.next.kind == "{")
        return self.tokens[at].kind == "name" and self.tokens[at].text == "frac" and not self.unit_ahead()

    def named(self, name: str) -> Node:
        match name:
            case "frac":
                return quotient(self.argument(), self.argument())
            case "binom":
                return ex.choose(self.argument(), self.argument())
            case "sqrt":
                index = ex.number(2)
                if self.take("["):
                    index = scalar(self.sum())
                    self.need("]")
                return ex.power(self.argument(), ex.divide(ex.ONE, index))
            case "max" | "min" | "gcd" | "lcm":
                self.need("(")
                return ex.chosen(name, list(map(scalar, self.arguments())))
            case "conjugate":
                return ex.conjugate(self.argument())
            case "sum" | "prod":
                return self.series(name)
            case "root":  # √12 is the root of all its digits
                return ex.power(scalar(self.literal() or self.base()), ex.number(ex.HALF))
        return self.function(name)

    def series(self, name: str) -> Node:
        r"""`\sum_{k=1}^{n} a_k` as a function that is not known, whatever its index is called."""
        self.nested()
        self.need("_")
        self.need("{")
        begin = self.group()
        self.need("^")
        end = self.argument()
        if begin.op != "assign" or len(begin.args) != 1:
            raise Unreadable(f"the bounds of a {name}")
        index = {Node("var", (), begin.atom): Node("var", (), "index")}
        body = ex.rebuild(scalar(self.term()), index.get)
        self.depth -= 1
        return ex.call(name, begin.args[0], end, body)

    def argument(self) -> Node:
        r"""What one LaTeX command takes: a group, a bracketed expression, one token, or one digit (`\frac12`)."""
        if self.split_digits():  # \frac12 is 1/2, and \sqrt23 is a product that nobody means
            self.severed = self.at + 1
        if self.next.kind not in _ARGUMENTS:
            raise Unreadable(f"{self.next.text or self.next.kind} as an argument")
        self.nested()
        node = self.literal()
        if node is None and self.take("{"):
            node = self.group()
        node = scalar(node or self.base())
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
        if name in _QUOTIENTS and vanishes(ex.call(_QUOTIENTS[name], arg)):
            raise Unreadable(f"{name} where it is not defined")
        if name in ("ln", "log") and (vanishes(arg) or base in (ex.ZERO, ex.ONE)):
            raise Unreadable("a logarithm that is not defined")
        return ex.power(ex.apply(name, arg, base), exponent)

    def bare(self) -> Node:
        r"""An argument without parentheses: the factors up to an operator or the next function (`\sin 2x \cos x`)."""
        sign = self.take("-")
        product = scalar(self.power())
        while self.next.kind in ("var", "const") or (self.next.kind == "name" and self.next.text in ("frac", "sqrt")):
            product = ex.multiply(product, scalar(self.power()))
        return with_sign(sign, product)

    def remark_ahead(self) -> bool:
        """Whether a bracket follows that says the value once more: `5 (= 2 + 3)`, `1.41 (approx.)`, `5 (five)`."""
        return self.next.kind == "(" and self.tokens[self.at + 1].kind in ("=", "approx", "word")

    # Units.

    def unit_ahead(self) -> bool:
        """Whether what stands next, perhaps behind an operator, can only be a unit."""
        at = self.at
        if self.tokens[at].kind in ("*", "/"):
            at += 1
        token = self.tokens[at]
        if token.kind == "word":
            return token.text.lower() not in MERIDIEM
        if token.kind == "letter":
            return token.text in SYMBOLS
        if token.kind == "var" and token.text == "mu":
            return self.tokens[at + 1].kind == "letter"
        fraction = ("name", "{", "word"), ("name", "{", "letter")
        return token.text == "frac" and tuple(each.kind for each in self.tokens[at : at + 3]) in fraction

    def measured(self, total: Node) -> Node:
        """A value with the scale or unit behind it."""
        while self.unit_ahead():
            scale = self.next.text.lower()
            if self.next.kind == "word" and scale in SCALES:
                self.at += 1
                total = ex.multiply(total, ex.number(SCALES[scale]))
                continue
            unit = self.unit()
            if not is_unit(unit, SYMBOLS):
                raise Unreadable(f"the words {unit!r} behind a value")
            self.units.append(unit)
        return total

    def unit(self) -> str:
        r"""The unit that stands next, as a phrase: `km/h`, `\text{ m}^2`, `\frac{\text{km}}{\text{h}}`."""
        parts = list[str]()
        while self.unit_ahead():
            operator = self.take("*", "/")
            parts.append("/" if operator and operator.kind == "/" else " ")
            if self.take("name"):
                self.need("{")
                parts += [self.unit(), "/"]
                self.need("}")
                self.need("{")
                parts.append(self.unit())
                self.need("}")
                continue
            if self.take("var"):
                parts.append("μ")
            parts.append(self.next.text)
            self.at += 1
            if self.take("^"):
                exponent = self.exponent().value
                parts.append(f"^{exponent}")
            if self.ahead("/", "var") and self.tokens[self.at + 1].text in LETTERS | {"h", "s", "m"}:
                parts.append(f"/{self.tokens[self.at + 1].text}")
                self.at += 2
        return "".join(parts).strip()


def quotient(top: Node, bottom: Node) -> Node:
    """The quotient; unreadable if the bottom is 0 in whatever way it is written."""
    if vanishes(scalar(bottom)):
        raise Unreadable("division by zero")
    return arrays.multiply(top, ex.power(bottom, ex.MINUS_ONE))


def powered(base: Node, exponent: Node) -> Node:
    """The power; unreadable if it is a quotient by 0 or a power of 0 that is none."""
    below_zero = exponent.value is None or exponent.value <= 0
    if below_zero and not (exponent.value is None and base.value != 0) and vanishes(base):
        raise Unreadable("a power of 0 that is not defined")
    return ex.power(base, exponent)


def with_sign(sign: Token | None, node: Node) -> Node:
    if sign is None or sign.kind == "+":
        return node
    if sign.kind == "-" and node.op == "inf":
        return Node("inf", (ex.MINUS_ONE,))
    if sign.kind == "-" and node.op == "numeral":
        return Node("numeral", (), f"-{node.atom}")
    if sign.kind == "-":
        return arrays.multiply(ex.MINUS_ONE, node)
    return ex.multiply({"±": PLUS_MINUS, "∓": ex.negate(PLUS_MINUS)}[sign.kind], node)
