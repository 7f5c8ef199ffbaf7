r"""Closed lists of words that may stand beside a number: units that leave its value alone, and scales that multiply it.

A word that is on none of these lists makes an answer unreadable: whoever reads "5 splorks" as 5 also reads "5 dozens".
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MEASURES = _words(
    """
    meter metre kilometer kilometre centimeter centimetre millimeter millimetre decimeter decimetre micrometer
    nanometer micron inch foot feet yard mile furlong fathom league parsec lightyear klick
    gram gramme kilogram kilogramme milligram microgram kilo kilos ton tonne pound ounce stone carat quintal grain
    liter litre milliliter millilitre centiliter deciliter gallon quart pint cup tablespoon teaspoon bushel barrel
    second minute hour day week fortnight month year decade century centuries millisecond microsecond nanosecond
    acre hectare are degree radian steradian revolution rotation
    newton joule watt kilowatt megawatt volt ampere amp ohm farad henry tesla weber hertz kilohertz megahertz gigahertz
    pascal kilopascal bar atmosphere torr calorie kilocalorie electronvolt kelvin celsius fahrenheit mole molar
    lumen lux candela becquerel sievert gray coulomb decibel
    bit byte kilobyte megabyte gigabyte terabyte pixel
    dollar cent euro pence penny pennies shilling yen yuan rupee peso peseta franc mark krone krona kroner kronor real
    reais ruble rouble won baht rand lira dinar dirham zloty forint shekel buck quid nickel dime
    unit point percentage time piece
    """
)
_ABBREVIATIONS = _words(
    """
    sec secs min mins hr hrs wk wks yr yrs mo mos lb lbs oz ft yd yds mi in sq cu mph kph kmh fps rpm gal qt pt tsp tbsp
    kmph deg rad rads km cm mm dm nm um kg gm gms mg ml dl cl cc ha ac psi cal kcal usd
    eur gbp jpy cny inr aud cad chf hkd
    nzd sgd rmb krw brl rub mxn zar sek nok dkk pts pcs amu bpm lit rs kr
    """
)
SYMBOLS = _words(
    """
    m cm mm km dm nm pm um fm g kg mg t s ms ns h d N kN J kJ MJ mJ W kW MW mW V kV mV A mA C F K L l mL ml dL cL
    Pa kPa MPa hPa atm mol mmol Hz kHz MHz GHz THz eV keV MeV GeV kWh Wh T mT Wb H S S lm lx Bq Gy Sv cd sr
    KB MB GB TB kB kb Mb Gb b dB px AU ly pc μm μs μg Ω kΩ u Da
    """
)
_ALONE = frozenset({"each", "apiece", "total", "altogether", "remaining", "left", "overall"})
# Single letters that are units without an upright font: 18 A is eighteen ampere, 18 n a product.
LETTERS = frozenset("ALNJWVFCmgshl")
_MODIFIERS = _words(
    """
    a an the of per each every square sq cubic cu us american metric fluid nautical light
    old long tall wide high deep thick away apart together full empty whole
    extra additional new large small big little long short different distinct possible such
    red blue green yellow black white pink purple orange brown grey gray silver golden
    male female adult young baby
    """
)

SCALES: dict[str, Fraction] = {
    **dict.fromkeys(("hundred", "hundreds"), Fraction(10**2)),
    **dict.fromkeys(("thousand", "thousands", "k", "grand"), Fraction(10**3)),
    **dict.fromkeys(("lakh", "lakhs", "lac"), Fraction(10**5)),
    **dict.fromkeys(("million", "millions", "mn", "mln", "mio"), Fraction(10**6)),
    **dict.fromkeys(("crore", "crores"), Fraction(10**7)),
    **dict.fromkeys(("billion", "billions", "bn"), Fraction(10**9)),
    **dict.fromkeys(("trillion", "trillions", "tn"), Fraction(10**12)),
    **dict.fromkeys(("quadrillion", "quadrillions"), Fraction(10**15)),
    **dict.fromkeys(("quintillion", "quintillions"), Fraction(10**18)),
    **dict.fromkeys(("dozen", "dozens"), Fraction(12)),
    "gross": Fraction(144),
    **dict.fromkeys(("half", "halves"), Fraction(1, 2)),
    **dict.fromkeys(("quarter", "quarters"), Fraction(1, 4)),
    **dict.fromkeys(("hundredth", "hundredths"), Fraction(1, 10**2)),
    **dict.fromkeys(("thousandth", "thousandths"), Fraction(1, 10**3)),
    **dict.fromkeys(("millionth", "millionths"), Fraction(1, 10**6)),
}
_ORDINALS = "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
for _part, _ordinal in enumerate(_ORDINALS.split(), start=3):
    SCALES[_ordinal] = SCALES[f"{_ordinal}s"] = Fraction(1, _part)
ATTACHED_SCALES = {"K": Fraction(10**3), "M": Fraction(10**6), "B": Fraction(10**9)}  # only at once behind a digit

SCALE_WORDS = "|".join(sorted(SCALES, key=len, reverse=True))  # of a pattern

_CARDINALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: value for value, word in enumerate(_CARDINALS.split())}
NUMBER_WORDS |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), start=2)}
NUMBER_WORDS |= {"a": 1, "an": 1}

# Spellings of one unit, for those who compare units; the first one stands for all.
_SAME = """
    m meter metre
    km kilometer kilometre
    cm centimeter centimetre
    mm millimeter millimetre
    g gram
    kg kilogram kilo
    mg milligram
    s sec second
    min minute
    h hr hour
    wk week
    yr year
    l L liter litre
    ml mL milliliter millilitre
    lb pound
    oz ounce
    ft foot feet
    in inch
    yd yard
    mi mile
    usd dollar $
    eur euro €
    deg degree
    N newton
    J joule
    W watt
    V volt
    A ampere amp
