"""Text and token ids: the fast way is the library's, vocabularies say what they lack, and templates keep turns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.tasks import Task, render_prompt
from reasonenv.tokenizer import EOS, Tokenizer, byte_tokenizer, char_tokenizer
from reasonenv.verify.grade import verify_math


def merging_tokenizer() -> Tokenizer:
    """Byte-level, with a merged token, half a character as a token, and a special token that holds a space."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate([*alphabet, "ab", "Ġa"])}
    backend = RustTokenizer(models.BPE(vocab=vocab, merges=[("a", "b"), ("Ġ", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    special = {"additional_special_tokens": ["<|a é|>"]}
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS, pad_token=EOS, **special))


TOKENIZERS = [byte_tokenizer(), merging_tokenizer()]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["bytes", "merges"])
@settings(deadline=None)
@given(data=st.data())
def test_joined_bytes_are_what_the_library_decodes(tokenizer: Tokenizer, data: st.DataObject) -> None:
    # any ids: broken UTF-8, halves of characters and special tokens among them
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    assert tokenizer._bytes is not None
    library = tokenizer.hf.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert tokenizer.decode(ids) == library
    rows = data.draw(st.lists(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=9), max_size=4))
    arrays = [np.array(row, dtype=np.int64) for row in [ids, *rows]]
    assert tokenizer.decode_all(arrays) == [tokenizer.decode(row) for row in [ids, *rows]]


@settings(deadline=None)
@given(text=st.text("ab \n#1", max_size=20))
def test_characters_are_tokens(text: str) -> None:
    tokenizer = char_tokenizer("ab \n#1")
    ids = tokenizer.encode(f"{text}{EOS}")
    assert len(ids) == len(text) + 1
    assert ids[-1] == tokenizer.eos_id == tokenizer.vocab_size - 1 == 6
    assert tokenizer.decode(ids) == f"{text}{EOS}"
    assert sorted(i for i in range(7) if tokenizer.ends_step[i]) == [3]


def test_what_the_alphabet_lacks_is_named() -> None:
    with pytest.raises(UserError, match="lacks 'xé' of 'axé'"):
        char_tokenizer("ab").encode("axé")
    for alphabet in ("", "aa"):
        with pytest.raises(UserError, match="each once"):
            char_tokenizer(alphabet)


# Chat templates: what may be written in them over several turns, and why not.
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
