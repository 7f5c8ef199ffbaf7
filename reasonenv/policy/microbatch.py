"""Cutting a batch into micro-batches of like lengths, so that little of each is padding."""

from __future__ import annotations

import torch


def microbatches(prompt_length: torch.Tensor, length: torch.Tensor, tokens: int) -> list[torch.Tensor]:
    """Row numbers of each micro-batch, every row exactly once.

    A micro-batch of n rows is padded to n * (longest prompt + longest response) tokens; that is at most `tokens`, save
    where one row alone is longer. Rows are taken longest first, so the largest micro-batch shows at once whether memory
    suffices.
    """
    assert prompt_length.shape == length.shape == (len(length),), "one prompt and one response length a row"
    order = torch.argsort(prompt_length + length, descending=True, stable=True).tolist()
    prompts, responses = prompt_length.tolist(), length.tolist()
    cuts: list[list[int]] = []
    longest_prompt = longest_response = 0
    for row in order:
        prompt, response = max(longest_prompt, prompts[row]), max(longest_response, responses[row])
        if cuts and (len(cuts[-1]) + 1) * (prompt + response) <= tokens:
            cuts[-1].append(row)
            longest_prompt, longest_response = prompt, response
        else:
            cuts.append([row])
            longest_prompt, longest_response = prompts[row], responses[row]
    return [torch.tensor(rows, dtype=torch.int64) for rows in cuts]
