"""Chat templates: what may be written in them over several turns, and why not."""

from __future__ import annotations

import pytest

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.tasks import Task, render_prompt
from reasonenv.tokenizer import Tokenizer, byte_tokenizer
from reasonenv.verify.grade import verify_math

OPENS = "{% if add_generation_prompt %}<a>{% endif %}"
STABLE = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<e>{% endfor %}" + OPENS
# Writes how many turns there are before the first of them.
COUNTS = "[{{ messages | length }}]" + STABLE
# Thoughts belong to the last turn only: the opening of an earlier answer is not what it was when it was written.
THINKS = STABLE.replace("<a>{% endif", "<a><think>{% endif")
CLOSED = STABLE.replace(OPENS, "")


def templated(template: str) -> Tokenizer:
    hf = byte_tokenizer().hf
    hf.chat_template = template
    return Tokenizer(hf)


def test_a_template_that_keeps_its_turns_is_used() -> None:
    tokenizer = templated(STABLE)
    assert tokenizer.template_fault is None
    assert tokenizer.chat(["q", "r", "s"]) == "<u>q<e><a>r<e><u>s<e><a>"


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (COUNTS, "changes earlier turns when a turn is appended"),
        (THINKS, "changes earlier turns when a turn is appended"),
        (CLOSED, "does not open the answer"),
    ],
)
def test_a_template_that_does_not_is_refused_for_several_turns_with_the_reason(template: str, fault: str) -> None:
    tokenizer = templated(template)
    assert tokenizer.chat(["q"])  # one prompt and its answer are never written again
    with pytest.raises(UserError, match=fault):
        tokenizer.chat(["q", "r", "s"])
    problem = Problem("p", "1+1?", "2")
    task = Task("T", "train", [problem], verify_math, examples=(Problem("e", "2+2?", "4"),))
    with pytest.raises(UserError, match="use prompt=plain"):
        render_prompt(task, problem, tokenizer, "few_shot")
