"""Whether a pattern is found in the response, or says what the label says.

The pattern is `reward.regex.pattern`, in Python's syntax.  With `compare = "label"` the last match counts: its first
group, or all of it where there is none, has to equal the label, white space at both ends aside.  Some patterns
backtrack for ever on some responses, hence the isolation: such a response scores 0.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from stdlib.rewards._isolation import Isolation

if TYPE_CHECKING:
    from compiler.ir.reward_settings import RegexReward
    from stdlib.samples import Sample

ISOLATION = Isolation(score=0.0, memory_gib=2, imports=())


def reward(sample: Sample, settings: RegexReward) -> float:
    """Return 1.0 or 0.0."""
    flags = re.IGNORECASE if settings.ignore_case else re.NOFLAG
    pattern = re.compile(settings.pattern, flags)
    if settings.compare == "presence":
        return float(pattern.search(sample.text) is not None)
    found = list(pattern.finditer(sample.text))
    if not found:
        return 0.0
    label = sample.prompt.label
    expected = label if isinstance(label, str) else json.dumps(label)
    said = found[-1][1] if pattern.groups else found[-1][0]
    return float(said is not None and said.strip() == expected.strip())
