"""How a text of the environment stands in an episode: as a turn of the chat template, or as lines of a plain prompt.

What stands there is encoded once and appended; nothing before it is touched. The names of control tokens in a text,
such as `<|im_end|>` in the result of a search, are ordinary text: nobody but the template and the policy ends a turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reasonenv.errors import UserError
from reasonenv.tokenizer import Message, Tokenizer

QUESTION, ANSWER = "a question", "an answer"
CALL_ID = "call00001"  # some templates want nine letters or digits


class Turns:
    """Texts of the environment as tokens, behind the token that ends a turn of the policy."""

    def __init__(self, tokenizer: Tokenizer, *, templated: bool) -> None:
        self.tokenizer = tokenizer
        self.templated = templated

    def inline(self, text: str) -> list[int]:
        """`text` as it is, within a turn of the policy."""
        return self.tokenizer.encode_parts(self.tokenizer.literal(text))

    def user(self, text: str) -> list[int]:
        """`text` as a turn of the user, or as lines of its own."""
        if not self.templated:
            return self.inline(f"\n{text}\n")
        before = self.tokenizer.chat([QUESTION])
        whole = self.tokenizer.chat([QUESTION, ANSWER, self.tokenizer.literal(text)])
        return self._behind_end(whole[len(before) + len(ANSWER) :])

    def tools(self, results: Sequence[str]) -> list[int]:
        """The results of tools as turns of theirs."""
        messages = [{"role": "user", "content": QUESTION}, call_message("tool", {"argument": ANSWER})]
        for text in results:
            content = self.tokenizer.literal(text)
            messages.append({"role": "tool", "tool_call_id": CALL_ID, "name": "tool", "content": content})
        return self._behind_end(self.tokenizer.render(messages).partition(ANSWER)[2])

    def _behind_end(self, text: str) -> list[int]:
        """The tokens of what a template writes, behind the one that closes the turn of the policy."""
        tokenizer = self.tokenizer
        ids = tokenizer.encode_parts(text)
        end = next((n for n, token in enumerate(ids) if token in tokenizer.ends), None)
        if end is None or end + 1 == len(ids) or ids[-1] in tokenizer.ends:
            ends = ", ".join(tokenizer.pieces[i] for i in tokenizer.ends)
            raise UserError(
                f"the chat template does not close an answer with EOS or another end ({ends}); use prompt=plain"
            )
        return ids[end + 1 :]


def call_message(name: str, arguments: Mapping[str, Any]) -> Message:
    """A turn of the policy that calls one tool."""
    function = {"name": name, "arguments": dict(arguments)}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "id": CALL_ID, "function": function}],
    }
