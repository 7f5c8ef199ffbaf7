"""plain: one spelling for what looks alike, and nothing that changes a value is dropped."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.verify.notation import MAX_PLAIN, characters, plain


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("７３．５", "73.5"),
        ("٧٣", "73"),
        ("𝟳𝟯", "73"),
        ("−5", "-5"),
        ("‑5", "-5"),
        ("3½", r"3\frac{1}{2}"),
        ("1⁄2", "1/2"),
        ("x²+x⁻¹⁰", "x^{2}+x^{-10}"),
        ("H₂O", "H_{2}O"),
        ("1\u202f234\u00a0567", "1 234 567"),
        ("1\u200b8", "18"),
        ("（3，4）", "(3,4)"),
        ("≈ 3", r"\approx  3"),
        ("“73”", "73"),
        (r"\textbf{B}", r"\text{B}"),
        (r"\text{\textbf{B}}", r"\text{B}"),
        (r"\mathrm{cm}", r"\text{cm}"),
        (r"\boldsymbol{7}", "{7}"),
        (r"\textcolor{blue}{7}", "{7}"),
        (r"\hspace{1mm}7\tag{1}", "7"),
        (r"\dfrac ab", r"\frac ab"),
        (r"\left(1,\,2\right)", "(1, 2)"),
        (r"\begin{pmatrix}1\\[4pt]2\end{pmatrix}", r"\begin{pmatrix}1\\[4pt]2\end{pmatrix}"),
        (r"1{,}234{.}5", "1,234.5"),
        (r"11,\! 111,\! 100", "11,111,100"),
        (r"28{\%}", "28%"),
        (r"30{}^\circ", r"30^\circ"),
        (r"{}_{10}C_3", "_{10}C_3"),
        (r"\mathbf{R}", r"\mathbb{R}"),
        ("__**18**.__", "18"),
        ("`18`.", "18"),
        (".5", ".5"),
        (r"x^{-}", "x^{-}"),
        ("7" + r"\\" * 30, "7"),
    ],
)
def test_what_only_changes_the_looks_is_united(text: str, spelling: str) -> None:
    assert plain(text) == spelling


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_plain_is_a_fixpoint_and_leaves_no_digit_of_another_script(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    decimals = [c for c in characters(text) if unicodedata.category(c) == "Nd"]
    assert all(c.isascii() for c in decimals)


PIECES = [*r"\{}^_ $.,%-+=*`", r"\text{", r"\left", r"\mathbf{", r"\approx", "1", "2", "x"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_latex_reaches_a_fixpoint(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@given(st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,3})?", fullmatch=True))
def test_digits_survive_every_dress(number: str) -> None:
    dresses = (r"\textbf{%s}", "**%s**", "$%s$", r"\left\{%s\right\}", r"\color{red}{%s}", "\u200b%s\ufeff", "`%s`.")
    for dress in dresses:
        assert re.findall(r"[0-9.]+[0-9]|[0-9]", plain(dress % number)) == [number]


def test_a_control_code_is_not_taken_for_a_mark_of_ours() -> None:
    assert characters("2\x015\x03") == "2�5�"


def test_a_long_text_keeps_its_commands() -> None:
    text = r"\mathbf{7}" + "x" * MAX_PLAIN
    assert plain(text) == text
