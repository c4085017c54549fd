"""Specs of steps that are taken apart."""

from __future__ import annotations

_RECORDED = """
[debug]
record = true
verify_sync = "every"

[debug.logprob_gap]
mean_bound = 0.02
steps = 1
action = "stop"
token_bound = 0.5
"""

_SAMPLED = """
[debug]
mode = "rollout_only"
record = true
"""

_REPLAYED = """
[debug]
mode = "train_only"
replay = "runs/sums/rollouts/main"
logprob_gap = "off"
"""


def debug_specs(base: str) -> dict[str, str]:
    """Return the specs by name, each on top of one that samples."""
    return {"recorded": base + _RECORDED, "sampled_alone": base + _SAMPLED, "trained_alone": base + _REPLAYED}
