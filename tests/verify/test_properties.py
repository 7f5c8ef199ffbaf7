"""Whatever a model writes, every public function of the verifiers returns, and nothing but a verdict comes out."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reasonenv.core import Reason
from reasonenv.verify.choice import compare_choice, find_choice, read_choice
from reasonenv.verify.extract import POLICIES, find_answer, step_value
from reasonenv.verify.grade import grade
from reasonenv.verify.notation import characters
from reasonenv.verify.numeric import parse_number

# Plain text, and text out of the pieces that the patterns look for.
PIECES = (
    *(
        r"\boxed{",
        "}",
        "{",
        "#### ",
        "the answer is ",
        "```",
        "```python\n",
        "\n",
        " ",
        ".",
        ",",
        "-",
        "$",
        "%",
        "/",
        "^",
    ),
    *("1,234", "0.5", "7", "9" * 500, "1e999", "٣", "\x00", "\ud800", "B", "(b)", "option", "or", r"\frac{1}{2}", "x"),
)
HOSTILE = st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def stands_in(answer: str, text: str) -> bool:
    """Whether the characters of an answer stand in a text in this order; joined ones leave others between them out."""
    rest = iter(text)
    return all(character in rest for character in answer)


@settings(deadline=None)
@given(HOSTILE)
@example(r"\boxed{0}A")  # a part of the formula "0A"
@example(r"-\boxed{7}")
@example(r"\frac{\boxed{7}}{2}")
def test_what_is_found_stands_in_the_text(text: str) -> None:
    for answer in (*(find_answer(text, policy) for policy in POLICIES), find_choice(text)):
        # boxes that are joined are written as a list, and a JSON string without its escapes
        assert (
            answer is None
            or ", " in answer
            or '"' in text
            or stands_in(answer, text)
            or stands_in(answer, characters(text))
        )
    step_value(text)
    parse_number(text)


@settings(deadline=None)
@given(HOSTILE, st.lists(HOSTILE, max_size=4))
def test_a_choice_is_one_of_the_letters_or_none(text: str, choices: list[str]) -> None:
    letter = read_choice(text, choices)
    assert letter is None or ("A" <= letter <= "Z" and (not choices or ord(letter) - ord("A") < len(choices)))
    assert isinstance(compare_choice(text, "B", choices), Reason)


@settings(deadline=None)
@given(HOSTILE, HOSTILE)
def test_every_text_and_gold_get_a_verdict_without_algebra(text: str, gold: str) -> None:
    for kind in ("numeric", "choice"):
        verdict = grade(text, gold, kind=kind)
        assert verdict.correct == (verdict.reason is Reason.CORRECT)
        assert verdict.gold == gold
        assert verdict.reason is not Reason.ERROR
