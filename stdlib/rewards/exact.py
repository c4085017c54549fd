"""Exact match: 1 when the response is the label, white space at both ends aside.  A number counts as its JSON text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stdlib.samples import Sample

ANSWER = "text"


def reward(sample: Sample) -> float:
    """Return 1.0 or 0.0.  Raises: ValueError if the label is neither a text nor a number."""
    label = sample.prompt.label
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise ValueError("the label has to be a text or a number")
    expected = label if isinstance(label, str) else json.dumps(label)
    return float(sample.text.strip() == expected.strip())
