"""Finding answers: the mark that stands last counts, and no text is expensive."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.verify.extract import find_answer, step_value
from reasonenv.verify.numeric import parse_number


@pytest.mark.parametrize(
    ("text", "marked", "found"),
    [
        ("1+1=2\n#### 18", "18", "18"),
        ("####18 apples\nand 5 more", "18 apples", "18 apples"),
        ("#### 3 #### 4", "4", "4"),
        ("#### 3, 4, 5", "3, 4, 5", "3, 4, 5"),
        (r"so \boxed{\frac{1}{2}} of 7", r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"\boxed{\text{a \} b} 5} 7", r"\text{a \} b} 5", r"\text{a \} b} 5"),
        (r"\boxed{\boxed{5}}", "5", "5"),
        (r"\boxed{3} no, \boxed{4", "3", "3"),  # never closed: no mark
        (r"\boxed{5", None, "5"),
        (r"\boxed{} 5", None, "5"),
        ("####\n5", None, "5"),
        ("##### 7", None, "7"),  # a heading
        ("The answer is 18.50 dollars. I used 3 steps.", "18.50 dollars", "18.50 dollars"),
        ("the final answer is:\n**18**", "**18**", "**18**"),
        ("The answer is therefore 3.", "3", "3"),
        ("The answer is 3. Wait, the answer is 4", "4", "4"),
        (r"The final answer is $\boxed{18}$.", "18", "18"),
        (r"\boxed{18} #### 19", "19", "19"),
        (r"#### 19 \boxed{18}", "18", "18"),
        (r"\boxed{18}, so the answer is 20", "20", "20"),
        ("the answer is 20\n#### 21", "21", "21"),
        ("none", None, None),
        ("", None, None),
        ("He has 1,234 in all.", None, "1,234"),
        ("He has 5 of 1,234.", None, None),
        ("5, 6", None, "5, 6"),  # several values: a list, and none of them
        ("is -$5.", None, "-$5"),
        ("10-5", None, "10-5"),  # after an operand a minus subtracts: nothing but an expression
        ("12 -5", None, "12 -5"),
        ("it is 12 -5", None, None),
        ("it took 3 1/2 hours", None, "3 1/2"),
        ("on 12/25/2024", None, None),
        (r"leaves \frac{3}{4} of it", None, r"\frac{3}{4}"),
        ("about 1.5e3 m", None, "1.5e3"),
        (r"so the area is 2\pi", None, None),  # 2 is no answer, and no number stands alone at the end
        (r"so the area is $2 \pi$.", None, r"2 \pi"),  # a formula at the end is read whole
        (r"so it is \sqrt{5}", None, None),
        (r"so it is 3\sqrt{2}", None, None),
        ("so it is 3 sqrt(2)", None, None),
        ("so it is 2√3", None, None),
        ("that gives x^2", None, None),
        ("that gives 2^{10}", None, None),
        ("that gives 2x", None, None),
        ("that makes 5k", None, "5k"),
        ("that makes 5m (or less) - a lot", None, "5"),
        ("it is the 2nd", None, None),
        ("it took 18 (eggs)", None, "18"),
        ("by x_1 = 4", None, "4"),
    ],
)
def test_the_last_mark_counts_and_only_without_one_the_last_number(
    text: str, marked: str | None, found: str | None
) -> None:
    assert find_answer(text, "marked") == marked
    assert find_answer(text, "last_number") == found


@given(st.text(), st.integers(-(10**9), 10**9))
def test_a_mark_at_the_end_is_found_behind_any_text(before: str, n: int) -> None:
    assert find_answer(f"{before}\n#### {n}", "marked") == str(n)
    assert find_answer(f"{before}\n\\boxed{{{n}}}", "marked") == str(n)
    assert find_answer(f"{before}\nThe answer is {n}", "marked") == str(n)


@given(st.lists(st.sampled_from(["#", "##", "####", "\n", " ", "7"])).map("".join))
def test_exactly_four_hashes_are_a_mark(text: str) -> None:
    # Said as a pattern: the body is the rest of the line, or all before the next mark, and an empty one is none.
    bodies = [body.strip() for body in re.findall(r"(?<!#)####(?!#)((?:(?!(?<!#)####(?!#))[^\n])*)", text)]
    assert find_answer(text, "marked") == next((body for body in reversed(bodies) if body), None)


@given(st.lists(st.integers(0, 10**9), min_size=2))
def test_the_last_of_many_numbers_counts_only_if_it_stands_alone(numbers: list[int]) -> None:
    written = [str(number) for number in numbers]
    assert find_answer("So:\n" + "\n".join(written)) == written[-1]
    assert find_answer("So there are " + " and ".join(written)) is None
    assert find_answer("So there are " + ", ".join(written)) is None


def test_an_unknown_policy_is_a_user_error() -> None:
    with pytest.raises(UserError, match="did you mean marked"):
        find_answer("5", "market")


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("7+5=12", 12),
        ("3-8=-5", -5),
        ("So 48/2 = $<<48/2=24>>24 in 7 days", 24),
        ("she has 3+4 = 7 apples in 2 bags", 7),
        ("S + 143 = 200 - 16 = 184.", 184),
        ("pay = $270.50", Fraction(541, 2)),
        ("24 / 16 = 3/2", Fraction(3, 2)),
        ("60 * 10% = 6 per day, 5 days", 6),
        ("$20/hour * 35 = $700/week", 700),
        ("so 60 remain", 60),
        ("no numbers", None),
        ("x = 3 + y", None),
        ("A = 5 * 3", None),  # an operation that is not carried out is no value
        ("2p/5 = 2p", None),
        ("86 = 43(2)", None),
        ("#### 12", None),
        ("", None),
    ],
)
def test_step_value(step: str, value: Fraction | None) -> None:
    assert step_value(step) == value


M = 100_000
HOSTILE = {
    "open boxes": (r"\boxed{" * M, None),
    "nested boxes": (r"\boxed{" * M + "}" * M, None),
    "empty boxes": (r"\boxed{}" * M, None),
    "backslashes": (r"\boxed{" + "\\" * 10 * M, None),
    "braces": ("{" * 10 * M, None),
    "hashes": ("#" * 10 * M, None),
    "empty marks": ("####\n" * M, None),
    "empty phrases": ("the answer is " * M, None),
    "empty sentences": ("the answer is . " * M, None),
    "spaces": ("the" + " " * 10 * M, None),
    "fractions": (r"\frac{" * M + "1", None),
    "many numbers": ("1 " * 5 * M, None),
    "commas": ("1," * 5 * M, None),
    "signs": ("-" * 10 * M + "5", None),
    "open tags": ("<answer>" * M, None),
    "closing tags": ("</answer>" * M, None),
    "closed thoughts": ("</think>" * M + "5", "5"),
    "open strings": ('"answer":' * M, "answer"),
    "questions": ("\nQuestion: 5" * M, "5"),
    "articles": ("the " * 2 * M + "answer", None),
    "brackets": ("(" * 10 * M + "5", None),
    "lines": ("\n" * 10 * M + "5", "5"),
    "dollars": ("$5 " * M, None),
    "superscripts": ("²" * 10 * M, None),
    "equations": ("=" * 10 * M, None),
    "annotations": ("<<>>" * 2 * M, None),
    "unicode digits": ("٣" * 10 * M, None),
    "nul bytes": ("\x00" * 10 * M, None),
}


@pytest.mark.parametrize(("text", "found"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_megabyte_of_anything_is_read_in_one_pass(text: str, found: str | None) -> None:
    # A scan that is quadratic in a million characters would not come back while anybody waits.
    assert find_answer(text) == found
    assert find_answer(f"{text}\n#### 7") == "7"
    assert step_value(text) in (None, 1, 5, -5)


@pytest.mark.parametrize("text", ["9" * 10**6, "1" + ",234" * 250_000, "0." + "3" * 10**6, "1e" + "9" * 10**6])
def test_a_number_of_a_million_digits_is_no_value(text: str) -> None:
    assert find_answer(text) is None  # of which only a piece would be looked at
    for answer in (find_answer(f"#### {text}"), text):
        assert answer is not None
        assert parse_number(answer) is None
    assert step_value(f"1+1={text}") is None


@given(st.text(alphabet="\\boxed{}#<>= the answer is 0123456789.,/-$\n"))
def test_no_text_raises(text: str) -> None:
    assert isinstance(find_answer(text), str | None)
    step_value(text)
