"""The one place where text and token ids meet: a thin view of a Hugging Face tokenizer that never surprises."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from reasonenv.core import BoolArray, IntArray
from reasonenv.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EOS = "<eos>"


class Tokenizer:
    """`hf` with exact semantics: no special tokens added, none skipped, no spaces cleaned up.

    Raises `UserError` if the tokenizer has no end-of-sequence token: without one, no episode could ever terminate.
    """

    def __init__(self, hf: PreTrainedTokenizerBase) -> None:
        if hf.eos_token_id is None:
            raise UserError(
                f"tokenizer {hf.name_or_path!r} has no EOS token, so no episode could end; "
                "set one (tokenizer.eos_token = ...)"
            )
        self.hf = hf
        self.eos_id = int(hf.eos_token_id)
        self.vocab_size = len(hf)
        self.has_chat_template = bool(getattr(hf, "chat_template", None))

    def encode(self, text: str) -> list[int]:
        """Ids of `text` and of nothing else."""
        return list(self.hf.encode(text, add_special_tokens=False))

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` over many texts at once."""
        ids: list[list[int]] = self.hf(list(texts), add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens included, spaces untouched."""
        if self._plain is not None:
            with contextlib.suppress(ValueError):  # a token over 255
                return bytes(ids).translate(self._plain).decode(errors="replace")
        if self._bytes is not None:
            return b"".join([self._bytes[i] for i in ids]).decode(errors="replace")
        return str(self.hf.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def decode_all(self, rows: Sequence[IntArray]) -> list[str]:
        """`decode` over many arrays at once, most of its cost paid once."""
        if self._plain is not None and rows:
            flat = np.concatenate(rows)
            if flat.max(initial=0) < 256:
                raw = flat.astype(np.uint8).tobytes().translate(self._plain)
                ends = accumulate(map(len, rows), initial=0)
                return [raw[start:end].decode(errors="replace") for start, end in pairwise(ends)]
        return [self.decode(row.tolist()) for row in rows]

    def chat(self, turns: Sequence[str]) -> str:
        """Turns of user, assistant, user, ... in the model's own chat template, ready for the next answer.

        Raises `UserError` if there is no template, or if it is no good for so many turns (`template_fault`).
        """
        if not self.has_chat_template:
            raise UserError(f"tokenizer {self.hf.name_or_path!r} has no chat template; use prompt=plain")
        if len(turns) > 1 and self.template_fault:
            raise UserError(f"the chat template of {self.hf.name_or_path!r} {self.template_fault}; use prompt=plain")
        return self._render(turns)

    @cached_property
    def template_fault(self) -> str | None:
        """Why an episode of several turns cannot be written in the chat template, or None if it can.

        Appending turns must leave the tokens before them as they are: they are the state, and were acted upon. And each
        prompt must open the turn of the assistant, or the model would write that opening itself.
        """
        turns = ["What is 2 + 3?", "It is 5.", "And 5 + 7?"]
        first, whole = self._render(turns[:1]), self._render(turns)
        if first == self._render(turns[:1], opens=False):
            return "does not open the answer (it ignores add_generation_prompt)"
        if not whole.startswith(first + turns[1]):
            return "changes earlier turns when a turn is appended"
        before = self.encode(first)
        if self.encode(whole)[: len(before)] != before:
            return "changes the tokens of earlier turns when a turn is appended"
        return None

    def _render(self, turns: Sequence[str], *, opens: bool = True) -> str:
        roles = ("user", "assistant") * len(turns)
        messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
        return str(self.hf.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens))

    @cached_property
    def pieces(self) -> list[str]:
        """The text of each token.  # [V]"""
        return list(self.hf.batch_decode([[i] for i in range(self.vocab_size)], clean_up_tokenization_spaces=False))

    @cached_property
    def _bytes(self) -> list[bytes] | None:
        """The bytes of each token [V] where text is their concatenation (byte-level BPE: most models), else None.

        Joining them gives what the library's own decoding gives, several times as fast.
        """
        from tokenizers import decoders

        if not isinstance(self.hf.backend_tokenizer.decoder, decoders.ByteLevel):
            return None
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
        hidden = [b for b in range(256) if b not in plain]
        value = {chr(b): b for b in plain} | {chr(256 + n): b for n, b in enumerate(hidden)}
        content = []
        for i in range(self.vocab_size):
            piece = self.hf.convert_ids_to_tokens(i) or ""
            content.append(bytes(map(value.__getitem__, piece)) if set(piece) <= value.keys() else piece.encode())
        return content

    @cached_property
    def _plain(self) -> bytes | None:
        """The bytes of the first 256 tokens if each has one, as in `byte_tokenizer`: faster still."""
        if self._bytes is None or list(map(len, self._bytes[:256])) != [1] * 256:
            return None
        return b"".join(self._bytes[:256])

    @cached_property
    def ends_step(self) -> BoolArray:
        """Which tokens end a reasoning step: those whose text holds a line break.  # [V]"""
        return np.array(["\n" in piece for piece in self.pieces])


def byte_tokenizer() -> Tokenizer:
    """One token a byte plus EOS: made from scratch, needs no file, and encodes any text without loss. V = 257."""
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = RustTokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS, pad_token=EOS, name_or_path="tiny")
    return Tokenizer(hf)


def char_tokenizer(alphabet: str) -> Tokenizer:
    """One token a character of `alphabet`, plus EOS: the smallest vocabulary in which a task can be written.

    A text with any other character is a `UserError`, so the alphabet must cover the prompts of the task.
    """
    return _Characters(alphabet)


class _Characters(Tokenizer):
    def __init__(self, alphabet: str) -> None:
        from tokenizers import Regex, decoders, models, pre_tokenizers
        from tokenizers import Tokenizer as RustTokenizer
        from transformers import PreTrainedTokenizerFast

        if not alphabet or len(set(alphabet)) < len(alphabet):
            raise UserError(f"alphabet is {alphabet!r}; it must hold one or more characters, each once")
        backend = RustTokenizer(models.WordLevel(vocab={c: i for i, c in enumerate(alphabet)}, unk_token="\ufffd"))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        backend.decoder = decoders.Fuse()
        super().__init__(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS, pad_token=EOS))
        self.alphabet = alphabet

    def encode(self, text: str) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        for text in texts:
            outside = sorted(set(text.replace(EOS, "")) - set(self.alphabet))
            if outside:
                raise UserError(f"the alphabet {self.alphabet!r} lacks {''.join(outside)!r} of {text[:60]!r}; add them")
        return super().encode_all(texts)
