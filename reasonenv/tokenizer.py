"""The one place where text and token ids meet: a thin view of a Hugging Face tokenizer that never surprises."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from reasonenv.core import BoolArray, IntArray
from reasonenv.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

Ids: TypeAlias = "Sequence[int] | npt.NDArray[np.integer[Any]] | torch.Tensor"

Message = dict[str, Any]  # of a chat: `role`, `content`, perhaps `tool_calls`

EOS = "<eos>"
CUT = "\ue000"  # a character of private use: where `encode_parts` divides a text


class Tokenizer:
    """`hf` with exact semantics: no special tokens added, none skipped, no spaces cleaned up.

    `ends` are ids that end a response beside the tokenizer's EOS and the end of the chat template; see `ends`. Raises
    `UserError` if the tokenizer has no end-of-sequence token: without one, no episode could ever terminate.
    """

    def __init__(self, hf: PreTrainedTokenizerBase, ends: Iterable[int] = ()) -> None:
        if hf.eos_token_id is None:
            raise UserError(
                f"tokenizer {hf.name_or_path!r} has no EOS token, so no episode could end; "
                "set one (tokenizer.eos_token = ...)"
            )
        self.hf = hf
        self.eos_id = int(hf.eos_token_id)
        self.vocab_size = 1 + max(hf.get_vocab().values())  # more than there are tokens, if ids are left out
        self.has_chat_template = bool(getattr(hf, "chat_template", None))
        self._more_ends = frozenset(ends)

    def with_ends(self, ends: Iterable[int]) -> Tokenizer:
        """This tokenizer, whose responses end at the tokens `ends` too; itself if they do already."""
        more = {i for i in ends if 0 <= i < self.vocab_size and self.is_token[i]}
        return self if more <= set(self.ends) else Tokenizer(self.hf, self._more_ends | more)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a response: EOS, what the chat template closes an answer with, what a model states."""
        closing = set() if self.turn_end is None else {self.turn_end}
        return tuple(sorted({self.eos_id} | closing | self._more_ends))

    @cached_property
    def is_end(self) -> BoolArray:
        """Which ids are in `ends`.  # [V]"""
        return np.isin(np.arange(self.vocab_size), self.ends)

    @cached_property
    def is_token(self) -> BoolArray:
        """Which ids are tokens.  # [V]

        No tokens are the ids that a vocabulary leaves out, and control tokens without a text that end nothing.
        """
        known = np.zeros(self.vocab_size, dtype=bool)
        known[list(self.hf.get_vocab().values())] = True
        added = self.hf.added_tokens_decoder.items()
        special = {*self.hf.all_special_ids, *(i for i, token in added if token.special)}
        for i in special - {self.eos_id}:
            known[i] &= self.hf.decode([i], skip_special_tokens=False) != ""
        return known

    @cached_property
    def prefix(self) -> list[int]:
        """What the tokenizer's usual encoding puts in front of a text, such as BOS; often nothing."""
        bare, usual = self.encode("0"), self.hf.encode("0")
        starts = (n for n in range(len(usual)) if usual[n : n + len(bare)] == bare)
        return list(usual[: next(starts, 0)])

    def encode(self, text: str) -> list[int]:
        """Ids of `text` and of nothing else."""
        return list(self.hf.encode(text, add_special_tokens=False))

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` over many texts at once."""
        ids: list[list[int]] = self.hf(list(texts), add_special_tokens=False)["input_ids"]
        return ids

    def literal(self, text: str) -> str:
        """`text` with the names of control tokens cut apart, so that `encode_parts` finds no control token in it."""
        text = text.replace(CUT, "").encode(errors="replace").decode()  # a lone surrogate is no text
        return self._control_names.sub(lambda match: f"{match[0][0]}{CUT}{match[0][1:]}", text)

    def encode_parts(self, text: str) -> list[int]:
        """Ids of a text, of each part between two cuts for itself."""
        ids: list[int] = []
        for part in text.split(CUT):
            ids += self.encode(part)
        return ids

    @cached_property
    def _control_names(self) -> re.Pattern[str]:
        names = {token.content for token in self.hf.added_tokens_decoder.values() if token.special}
        names |= {*self.hf.all_special_tokens, *self.hf.convert_ids_to_tokens(self.ends)}
        longest_first = sorted(names, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    def decode(self, ids: Ids) -> str:
        """Text of `ids` [T], special tokens included, spaces untouched; an id that is no token has no text."""
        row: Sequence[int] = list(ids) if isinstance(ids, Sequence) else ids.tolist()
        if self._plain is not None:
            with contextlib.suppress(ValueError):  # a token over 255
                return bytes(row).translate(self._plain).decode(errors="replace")
        if row and not 0 <= min(row) <= max(row) < self.vocab_size:
            row = [i for i in row if 0 <= i < self.vocab_size]
        if self._bytes is not None:
            return b"".join([self._bytes[i] for i in row]).decode(errors="replace")
        row = [i for i in row if self.is_token[i]]
        return str(self.hf.decode(row, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def decode_all(self, rows: Sequence[IntArray]) -> list[str]:
        """`decode` over many arrays at once, most of its cost paid once."""
        if self._plain is not None and rows:
            flat = np.concatenate(rows)
            if 0 <= flat.min(initial=0) <= flat.max(initial=0) < 256:
                raw = flat.astype(np.uint8).tobytes().translate(self._plain)
                ends = accumulate(map(len, rows), initial=0)
                return [raw[start:end].decode(errors="replace") for start, end in pairwise(ends)]
        return [self.decode(row) for row in rows]

    def chat(self, turns: Sequence[str], tools: Sequence[Mapping[str, Any]] = (), *, system: str = "") -> str:
        """Turns of user, assistant, user, ... in the model's own chat template, ready for the next answer.

        `tools` are the JSON schemas of those that the template is to tell of. `system` stands before the turns, if
        there is any. Raises `UserError` if there is no template, if it is no good for so many turns
        (`template_fault`), or if it takes no system prompt.
        """
        if not self.has_chat_template:
            raise UserError(f"tokenizer {self.hf.name_or_path!r} has no chat template; use prompt=plain")
        if len(turns) > 1 and self.template_fault:
            raise UserError(f"the chat template of {self.hf.name_or_path!r} {self.template_fault}; use prompt=plain")
        if not system:
            return self._render(turns, tools)
        try:
            text = self._render(turns, tools, system=system)
        except Exception as error:  # templates raise what they like of a role that they do not know
            cause = f"refuses a system prompt: {' '.join(str(error).split())}"
            raise UserError(f"the chat template of {self.hf.name_or_path!r} {cause}") from None
        if system not in text:
            raise UserError(f"the chat template of {self.hf.name_or_path!r} leaves a system prompt out")
        return text

    @cached_property
    def template_fault(self) -> str | None:
        """Why an episode of several turns cannot be written in the chat template, or None if it can.

        Appending turns must leave the tokens before them as they are: they are the state, and were acted upon. And each
        prompt must open the turn of the assistant, or the model would write that opening itself.
        """
        turns = ["What is 2 + 3?", "It is 5.", "And 5 + 7?"]
        first, whole = self._render(turns[:1]), self._render(turns)
        if not whole.startswith(first + turns[1]):
            if first == self._render(turns[:1], opens=False):
                return "does not open the answer (it ignores add_generation_prompt)"
            return "changes earlier turns when a turn is appended"
        before = self.encode(first)
        if self.encode(whole)[: len(before)] != before:
            return "changes the tokens of earlier turns when a turn is appended"
        return None

    @cached_property
    def turn_end(self) -> int | None:
        """The control token that the chat template puts behind an answer; None if it puts none, or ordinary text.

        It does so whether the answer is the last turn or another follows: else the token opens the next turn.
        """
        if not self.has_chat_template:
            return None
        from jinja2 import TemplateError

        question, answer, other = "What is 2 + 3?", "It is 5.", "And 5 + 7?"
        try:
            _, _, behind = self._render([question, answer], opens=False).partition(answer)
            _, _, following = self._render([question, answer, other], opens=False).partition(answer)
        except (TemplateError, TypeError, ValueError):  # a template that takes no such conversation
            return None
        last, inner = self._first_control(behind), self._first_control(following.rpartition(other)[0])
        return last if last == inner else None

    def _first_control(self, text: str) -> int | None:
        control = {*self.hf.all_special_ids, *self.hf.added_tokens_decoder}
        return next((i for i in self.encode(text) if i in control), None)

    def _render(
        self, turns: Sequence[str], tools: Sequence[Mapping[str, Any]] = (), *, opens: bool = True, system: str = ""
    ) -> str:
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        return self.render(messages, tools, opens=opens)

    def render(self, messages: list[Message], tools: Sequence[Mapping[str, Any]] = (), *, opens: bool = True) -> str:
        """Messages in the chat template, which opens the next answer. Raises what a template raises of them."""
        text = self.hf.apply_chat_template(
            messages, tools=list(tools) or None, tokenize=False, add_generation_prompt=opens
        )
        return str(text)

    @cached_property
    def pieces(self) -> list[str]:
        """The text of each id, empty where it is no token.  # [V]"""
        tokens = np.flatnonzero(self.is_token).tolist()
        texts = self.hf.batch_decode([[i] for i in tokens], clean_up_tokenization_spaces=False)
        pieces = [""] * self.vocab_size
        for i, text in zip(tokens, texts, strict=True):
            pieces[i] = text
        return pieces

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


def stated_ends(generation: GenerationConfig, config: PreTrainedConfig) -> list[int]:
    """The ids that a checkpoint's generation config says end a response.

    What is only the default of the model's config class is nobody's statement: it is an id of another tokenizer.
    """
    stated = generation.eos_token_id
    if stated is None or stated == getattr(type(config)(), "eos_token_id", None):
        return []
    ids = stated if isinstance(stated, list) else [stated]
    return [i for i in ids if type(i) is int]  # a file may say true, which is an int of Python's too


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
        self.prefix = []

    def encode(self, text: str) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        for text in texts:
            outside = sorted(set(text.replace(EOS, "")) - set(self.alphabet))
            if outside:
                raise UserError(f"the alphabet {self.alphabet!r} lacks {''.join(outside)!r} of {text[:60]!r}; add them")
        return super().encode_all(texts)
