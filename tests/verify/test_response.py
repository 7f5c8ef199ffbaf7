"""What of a response counts: what stands behind the thoughts and before the next turn or question."""

import pytest

from reasonenv.verify.extract import find_answer
from reasonenv.verify.response import final_part


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>maybe \boxed{4}</think> \boxed{5}", "5"),
        ("<think>The answer is 4.</think>\nThe answer is 5.", "5"),
        ("The answer is 4</think>\n5", "5"),  # the template has opened the thoughts
        ("<think>a</think> 4 <think>b</think> 5", "5"),
        ("<reasoning>4</reasoning><answer>5</answer>\nDone in 3 steps.", "5"),
        ("<|channel|>analysis<|message|>4<|end|><|start|>assistant<|channel|>final<|message|>5", "5"),
        (r"<think>\boxed{5}", None),  # thoughts that never end say nothing
        (r"<think>\boxed{5}</think>", None),
        ("#### 5<|im_end|>\n#### 6", "5"),
        ("#### 5\n\nQuestion: What is 5 + 5?\nAnswer: 5 + 5 = 10\n#### 10", "5"),
        ("The answer is 5.\n\nQ: What is 2 + 2?\nA: The answer is 4.", "5"),
        ("Question: What is 2 + 3?\nThe answer is 5.", "5"),  # a question before any answer is the one at hand
    ],
)
def test_the_answer_is_that_of_the_final_part(text: str, answer: str | None) -> None:
    assert find_answer(text) == answer


def test_text_without_any_of_these_is_left_as_it_is() -> None:
    text = "So 3 < 4 and [x] holds.\nProblem solved: 7"
    assert final_part(text) == text
