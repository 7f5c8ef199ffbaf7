r"""Pairs of answers that are the same, and pairs that are not, by kind. Each is judged in both directions.

The truth is mathematics, or a decision that `docs/verifier.md` gives a reason for. "a | b" is one pair.
"""

from __future__ import annotations

import pytest

from reasonenv.core import Reason
from reasonenv.verify.algebra.compare import compare

EQUAL = {
    "percent": r"""
        28\% | 0.28
        28\% | \frac{7}{25}
        150\% | 150
        33\frac{1}{3}\% | \frac{1}{3}
        x=28\% | 0.28
        28\% | 28 \text{ percent}
    """,
    "units": r"""
        5\sqrt{2}\text{ m} | 5\sqrt2
        18\ \mathrm{kg\,m^{-3}} | 18
        18\,\text{N}\cdot\text{m} | 18
        18\ \frac{\text{m}}{\text{s}^2} | 18
        18\,\mu\text{m} | 18
        6.022\times10^{23}/\text{mol} | 6.022\times10^{23}
        36\pi\text{ cubic inches} | 36\pi
        2\pi\text{ million} | 2000000\pi
        20\ ^\circ C | 20
        14\text{ cm}+2\text{ cm} | 16
    """,
    "variables": r"""
        2k | 2 k
        2k | 2\,k
        2m | m+m
        6m | 6\cdot m
        x^2 | \mathrm{x}^2
        x^2+C | x^2+\text{C}
        b^2-4ac | -4 a c+b^2
        \pi r^2h | \pi hr^2
    """,
    "upright": r"""
        1\text{0} | 10
        7\text{.5} | 7.5
        7\text{, 8, 9} | 7,8,9
        1.5\text{e}3 | 1500
        -5 | \text{negative }5
        \text{(3, 4)} | (3,4)
        \text{1, 2, and 3} | \{1,2,3\}
    """,
    "names": r"""
        2x+3 | y=2x+3
        2x+3 | 2x+3=y
        2x+3 | T(x)=2x+3
        2x+3 | f'(x)=2x+3
        2x+3 | f^{\prime}(x)=2x+3
        2x+3 | f^{-1}(x) = 3+2x
        2x+3 | = 2x+3
        2x+3 | \text{Answer: }2x+3
        2x+3 | \frac{dy}{dx}=2x+3
        2n+1 | a_{n} = 2n+1
        y=2x+3 | f(x)=2x+3
        y=2x+3 | 2x-y+3=0
        \pi r^2 h | V=\pi r^2 h
        5 | 5=x
        5 | |AB|=5
        5 | \overline{AB}=5\text{ cm}
        5 | x\in\{5\}
        5 | f(2)=5
        x=5 | x_1=5
        \frac12 | \cos\theta=\frac12
        \frac{1}{\sqrt6} | \frac{NO}{BO}=\frac{1}{\sqrt{6}}
        (3,4) | (x,y)=(3,4)
        (3,4) | P(3,4)
        (3,4) | \text{The point }(3,4)
        (3,4) | x = 3 \quad y = 4
        (3,4) | \begin{cases}x=3\\y=4\end{cases}
        (1,2),(3,4) | (x,y)=(1,2),(3,4)
        (2,1) | (y,x)=(1,2)
        xy=6 | y=\frac6x
        (5,2),(7,2) | p=5,q=2;p=7,q=2
    """,
    "unknown functions": r"""
        2f(0) | f(0)+f(0)
        f(x+1) | f(1+x)
        f(x)+g(x) | g(x)+f(x)
        n(n+1) | n^2+n
    """,
    "sets of reals": r"""
        (-\infty,3) | \{x\mid x<3\}
        (-\infty,3) | \{x\in\mathbb{R} : x<3\}
        (-\infty,3) | \{x|x<3\}
        (-\infty,3) | ]-\infty,3[
        (-\infty,3) | 2x<6
        (-\infty,3) | -x>-3
        [1,3) | x\ge 1 \text{ and } x<3
        [1,3) | x\ge 1, x<3
        [1,3[ | [1,3)
        (-\infty,-1)\cup(3,\infty) | x<-1, x>3
        (-\infty,-1)\cup(3,\infty) | \mathbb{R}\setminus[-1,3]
        (-\infty,-1)\cup(3,\infty) | (-\infty,-1), (3,\infty)
        (-\infty,-1)\cup(3,\infty) | (-\infty,-1)\text{ or }(3,\infty)
        (-\infty,-1)\cup(3,\infty) | \{x\mid x<-1\text{ or }x>3\}
        (-\infty,-4)\cup(-4,6)\cup(6,\infty) | ((-\infty,-4)\cup(-4,6))\cup(6,\infty)
        (-\infty,3)\cup(3,\infty) | x\neq 3
        (-\infty,3)\cup(3,\infty) | \mathbb{R}-\{3\}
        (-\infty,3)\cup(3,\infty) | \text{all real numbers except }3
        (-\infty,-2)\cup(-2,2)\cup(2,\infty) | x\ne\pm2
        (-\infty,-2)\cup(-2,2)\cup(2,\infty) | x\ne -2,2
        [0,4)\cup(4,\infty) | x\ge 0, x\ne 4
        (-\infty,\infty) | \text{all real numbers}
        [1,2)\cup[2,3] | [1,3]
        [\sqrt2,2)\cup\{2\} | [\sqrt2,2]
        \{-1,1\}\cup(2,\infty) | \{-1\}\cup\{1\}\cup(2,\infty)
        (1,3) | (0,3)\cap(1,5)
        \emptyset | (-\infty,-1)\cap(3,\infty)
        \emptyset | \text{No solutions}
        \emptyset | \{\}
        0<f(x)<1 | (0,1)
        |x|<1 | (-1,1)
        \mathbb{R}\setminus\{1,2\} | x \notin \{1,2\}
        \{1\} | [1,1]
        |2x-4|\ge 2 | (-\infty,1]\cup[3,\infty)
        1\le|z|\le\frac32 | [-\frac32,-1]\cup[1,\frac32]
    """,
    "finite sets": r"""
        \{1,2,3\} | \{1\}\cup\{2,3\}
        \{2,3\} | \{1,2,3\}\cap\{2,3,4\}
        \{1,2,3\} | x\in\{1,2,3\}
        \{1,2,3\} | \{x\mid x=1,2,3\}
        5 | 5, 5
        (2,9) | (2,9), (2,9)
        8 | \max(3,8)
        12 | \operatorname{lcm}(4,6)
        5 | \{5,5\}
        5 | x=5, x=5
        5 | 5 (=2+3)
        5 | 5\text{ or }5.0
        5 | 5\text{ (five)}
    """,
    "approximations": r"""
        \sqrt2 | \sqrt{2}\approx 1.414
        1.414 | \sqrt2\approx1.414
        \sqrt2 | \sqrt2 (\approx 1.41)
        3.14 | x\approx 3.14
        3.14 | \text{approximately }3.14
        3.14 | 3.14 (approx.)
        3.14 | 3.14\dots
        \frac13 | 0.333\ldots
        \frac13 | 0.333...
        \frac13 | 0.\bar{3}
        \frac{2}{15} | 0.1(3)
        \frac13 | x=\frac13\approx 0.333
    """,
    "bases": r"""
        52_8 | (52)_8
        52_8 | 52_{eight}
        52_8 | 52_\text{eight}
        52_8 | 52_{(8)}
        52_8 | 52\text{ (base 8)}
        52_8 | 52 \text{ in base } 8
        52_8 | \text{52}_8
        A3_{16} | \mathrm{A3}_{16}
        \text{A}3_{16} | A3_{16}
        0.0011_2 | 0.0011_{2}
        -221_3 | -221_{3}
        10_{10} | 10
    """,
    "ratios and times": r"""
        3:4 | 3 : 4
        3:4 | 3{:}4
        3:4 | 3\text{ to }4
        3:4 | \frac34
        3:4 | 6:8
        1:2:3 | 2:4:6
        5:30 | 05:30
        5:30\text{ p.m.} | 5:30 PM
        5:30\text{ p.m.} | 5:30
    """,
    "binomials, roots, floors": r"""
        \frac{n(n+1)}{2} | {n+1 \choose 2}
        \binom{n}{k} | \frac{n!}{k!(n-k)!}
        \binom{n}{k} | _nC_k
        120 | C_{10}^3
        120 | C^3_{10}
        n 2^{n-1} | 2^{n-1}n
        2\sqrt3 | 2 root 3
        2\sqrt3 | √12
        2\sqrt3 | \sqrt3 2
        \lfloor x\rfloor | \text{floor}(x)
        \lfloor x\rfloor+1 | \lfloor x+1\rfloor
        \lceil x\rceil | -\lfloor -x\rfloor
        \sum_{k=1}^n k^2 | \sum_{j=1}^{n}j^2
        1+2+\cdots+n | n(n+1)/2
        1+3+5+\dots+(2n-1) | n^2
        1+\sum_{k=1}^n 2k | \sum_{k=1}^n 2k+1
    """,
    # where both sides are real, x and y have one sign
    "logarithms": r"""
        \ln\left(\frac{x}{y}\right) | \ln x-\ln y
        \ln x^2 | 2\ln |x|
    """,
    "words": r"""
        \text{DNE} | does not exist
        \text{Tuesday} | Tuesday.
        \infty | \text{infinite}
    """,
    "arrays": r"""
        \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix}1&2\\[4pt]3&4\end{bmatrix}
        \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\cr3&4\end{pmatrix}
        \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}^T
        \begin{pmatrix}\frac12&0\\0&\frac12\end{pmatrix} | \frac{1}{2}\begin{pmatrix}1&0\\0&1\end{pmatrix}
        \begin{pmatrix}4&6\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}+\begin{pmatrix}3&4\end{pmatrix}
        \begin{pmatrix}1\\2\\3\end{pmatrix} | (1,2,3)^T
        \begin{pmatrix}1\\2\\3\end{pmatrix} | \mathbf{i}+2\mathbf{j}+3\mathbf{k}
        \begin{pmatrix}1\\2\\3\end{pmatrix} | i+2j+3k
        (1,0,-3) | \hat{i}-3\hat{k}
        10 | \begin{vmatrix}2&-1\\0&5\end{vmatrix}
    """,
    "angles and complex numbers": r"""
        30^\circ | 30^{o}
        \arctan 2+\arctan\frac{1}{2} | \frac{\pi}{2}
        4\arctan\frac15-\arctan\frac{1}{239} | \frac{\pi}{4}
        \overline{5+2i} | 5-2i
        30.5^\circ | 30^\circ 30'
        30^\circ | m\angle ABC=30^\circ
        \arctan 1 | 45^\circ
        3+4i | 3+4j
        3+4i | 3+i4
        \frac12+\frac{\sqrt3}{2}i | \operatorname{cis}60^\circ
    """,
    # v0 sqrt(r0/(r+r0)) / (r+r0) = v0 r0^(1/2) (r+r0)^(-3/2) = v0/r0 (1+r/r0)^(-3/2)
    "real powers": r"""
        \sqrt[3]{27t^3} | 3t
        \frac{v_0(\frac{r_0}{r+r_0})^{0.5}}{r+r_0} | \frac{v_{0}}{r_{0}}\frac{1}{(1+r/r_{0})^{3/2}}
    """,
}

