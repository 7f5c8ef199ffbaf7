"""Text and token ids: the fast way is the library's, vocabularies say what they lack, and templates keep turns."""

from array import array
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
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


FORMS: dict[str, Any] = {
    **{kind.__name__: lambda ids, kind=kind: np.array(ids, dtype=kind) for kind in (np.uint16, np.int16, np.uint32)},
    **{kind.__name__: lambda ids, kind=kind: np.array(ids, dtype=kind) for kind in (np.int32, np.uint64, np.int64)},
    "big endian": lambda ids: np.array(ids, dtype=">i4"),
    "every second": lambda ids: np.repeat(np.array(ids), 2)[::2],
    "read only": lambda ids: np.frombuffer(np.array(ids).tobytes(), dtype=np.int64),
    "objects": lambda ids: np.array(ids, dtype=object),
    "int32 tensor": lambda ids: torch.tensor(ids, dtype=torch.int32),
    "tensor": lambda ids: torch.tensor(ids),
    "scalars": lambda ids: [np.int64(i) for i in ids],
    "tensors": lambda ids: [torch.tensor(i) for i in ids],
    "tuple": tuple,
    "array": lambda ids: array("q", ids),
}


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["bytes", "merges"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["2+3=5\n", "", f"ab é{EOS}"])
def test_the_text_does_not_depend_on_what_holds_the_ids(tokenizer: Tokenizer, form: str, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(FORMS[form](ids)) == tokenizer.decode(ids) == text


def test_small_ids_in_small_integers() -> None:
    tokenizer = byte_tokenizer()
    ids = [i for i in range(120) if tokenizer.pieces[i].isascii()]
    for kind in (np.int8, np.uint8, np.bool_):
        row = np.array(ids if kind is not np.bool_ else [0, 1, 1], dtype=kind)
        assert tokenizer.decode(row) == tokenizer.decode(row.astype(int).tolist())
        assert tokenizer.decode(torch.from_numpy(row)) == tokenizer.decode(row)


def test_what_an_environment_observes_can_be_decoded() -> None:
    mdp = make_mdp("Chain", size=1)
    shown = mdp.demonstration(0)
    assert mdp.tokenizer.decode(mdp.prompts[0]) == f"{mdp.problems[0].question}\n"
    assert mdp.tokenizer.decode(shown.tokens).endswith(f"#### {mdp.problems[0].answer}{EOS}")


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
    answers_follow = templated(
        "{% for m in messages %}{{ '[' + m.content + ']' if loop.index0 % 2 == 0 else m.content }}{% endfor %}"
    )
    assert answers_follow.template_fault is None  # it has nothing to open
    assert answers_follow.chat(["q", "r", "s"]) == "[q]r[s]"


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


def beginning_tokenizer(template: str | None = None, *, pair: bool = False) -> Tokenizer:
    """Bytes, and a post-processor that puts <bos> in front of every text, or <bos><lang>; and EOS behind it."""
    hf = byte_tokenizer().hf
    hf.add_special_tokens({"bos_token": "<bos>", "additional_special_tokens": ["<lang>"]})
    front = [("<bos>", hf.convert_tokens_to_ids("<bos>")), ("<lang>", hf.convert_tokens_to_ids("<lang>"))]
    front = front if pair else front[:1]
    shape = " ".join(name for name, _ in front)
    hf.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{shape} $A {EOS}", special_tokens=[*front, (EOS, 256)]
    )
    hf.chat_template = template
    return Tokenizer(hf)


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("prompt", ["plain", "few_shot"])
def test_a_prompt_that_no_template_writes_begins_as_the_tokenizer_begins_texts(pair: bool, prompt: str) -> None:
    tokenizer = beginning_tokenizer(pair=pair)
    example = Problem("e", "2+2?", "4")
    task = Task("T", "train", [Problem("p", "1+1?", "2")], verify_math, examples=(example,))
    (ids,) = ReasoningMDP(task, tokenizer, EnvConfig(prompt=prompt)).prompts
    text = tokenizer.decode(ids)
    front = "<bos><lang>" if pair else "<bos>"
    assert text == front + render_prompt(task, task.problems[0], tokenizer, prompt)
    assert text.count("<bos>") == 1
    assert EOS not in text


@pytest.mark.parametrize("prompt", ["chat", "auto", "few_shot"])
def test_a_template_writes_its_bos_itself(prompt: str) -> None:
    tokenizer = beginning_tokenizer("{{ bos_token }}" + STABLE)
    task = Task("T", "train", [Problem("p", "1+1?", "2")], verify_math, examples=(Problem("e", "2+2?", "4"),))
    (ids,) = ReasoningMDP(task, tokenizer, EnvConfig(prompt=prompt)).prompts
    assert tokenizer.decode(ids).count("<bos>") == 1
    assert ids[0] == tokenizer.hf.bos_token_id
    (ids,) = ReasoningMDP(task, tokenizer, EnvConfig(prompt="plain")).prompts
    assert tokenizer.decode(ids) == "<bos>1+1?\n"


def test_a_text_that_begins_so_already_gets_no_second_bos() -> None:
    task = Task("T", "train", [Problem("p", "<bos>1+1?", "2")], verify_math)
    tokenizer = beginning_tokenizer()
    assert tokenizer.decode(ReasoningMDP(task, tokenizer).prompts[0]) == "<bos>1+1?\n"


def test_most_tokenizers_put_nothing_in_front() -> None:
    for tokenizer in (*TOKENIZERS, char_tokenizer("ab \n#1")):
        assert tokenizer.prefix == []


def test_a_control_token_without_a_text_is_none() -> None:
    backend = RustTokenizer(models.WordLevel(vocab={"a": 0, "b": 1, "<void>": 2, EOS: 3}, unk_token="a"))
    backend.decoder = decoders.Sequence([decoders.Replace("<void>", ""), decoders.Fuse()])
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS)
    assert Tokenizer(hf).is_token.tolist() == [True] * 4  # an ordinary one may have none: a space that is cut, say
    hf.add_special_tokens({"additional_special_tokens": ["<void>"]})
    assert Tokenizer(hf).is_token.tolist() == [True, True, False, True]
    assert Tokenizer(hf).decode([0, 2, 1]) == "ab"
