"""Marks: every way of stating an answer that models use, and nothing of the remark behind it."""

import pytest

from reasonenv.verify.extract import find_answer
from reasonenv.verify.grade import grade
from reasonenv.verify.marks import last_mark, without_remark

STATED = r"""
The answer is 41.
the answer is **41**.
**The answer is: 41**
__The answer is 41__
The final answer is $41$. I hope it is correct.
The correct answer is 41
The answer to the problem is 41.
The answer would be 41
So my answer is 41!
The answer’s 41.
The answer is <b>41</b>.
answer = 41
Answer: 41
**Answer:** 41 apples
ANSWER - 41
Ans: 41
**Final Answer:** \[41\]
答案是41。
最终答案：41
<answer>41</answer>
<answer> \boxed{41} </answer>
{"answer": 41}
{"answer": "41", "steps": 3}
{"final_answer": "\\boxed{41}"}
#### 41
#### **41**.
#### Answer: 41
\boxed{41}
\fbox{41}
\boxed {41}
\boxed 41
\framebox[2cm]{41}
The answer is \boxed{41}.
Answer: \boxed{41} or, in words, forty-one.
The answer is 41 (since 6 * 7 - 1 = 41).
The answer is 41, because 40 + 1 = 41 and 2 > 1.
The answer is 41 - not 42.
The answer is 41, i.e. 40 + 1.
The answer is 41 (forty-one).
The answer is **41** (rounded to 2 digits).
The answer is 41 -> 40 + 1.
The answer is 40 + 1 = 41.
The answer is 41 bolts of shiny fibre.
Answer: 41 (see step 2)
#### 41 (2 steps)
#### 41, because 40 + 1
\boxed{41} (checked 2 ways)
$\boxed{41}$, which took 3 steps.
<answer>41</answer> (5 steps)
The answer is 41<|im_end|>
"""

NOT_STATED = r"""
The answer is not 41.
The answer cannot be 41.
The answer is 41 or 42.
The answer is half of 41.
The answer is up to 41.
Answer: twice 41
#### 41 is wrong
#### not: 41
#### 41 below zero
#### 41 quarters
\boxed{41} million
\boxed{41}^2
\frac{\boxed{41}}{2}
\boxed{41}, then \boxed{42}
The answer is 41².
<answer></answer> 4 1
"""


@pytest.mark.parametrize("text", [line for line in STATED.splitlines() if line])
def test_a_stated_answer_is_read_whatever_stands_around_it(text: str) -> None:
    assert grade(text, "41").correct
    assert grade(text, "41", "numeric").correct
    assert not grade(text, "42", "numeric").correct


@pytest.mark.parametrize("text", [line for line in NOT_STATED.splitlines() if line])
def test_what_is_denied_or_part_of_something_is_not_the_answer(text: str) -> None:
    assert not grade(text, "41").correct
    assert not grade(text, "41", "numeric").correct


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{2} and \boxed{3}", "2, 3"),
        (r"$x=\boxed{2}$ or $x=\boxed{3}$", "2, 3"),
        (r"\boxed{2}, \boxed{3}, and \boxed{5}", "2, 3, 5"),
        (r"\boxed{2}. Hmm, I think the answer is \boxed{3}.", "3"),
        (r"\boxed{2} is wrong, so \boxed{3}", "3"),
    ],
)
def test_boxes_are_one_answer_if_nothing_but_a_connective_parts_them(text: str, answer: str) -> None:
    assert find_answer(text) == answer


def test_a_label_announces_a_brief_answer_and_no_reasoning() -> None:
    # Few-shot prompts begin solutions with "Answer:"; what follows on the line is then no answer.
    solution = "Answer: She has 16 - 3 = 13 eggs left over.\nThat makes 13 * 2 = 26 dollars."
    assert last_mark(solution) is None
    assert find_answer(solution) == "26"
    assert find_answer("Answer: 5 + 5 = 10") == "10"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("18, since 9 * 2 = 18", "18"),
        ("18 (since 9 * 2 = 18)", "18"),
        ("x^2 (= x * x)", "x^2"),
        ("(1, 2)", "(1, 2)"),
        ("f(x)", "f(x)"),
        ("52 (base 8)", "52 (base 8)"),  # no remark: it says which number
        ("because", "because"),
    ],
)
def test_a_remark_begins_with_a_word_that_explains(body: str, answer: str) -> None:
    assert without_remark(body) == answer


def test_a_list_below_a_box_is_no_part_of_it() -> None:
    assert find_answer("\\boxed{41}\n\n- 3 boxes of 10\n- 11 more") == "41"
    assert find_answer("\\boxed{41}\n1. Check: 40 + 1") == "41"
