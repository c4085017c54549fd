"""Specs with filters and buffers, of which there are several kinds."""

from __future__ import annotations

CHOICES = '''\
"""Which groups are trained on, and when."""


def differ(group):
    return len({sample.reward for sample in group.samples}) > 1


def newest(waiting, count):
    return sorted(range(len(waiting)), reverse=True)[:count]
'''

_PARTIAL = """
[rollout.buffer]
partial = true
oversample = 1.5
max_staleness_steps = 4
selector = "choices.py:newest"

[rollout.filter]
name = "choices.py:differ"
"""

_REPLAYED = """
[rollout.buffer]
max_staleness_steps = 8
selector = "stratified"
stratum_key = "level"

[rollout.buffer.replay]
frac = 0.25
max_uses = 2

[rollout.filter]
name = "mean_within"
high = 0.9
oversample = 2.0
on_shortage = "train_fewer"
"""


def buffer_specs(base: str) -> dict[str, str]:
    """Return specs by name, made of one without a buffer."""
    return {"partial": base + _PARTIAL, "replayed": base + _REPLAYED}
