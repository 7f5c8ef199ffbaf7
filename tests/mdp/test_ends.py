"""Several tokens end a turn: EOS, those of the generation config, and what the chat template puts behind an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from reasonenv.core import Completion, Trajectory
from reasonenv.errors import UserError
from reasonenv.mdp.env import GRANULARITIES, ReasoningEnv, replay
from reasonenv.mdp.make import make_mdp, resolve_tokenizer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.pretrained import load_policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling
from reasonenv.tokenizer import Tokenizer, byte_tokenizer

TEMPLATE = (
    "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)
EOS, END, STOP = 256, 258, 259  # ids of <eos>, <end_of_turn>, <stop>


def turns_tokenizer(template: str | None = TEMPLATE) -> Tokenizer:
    """Bytes, EOS and three more special tokens."""
    hf = byte_tokenizer().hf
    hf.add_tokens(["<start_of_turn>", "<end_of_turn>", "<stop>"], special_tokens=True)
    hf.chat_template = template
    return Tokenizer(hf)


def fond_of(token: int, *ends: int, template: str | None = TEMPLATE) -> HFPolicy:
    """A policy that draws nothing but `token`, and whose generation config states these ends."""
    tokenizer = turns_tokenizer(template)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    model = LlamaForCausalLM(config)
    bias = torch.zeros(tokenizer.vocab_size)
    bias[token] = 100.0
    model.lm_head.bias = torch.nn.Parameter(bias)
    model.generation_config = GenerationConfig(eos_token_id=list(ends) if ends else None)
    return HFPolicy(model, tokenizer, name="fond")


@pytest.mark.parametrize(
    ("stated", "template", "ends"),
    [
        ((), None, (EOS,)),
        ((), TEMPLATE, (EOS, END)),
        ((EOS, STOP), None, (EOS, STOP)),
        ((STOP,), TEMPLATE, (EOS, END, STOP)),
        ((65,), None, (65, EOS)),  # an ordinary token, because the model says so
        ((10**6, -1), None, (EOS,)),  # no tokens of this tokenizer
    ],
)
def test_the_ends_are_those_of_tokenizer_template_and_model(
    stated: tuple[int, ...], template: str | None, ends: tuple[int, ...], tmp_path: Path
) -> None:
    policy = fond_of(65, *stated, template=template)
    assert policy.tokenizer.ends == ends
    policy.save(tmp_path / "policy")
    assert load_policy(str(tmp_path / "policy")).tokenizer.ends == ends
    assert resolve_tokenizer(str(tmp_path / "policy")).ends == ends
    assert policy.trainable_copy().tokenizer is policy.tokenizer


def test_the_default_of_a_config_class_is_no_end() -> None:
    # Llama's is 2, with the byte tokenizer a letter
    policy = fond_of(65)
    policy.model.generation_config = GenerationConfig.from_model_config(policy.model.config)
    assert policy.model.generation_config.eos_token_id == 2
    assert HFPolicy(policy.model, byte_tokenizer(), name="x").tokenizer.ends == (EOS,)


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (TEMPLATE, END),
        ("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", EOS),
        # a space before it, and EOS behind the last turn
        ("{% for m in messages %}<start_of_turn>{{ m.content }} <end_of_turn>{% endfor %}{{ eos_token }}", END),
        # opens the answer whether it is to or not, and closes none
        ("{% for m in messages %}<stop>{{ m.content }}{% endfor %}<start_of_turn>", None),
        ("{% for m in messages %}<stop>{{ m.content }}{% endfor %}<stop>", STOP),  # stands between any two turns
        ("{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}", None),  # ordinary text
        ("{{ raise_exception('only tools may speak') }}", None),
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}<stop>", None),
    ],
)
def test_the_end_of_a_turn_is_read_off_the_template(template: str, end: int | None) -> None:
    tokenizer = turns_tokenizer(template)
    assert tokenizer.turn_end == end
    assert tokenizer.ends == tuple(sorted({EOS, end or EOS}))


@pytest.mark.parametrize("name", ["torch", "hf"])
@pytest.mark.parametrize("token", [EOS, END, STOP])
def test_every_end_ends_a_response_and_is_kept_as_it_was_drawn(name: str, token: int) -> None:
    policy = fond_of(token, EOS, STOP)
    sampler = make_sampler(name, policy)
    ((drawn,),) = sampler.generate([np.array([5, 6])], [[1]], Sampling(16))
    assert (drawn.tokens.tolist(), drawn.stop) == ([token], "eos")
    mdp = make_mdp("Chain", size=2, tokenizer=policy.tokenizer, max_tokens=16)
    (group,) = sample_groups(sampler, mdp, [0], 2, temperature=1.0, seed=(0,))
    for trajectory in group.trajectories:
        assert trajectory.tokens.tolist() == [token]
        assert trajectory.terminated
        assert not trajectory.truncated


def test_an_ordinary_stop_is_no_end() -> None:
    policy = fond_of(65, EOS)
    ((drawn,),) = make_sampler("torch", policy).generate([np.array([5, 6])], [[1]], Sampling(16, stop=(65,)))
    assert (drawn.tokens.tolist(), drawn.stop) == ([65], "length")


@pytest.mark.parametrize(("prompt", "end"), [("chat", END), ("auto", END), ("plain", EOS)])
def test_a_demonstration_ends_as_its_prompt_is_written(prompt: str, end: int) -> None:
    mdp = make_mdp("Chain", size=2, tokenizer=turns_tokenizer(), prompt=prompt)
    shown = mdp.demonstration(0)
    assert shown.tokens[-1] == end
    assert shown.terminated
    assert shown.verdict.correct
    assert mdp.text(mdp.take(mdp.initial(0), shown.tokens.tolist()).state).endswith(mdp.problems[0].answer)


def process(**keys: Any) -> ReasoningMDP:
    return make_mdp("Chain", size=4, tokenizer=turns_tokenizer().with_ends([STOP]), reward="dense", **keys)


def finished(mdp: ReasoningMDP, end: int) -> Trajectory:
    """The reference solution of problem 1, ended by `end`."""
    tokens = mdp.demonstration(1).tokens.copy()
    tokens[-1] = end
    return mdp.trajectory(1, Completion.unsampled(tokens, "eos"))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("end", [EOS, END, STOP])
def test_episodes_with_any_end_can_be_taken_again(granularity: str, end: int) -> None:
    mdp = process()
    trajectory = finished(mdp, end)
    assert trajectory.terminated
    assert trajectory.verdict.correct
    replay(trajectory, ReasoningEnv(mdp, granularity))


@pytest.mark.parametrize("end", [EOS, END, STOP])
def test_rows_of_a_batch_end_as_one_environment_does(end: int) -> None:
    mdp = process()
    trajectory = finished(mdp, end)
    for granularity in GRANULARITIES:
        single, batch = ReasoningEnv(mdp, granularity), BatchedReasoningEnv(mdp, granularity, 2)
        single.reset(options={"problem": 1})
        batch.reset(options={"problem": 1})
        actions = trajectory.tokens.tolist() if granularity == "token" else [trajectory.tokens]
        for action in actions:
            *_, terminated, truncated, info = single.step(action)
            chosen = np.array([action, action]) if granularity == "token" else (action, action)
            _, _, ended, cut, infos = batch.step(chosen)
        assert (terminated, truncated) == (True, False)
        assert (ended.tolist(), cut.tolist()) == ([True, True], [False, False])
        assert [v.correct for v in infos["verdict"]] == [True, True]
        assert info["response"] == infos["response"][0]


def test_a_response_without_an_end_is_closed_as_its_prompt_is_written() -> None:
    mdp = process()
    env = ReasoningEnv(mdp, "response")
    env.reset(options={"problem": 1})
    env.step(mdp.tokenizer.encode("#### 1"))
    assert env.state.tokens[-1] == END
    env.reset(options={"problem": 1})
    env.step([*mdp.tokenizer.encode("#### 1"), STOP, 65, EOS])
    assert env.state.tokens[-1] == STOP  # what stands behind an end is not taken


def test_no_prefix_holds_an_end() -> None:
    for end in (EOS, END, STOP):
        with pytest.raises(UserError, match="hold no end of a turn"):
            process().initial(0, [65, end])


@pytest.mark.parametrize("end", [EOS, END, STOP])
def test_another_try_follows_any_end(end: int) -> None:
    mdp = process(replies="retry:2")
    wrong = [*mdp.tokenizer.encode("#### 99999"), end]
    state = mdp.take(mdp.initial(0), wrong).state
    assert not mdp.over(state)
    text = mdp.tokenizer.decode(state.tokens[len(wrong) :])
    assert text == "\n<start_of_turn>user\nThat is wrong. Try again.<end_of_turn>\n<start_of_turn>assistant\n"
    assert mdp.over(mdp.take(state, wrong).state)


def test_gymnasium_has_no_complaint(recwarn: pytest.WarningsRecorder) -> None:
    from gymnasium.utils.env_checker import check_env

    for granularity in GRANULARITIES:
        check_env(ReasoningEnv(process(), granularity), skip_render_check=True)
    assert not [w for w in recwarn if issubclass(w.category, UserWarning) and "gym" in str(w.filename)]
    assert gymnasium.__version__
