"""Samples and groups as a reward is given them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from stdlib.samples import Group, JsonValue, Prompt, Sample, SampleId, Segment


def sample(
    text: str,
    label: JsonValue = "1",
    metadata: JsonValue = None,
    *,
    prompt: str = "",
    finish: Literal["stop", "length"] = "stop",
    num_tokens: int = 1,
    index: int = 0,
    group: int = 0,
) -> Sample:
    """Return one response."""
    asked = Prompt(row=group, source=f"d.jsonl:{group + 1}", text=prompt, tokens=(1,), label=label, metadata=metadata)
    name = SampleId(stage=0, step=0, group=group, sample=index)
    tokens = Segment(tokens=(1,) * num_tokens, is_sampled=True)
    return Sample(id=name, prompt=asked, segments=(tokens,), text=text, finish=finish)


def group(index: int, *texts: str, label: JsonValue = "1", metadata: JsonValue = None) -> Group:
    """Return all responses to one prompt."""
    samples = tuple(sample(text, label, metadata, index=i, group=index) for i, text in enumerate(texts))
    return Group(prompt=samples[0].prompt, samples=samples)


async def arriving(*groups: Group) -> AsyncIterator[Group]:
    """Yield groups as an engine finishes them."""
    for one in groups:
        yield one


def rewards(groups: list[Group]) -> list[list[float | None]]:
    """Return the reward of every sample."""
    return [[one.reward for one in group.samples] for group in groups]
