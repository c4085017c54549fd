"""Takes as many groups of each stratum, in turns; a stratum that has run dry leaves its turn to the others.

Strata take turns in the order in which the first group of each came, and within a stratum the oldest is taken first:
stratified sampling with equal allocation.  A stratum is what a row's metadata has under a key, or the file that the row
comes from; rows without the key are one stratum.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from compiler.ir.openness import Off
from stdlib.samples import Prompt
from stdlib.selectors._waiting import Waiting


def select(waiting: Sequence[Waiting], count: int, *, stratum_key: str | Off) -> list[int]:
    """Return the places of at most `count` groups."""
    strata: dict[str, list[int]] = {}
    for place, one in enumerate(waiting):
        strata.setdefault(_stratum(one.group.prompt, stratum_key), []).append(place)
    taken: list[int] = []
    turn = 0
    while len(taken) < min(count, len(waiting)):
        taken += [places[turn] for places in strata.values() if turn < len(places)]
        turn += 1
    return taken[:count]


def _stratum(prompt: Prompt, key: str | Off) -> str:
    if isinstance(key, Off):
        return prompt.source
    metadata = prompt.metadata
    value = metadata.get(key) if isinstance(metadata, dict) else None
    return json.dumps(value, sort_keys=True)
