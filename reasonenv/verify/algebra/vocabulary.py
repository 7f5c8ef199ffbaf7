r"""What commands and words stand for: closed lists, so that an unknown one makes a text unreadable.

Words are English; in `\text{..}` and outside of it they mean the same.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FUNCTIONS = {
    **{name: name for name in _words("sin cos tan cot sec csc asin acos atan sinh cosh tanh ln log exp sqrt abs cis")},
    **{name: name for name in _words("floor ceil root frac binom sum prod max min gcd lcm")},
    **dict.fromkeys(("overline", "bar"), "conjugate"),
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan")},
    **dict.fromkeys(("dbinom", "tbinom"), "binom"),
    "lg": "log",
    "ceiling": "ceil",
}
# What takes its arguments in braces, and what is a label as well, is no function in a text.
_NO_WORDS = _words("frac binom sum prod max min overline bar")
FUNCTION_WORDS = {word: name for word, name in FUNCTIONS.items() if word not in _NO_WORDS}
GREEK = frozenset(
    _words(
        """
        alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau
        upsilon phi varphi chi psi omega ell hbar Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega
        """
    )
)
GREEK_LETTERS = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda"}
GREEK_LETTERS |= {"μ": "mu", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega", "Δ": "Delta"}

# Kinds of tokens, and the commands and signs that write them.
SPELLINGS = {
    **dict.fromkeys(("cdot", "times", "ast", "*", "·", "×", "⋅", "∗"), "*"),
    **dict.fromkeys(("div", "/", "÷"), "/"),
    **dict.fromkeys(("pm", "+/-", "+-", "±"), "±"),
    **dict.fromkeys(("mp", "∓"), "∓"),
    **dict.fromkeys(("le", "leq", "leqslant", "<=", "≤"), "<="),
    **dict.fromkeys(("ge", "geq", "geqslant", ">=", "≥"), ">="),
    **dict.fromkeys(("ne", "neq", "!=", "≠"), "!="),
    **dict.fromkeys(("cup", "∪"), "∪"),
    **dict.fromkeys(("cap", "∩"), "∩"),
    "setminus": "\\",
    **dict.fromkeys(("in", "∈"), "in"),
    **dict.fromkeys(("notin", "∉"), "notin"),
    **dict.fromkeys(("infty", "∞"), "inf"),
    **dict.fromkeys(("emptyset", "varnothing", "∅"), "empty"),
    **dict.fromkeys(("lvert", "rvert", "lVert", "rVert", "vert", "Vert", "|"), "|"),
    **dict.fromkeys(("{", "lbrace"), r"\{"),
    **dict.fromkeys(("}", "rbrace"), r"\}"),
    **dict.fromkeys(("langle", "lparen"), "("),
    **dict.fromkeys(("rangle", "rparen"), ")"),
    "lbrack": "[",
    "rbrack": "]",
    **dict.fromkeys(("lor", "vee", "∨"), "or"),
    **dict.fromkeys(("land", "wedge", "∧"), "and"),
    **dict.fromkeys(("==", "="), "="),
    **dict.fromkeys(("**", "^"), "^"),
    "...": "dots",
    **dict.fromkeys(("top", "intercal"), "top"),
    **{name: name for name in ("lfloor", "rfloor", "lceil", "rceil", "choose", "over", "mid", "approx")},
}
WORDS = {
    "or": "or",
    "and": "and",
    **dict.fromkeys(("inf", "infinity", "infinite", "oo"), "inf"),
    **dict.fromkeys(("minus", "negative"), "-"),
    "plus": "+",
    "times": "*",
    "to": ":",
    **dict.fromkeys(("about", "approximately", "approx", "roughly", "around"), "approx"),
    **dict.fromkeys(("percent", "pct"), "%"),
    **dict.fromkeys(("except", "excluding"), "\\"),
}

# Whole phrases that are a set, or infinity.
EMPTY = frozenset(("none", "empty", "empty set", "the empty set", "null set"))
EMPTY |= {
    f"{there}no {real}{what}"
    for there in ("", "there is ", "there are ")
    for real in ("", "real ")
    for what in ("solution", "solutions", "root", "roots")
}
REALS = frozenset(("reals", "the reals", "all reals", "all real", "any real number", "every real number"))
REALS |= {f"{many}real numbers" for many in ("", "the ", "all ", "all the ", "the set of ", "the set of all ")}
SYNONYMS = {"dne": "does not exist"}
INFINITE = frozenset(("infinitely many", "infinitely many solutions"))

# Names of a value, which may stand in front of it: "Area =", "The final answer:".
LABELS = frozenset(
    _words(
        """
        the a an of is final exact correct total maximum minimum max min least greatest smallest largest average mean
        median mode range sum difference product quotient remainder ratio rate answer answers solution solutions result
        value values area perimeter volume surface length width height depth radius diameter circumference side distance
        speed velocity time probability number count cost price profit percentage fraction angle measure slope intercept
        x-intercept y-intercept point points vertex center centre focus midpoint coordinates equation line function
        domain interval set matrix vector determinant derivative integral limit degree weight mass age temperature
        amount expression roots so thus therefore hence
        """
    )
)
# What may stand at once in front of it: "The answer is 5", "The point (3, 4)".
INTRODUCTIONS = frozenset(
    _words(
        "the final correct answer value result solution point interval set vector equation is so therefore thus hence"
    )
)
# Short runs of letters that are words; other runs of up to three letters are products of variables.
SHORT_UNITS = frozenset(_words("per kg mg ft lb oz mi hr hrs min mph ml deg rad"))
CAPITALS = frozenset(_words("am pm usd dne"))  # words in capitals too, where others are corners of a figure
SHORT_WORDS = SHORT_UNITS | frozenset(
    _words(
        """
        no yes odd is it all if to by of the not any one two six ten cm mm km in set am pm usd a an at on as be so we
        for but nor has are was its dne
        """
    )
)
MERIDIEM = {"a.m": "am", "am": "am", "p.m": "pm", "pm": "pm"}
_COUNTED = _words("two three four five six seven eight nine ten eleven twelve")
BASES = {word: value for value, word in enumerate(_COUNTED, start=2)}
BASES |= {"binary": 2, "octal": 8, "decimal": 10, "sixteen": 16, "hexadecimal": 16, "hex": 16}