DIFFERENT = {
    "percent": r"""
        0.5\% | 0.5
        \frac14\% | \frac14
        28\% | 28.5
        1\% | 1
    """,
    "units and words": r"""
        5\text{ quarters} | 5
        5\text{ million} | 5
        5\text{ splorks} | 5
        2 n | 2
        2m | 2
        2s | 2m
        1\text{ m}+50\text{ cm} | 51
        2 abc | 2
        5 is wrong | 5
        \text{not }7 | 7
        5\text{ (six)} | 5
        \text{the number of roots of }5 | 5
        \text{twice }5 | 5
        \text{at least }5 | 5
        5\text{ mod }7 | 5
        x=5,y=5 | 5
    """,
    "upright": r"""
        1\text{0} | 1
        7\text{.5} | 7
        7\text{^3} | 7
        7\text{, 8, 9} | 7
        \text{minus: }7 | 7
        \text{negative}=7 | 7
        7\mathrm{00} | 7
    """,
    "unknown functions": r"""
        f(0) | 0
        2f(0) | f(0)
        f(2) | 2f
        I(0) | 2I(0)
        f(x) | g(x)
        f'(x) | f(x)
    """,
    "two readings": r"""
        3 4 | 12
        3 4 | 34
        x2 | 2x
        \sqrt12 | \sqrt{12}
    """,
    "names": r"""
        y=2x+3 | x=2y+3
        y=2x+3 | 2x-3
        2x+3=0 | 2x+3
        2x=10 | x=5
        x=5 | y=5
        AB=5 | CD=5
        f'(x)=2x | f(x)=2x
        P(3,4) | (4,3)
        x=3, y=4 | (4,3)
        p=5,q=2;p=7,q=2 | (5,2),(7,3)
    """,
    "sets of reals": r"""
        (-\infty,3) | (-\infty,3]
        x\ne 3 | 3
        x\ne 3 | x\ne 4
        \mathbb{R}\setminus\{3\} | \mathbb{R}
        \mathbb{R} | \mathbb{Z}
        x<1\text{ and }x>3 | (-\infty,1)\cup(3,\infty)
        \{x\in\mathbb{Z} : x<3\} | (-\infty,3)
        (0,3)\cup(1,5) | (0,3)\cap(1,5)
        ]0,12.5[ | [0,12.5]
        [1,3] | \{1,2,3\}
        \text{none} | 0
    """,
    "finite sets": r"""
        \{\emptyset\} | \emptyset
        \{1,\{2\}\} | \{1,2\}
        1,2,2 | 1,2,3
        4, 9, \ldots | 4, 9
        5=6 | 5
        6=5 | 5
        5>4 | 5
        5\ne 6 | 5
        5 (=2+2) | 5
    """,
    "approximations": r"""
        \sqrt2\approx 1.5 | \sqrt2
        \sqrt2\approx 1.5 | 1.5
        0.333 | \frac13
        0.33... | \frac13
    """,
    "bases": r"""
        52_8 | 528
        52_8 | 42
        52_8 | 52_7
        5_8 | 5
    """,
    "ratios and times": r"""
        3:4 | 4:3
        3:4 | 34
        5:30 | \frac16
        12:00 | 12
        5:30\text{ a.m.} | 5:30\text{ p.m.}
    """,
    "arrays": r"""
        (1,2,3)^T | \begin{pmatrix}1&2&3\end{pmatrix}
        \begin{pmatrix}1&2\\3&4\end{pmatrix} | 1,2
        \mathbf{i}+2\mathbf{j}+3\mathbf{k} | (1,3,2)
    """,
    # e^-900 = 2^-1298; tanh(1000) = 1 - 2 e^-2000; sin(y) < y
    "far behind the point": r"""
        5+e^{-900} | 5
        5+e^{-999}\pi^{-999} | 5
        \sin(10^{-300})+5 | 5
        \tanh(1000) | 1
        \tanh(10000) | 1
        5\tanh(900) | 5
        5+e^{-10^6} | 5
        |x-5| | 5-x
        x7^{100}-1 | x7^{100}-k
    """,
    "exact": r"""
        1/12 | 0.0833
        \frac{\sqrt3}{2} | 0.866
        30^\circ 30' | 30
        \sin 30 | \frac12
        \vec{AB} | \vec{BA}
        \lfloor x\rfloor | x
        \sum_{k=1}^n k | \sum_{k=0}^n k
        3+4j | 4+3i
    """,
}

