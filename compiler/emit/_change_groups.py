"""What a change of a plan touches: what is learned, where it runs, what it costs, or only how it is shown.

A reviewer reads the four apart.  Whatever is not named here counts as meaning, so a field that nobody thought of is
never played down; a cause stands where the weightiest of its consequences does.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal
from compiler.emit._plan_changes import Cause

Group = Literal["meaning", "placement", "cost", "cosmetic"]
GROUPS: tuple[Group, ...] = ("meaning", "placement", "cost", "cosmetic")
ABOUT: dict[Group, str] = {
    "meaning": "what is learned, and from what",
    "placement": "where it runs",
    "cost": "time, memory and what is kept",
    "cosmetic": "names and what people read",
}

# Paths as a person writes them, without a stage; the longest one that holds a field decides.
PREFIXES: dict[str, Group] = {
    "cluster": "placement",
    "cluster.usd_per_gpu_hour": "cosmetic",
    "rollout.expected_response_tokens": "cosmetic",
    "rollout.expected_p90_response_tokens": "cosmetic",
    "data.expected_sample_tokens": "cosmetic",
    "reward.expected_call_s": "cosmetic",
    "environment.expected_turns": "cosmetic",
    "environment.expected_turn_s": "cosmetic",
    "placement": "placement",
    "run.executor": "placement",
    "rollout.engine": "placement",
    "rollout.engine.cache_tokens": "cost",
    "rollout.engine.prefill_tokens": "cost",
    "rollout.speculation": "cost",
    "train.engine": "placement",
    "train.micro_batch": "cost",
    "train.packing": "cost",
    "train.vocab_chunk": "cost",
    "rollout.concurrency": "cost",
    "environment.concurrency": "cost",
    "reward.concurrency": "cost",
    "reward.timeout_s": "cost",
    "rollout.filter.timeout_s": "cost",
    "rollout.buffer.timeout_s": "cost",
    "reward.code_tests.processes": "cost",
    "reward.reward_model.batch_tokens": "cost",
    "checkpoint": "cost",
    "budget": "cost",
    "name": "cosmetic",
    "log": "cosmetic",
    "launch": "cosmetic",
}


def group_of(key: str) -> Group:
    """Return the group of one field of an experiment, by the key that pairs it: `stages.sft.optim.lr`."""
    parts = key.split(".")
    if parts[0] == "stages" and len(parts) > 2:
        parts = parts[2:]
    for length in range(len(parts), 0, -1):
        found = PREFIXES.get(".".join(parts[:length]))
        if found is not None:
            return found
    return "meaning"


def group_of_cause(cause: Cause) -> Group:
    """Return the weightiest group among the changes of a cause and what follows from them."""
    if cause.kind in ("stage", "order", "recipes"):
        return "meaning"
    keys = [change.key for change in cause.changes] + [found.change.key for found in cause.follows]
    return min((group_of(key) for key in keys), key=GROUPS.index, default="meaning")
