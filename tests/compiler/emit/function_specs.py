"""Specs with functions of their own in the place of parts of an algorithm."""

from __future__ import annotations

OWN_PARTS = '''\
"""Parts of an algorithm."""


def above_mean(experience):
    return experience.rewards_N - experience.rewards_N.mean()


def evenly(batch):
    return batch.mask_T / batch.mask_T.sum()


def weights(gap):
    return (gap.trainer_logprobs_T - gap.rollout_logprobs_T).exp()
'''

_OWN = """
[algo]
advantages = "parts.py:above_mean"
whiten = true

[loss]
old_logprobs = "recompute"
reducer = "parts.py:evenly"

[loss.mismatch]
function = "parts.py:weights"
"""


def function_specs(base: str) -> dict[str, str]:
    """Return the specs by name, each on top of one that samples."""
    return {"own_parts": base + _OWN}