"""
_SPELLINGS = {word: line.split()[0] for line in _SAME.strip().splitlines() for word in line.split()}
_SEPARATOR = re.compile(r"[\s/·⋅*.\-]+|\\cdot(?![A-Za-z])|\\times(?![A-Za-z])")
_EXPONENT = re.compile(r"\^\s*(?:\{\s*-?[0-9]\s*\}|-?[0-9])|(?<=[A-Za-z])\s+(?:squared|cubed)\b")
_LETTERS = re.compile(r"[°'A-Za-zÀ-ÖØ-öø-ɏμΩ]+")
_MAX_WORDS = 8  # of a unit
_MAX_NUMBER_WORDS = 16
_NEGATIVE = re.compile(r"(?:negative|minus)\s+")
_IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "tooth": "teeth",
    "mouse": "mice",
    "die": "dice",
}


@lru_cache(maxsize=1)
def _nouns() -> frozenset[str]:
    text = files("reasonenv.verify").joinpath("nouns.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return frozenset(" ".join(lines).split())


def is_unit(phrase: str, letters: frozenset[str] = LETTERS) -> bool:
    """Whether `phrase`, behind a number, is a unit or a counted thing: "km/h", "square feet", "dollars per day".

    `letters` are the single letters that count; behind upright letters of LaTeX they are `SYMBOLS`.
    """
    words = _SEPARATOR.split(_EXPONENT.sub("", phrase).strip(" .,;:()"))
    words = [word for word in words if word]
    if not 0 < len(words) <= _MAX_WORDS:
        return False
    kinds = {_kind(word, letters) for word in words}
    return None not in kinds and "unit" in kinds


def unit_of(phrase: str) -> str:
    """One spelling of a unit, to tell whether two are the same: singular, lower case, without dots and spaces."""
    words = _SEPARATOR.split(_EXPONENT.sub(_exponent, phrase))
    spellings = []
    for word in filter(None, words):
        spelling = word if word in SYMBOLS else _singular(word.lower())
        spellings.append(_SPELLINGS.get(spelling, spelling))
    return " ".join(spellings)


def _exponent(match: re.Match[str]) -> str:
    written = match[0].strip("^{} ")
    return {"squared": "2", "cubed": "3"}.get(written, written)


def in_words(text: str) -> Fraction | None:
    """The number that words say: "twenty-one", "a dozen", "two and a half"; None for everything else."""
    text = text.lower().replace("-", " ").strip()
    if sign := _NEGATIVE.match(text):
        value = in_words(text[sign.end() :])
        return None if value is None else -value
    head, _, part = text.partition(" and ")
    fraction = _simple(part) if head else None
    whole = _simple(head)
    if whole is not None and fraction is not None and fraction < 1:
        return whole + fraction
    return _simple(text.replace(" and ", " "))


def _simple(text: str) -> Fraction | None:
    """A number in words without a sign: groups of cardinals, and scales that multiply them."""
    words = text.split()
    if words[:2] == ["half", "a"]:
        words = ["half", *words[2:]]
    if not 0 < len(words) <= _MAX_NUMBER_WORDS or words[-1] in ("a", "an"):
        return None
    total, group = Fraction(0), Fraction(-1)  # a group below 0 has not begun
    for word in words:
        if word in NUMBER_WORDS and _may_follow(NUMBER_WORDS[word], group):
            group = max(group, Fraction(0)) + NUMBER_WORDS[word]
        elif word in ("hundred", "hundreds"):
            group = 100 * abs(group)
        elif word == "half" and group < 0 and words != [word]:  # half a dozen
            group = Fraction(1, 2)
        elif word in SCALES and (group >= 0 or words == [word]):
            total, group = total + abs(group) * SCALES[word], Fraction(-1)
        else:
            return None
    return total + max(group, Fraction(0))


def _may_follow(value: int, group: Fraction) -> bool:
    """Whether a number word goes on with a group: "five" with "twenty" and "two hundred", and never with "ten"."""
    if group < 0:
        return True
    return value > 0 and (group % 100 == 0 < group or (value < 10 and group % 10 == 0 and group % 100 > 10))


def _kind(word: str, letters: frozenset[str]) -> str | None:
    """`unit`, `modifier` or None for a word behind a number."""
    lower = word.lower()
    if not _LETTERS.fullmatch(word):
        return None
    if len(word) == 1 and word.isalpha():
        known = word in letters or word == "Ω"
    elif lower in SCALES or lower in NUMBER_WORDS:
        return None
    else:
        known = word in SYMBOLS or word[0] in "°'" or bool({lower, lower.removesuffix("s")} & _ABBREVIATIONS)
        known = known or bool(_forms(lower) & (_MEASURES | _nouns()))
    if known or lower in _ALONE:
        return "unit"
    return "modifier" if lower in _MODIFIERS else None


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _forms(word: str) -> set[str]:
    """The word, and what its singular and its plural may be."""
    if len(word) < 3:
        return {word}
    forms = {word, _singular(word), word + "s", _IRREGULAR.get(word, word)}
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        forms.add(word + "es")
    if word.endswith("y"):
        forms.add(word[:-1] + "ies")
    return forms