# 0/0, tan 90 degrees and ln 0 have no value, whatever is done with them.
UNDEFINED = (
    r"\frac{5\ln1}{\ln1}",
    r"\frac{5\sin\pi}{\sin\pi}",
    r"5+\tan90^\circ-\tan90^\circ",
    r"1^{\ln 0}",
    r"\log_1 5",
    r"(\sin\pi)^{-1}",
    r"0^{\sin\pi}",
    r"\frac{1}{\sqrt{3+2\sqrt2}-1-\sqrt2}",
)


def _pairs(kinds: dict[str, str]) -> list[tuple[str, str]]:
    lines = [line.strip() for block in kinds.values() for line in block.strip().split("\n")]
    pairs = [tuple(line.rsplit(" | ", 1)) for line in lines]
    return [(one, other) for one, other in pairs] + [(other, one) for one, other in pairs]


@pytest.mark.parametrize(("answer", "gold"), _pairs(EQUAL))
def test_equal(answer: str, gold: str) -> None:
    assert compare(answer, gold) is Reason.CORRECT


@pytest.mark.parametrize(("answer", "gold"), _pairs(DIFFERENT))
def test_different(answer: str, gold: str) -> None:
    assert compare(answer, gold) not in (Reason.CORRECT, Reason.ERROR)


@pytest.mark.parametrize("text", UNDEFINED)
def test_what_is_undefined_is_unreadable(text: str) -> None:
    assert compare(text, "5") is Reason.UNPARSABLE_ANSWER
    assert compare(text, text) is Reason.UNPARSABLE_GOLD
