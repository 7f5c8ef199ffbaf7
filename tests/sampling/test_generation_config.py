"""`sampler=hf` draws from the policy's distribution, whatever a checkpoint's generation config would like instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transformers import CompileConfig, GenerationConfig, WatermarkingConfig

from reasonenv.core import Completion
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling.hf_sampler import HFSampler
from reasonenv.sampling.sampler import Sampling

SEEDS = [[1, 2, 3, 4]]
# A value of each field that is not its default and would change, cut or break a draw if it were taken.
FIELDS: dict[str, Any] = {
    "max_length": 7,
    "max_new_tokens": 2,
    "min_length": 100,
    "min_new_tokens": 24,
    "early_stopping": True,
    "max_time": 1e-9,
    "stop_strings": ["a"],
    "do_sample": True,
    "num_beams": 3,
    "use_mtp": True,
    "use_cache": False,
    "cache_implementation": "static",
    "cache_config": {"batch_size": 1, "max_cache_len": 8},
    "max_cache_len": 8,
    "temperature": 0.1,
    "top_k": 1,
    "top_p": 0.1,
    "min_p": 0.9,
    "top_h": 0.1,
    "typical_p": 0.1,
    "epsilon_cutoff": 0.5,
    "eta_cutoff": 0.5,
    "repetition_penalty": 5.0,
    "encoder_repetition_penalty": 1.5,
    "length_penalty": 3.0,
    "no_repeat_ngram_size": 1,
    "bad_words_ids": [[n] for n in range(100)],
    "renormalize_logits": True,
    "forced_bos_token_id": 5,
    "forced_eos_token_id": 5,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": (2, 1.5),
    "suppress_tokens": list(range(200)),
    "begin_suppress_tokens": list(range(200)),
    "sequence_bias": [[[65], 50.0]],
    "token_healing": True,
    "guidance_scale": 1.5,
    "watermarking_config": WatermarkingConfig(bias=5.0),
    "num_return_sequences": 3,
    "output_attentions": True,
    "output_hidden_states": True,
    "output_scores": True,
    "output_logits": True,
    "return_dict_in_generate": True,
    "pad_token_id": 7,
    "bos_token_id": 7,
    "eos_token_id": list(range(200)),
    "encoder_no_repeat_ngram_size": 1,
    "decoder_start_token_id": 7,
    "is_assistant": True,
    "num_assistant_tokens": 3,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.9,
    "prompt_lookup_num_tokens": 3,
    "max_matching_ngram_size": 3,
    "assistant_early_exit": 1,
    "assistant_lookbehind": 3,
    "target_lookbehind": 3,
    "assistant_ensemble_weight": 0.5,
    "speculation_type": "mtp",
    "compile_config": CompileConfig(),
    "disable_compile": True,
    "continuous_batching_config": {},
    "low_memory": True,
    "penalty_alpha": 0.6,
    "dola_layers": "low",
    "diversity_penalty": 1.0,
    "num_beam_groups": 2,
    "constraints": ["a"],
    "force_words_ids": [[5]],
    "prefill_chunk_size": 2,
    "_from_model_config": True,
    "transformers_version": "1.0",
}


def draws(generation: GenerationConfig) -> list[Completion]:
    policy = tiny_policy(0)
    policy.model.generation_config = generation
    (drawn,) = HFSampler(policy).generate([np.array([5, 6, 7, 8])], SEEDS, Sampling(24))
    assert policy.model.generation_config is generation
    return drawn


@pytest.fixture(scope="module")
def neutral() -> list[Completion]:
    return draws(GenerationConfig())


@pytest.mark.parametrize("field", sorted(vars(GenerationConfig())))
def test_no_field_of_a_generation_config_changes_a_draw(field: str, neutral: list[Completion]) -> None:
    generation = GenerationConfig()
    assert FIELDS[field] != getattr(generation, field)
    setattr(generation, field, FIELDS[field])
    for one, other in zip(draws(generation), neutral, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        assert one.logprobs.tolist() == other.logprobs.tolist()
        assert one.stop == other.stop


def test_all_fields_at_once_change_nothing(neutral: list[Completion]) -> None:
    generation = GenerationConfig()
    for field, value in FIELDS.items():
        setattr(generation, field, value)
    generation.of_another_program = 3  # what `generate` would carry over as an argument of the model
    assert [c.tokens.tolist() for c in draws(generation)] == [c.tokens.tolist() for c in neutral]
