"""Whether the response is made of tagged parts and nothing else, such as `<think>...</think> <answer>...</answer>`.

Every tag of `reward.format.tags` opens and closes exactly once, in this order; between the parts, before and behind
them stands nothing but white space.  A part that holds nothing scores 0 as well.

Source: the format reward of DeepSeek-R1, arXiv:2501.12948, sec. 2.2.2 and table 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.ir.reward_settings import FormatReward
    from stdlib.samples import Sample


def reward(sample: Sample, settings: FormatReward) -> float:
    """Return 1.0 or 0.0."""
    rest = sample.text
    for tag in settings.tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if sample.text.count(opening) != 1 or sample.text.count(closing) != 1:
            return 0.0
        before, _, rest = rest.partition(opening)
        inside, closed, rest = rest.partition(closing)
        if before.strip() or not closed or not inside.strip():
            return 0.0
    return float(not rest.strip())
