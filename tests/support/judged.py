"""Samples and groups as a reward is given them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

from stdlib.samples import Group, JsonValue, Prompt, Sample, SampleId, Segment


def sample(
    text: str,
    label: JsonValue = "1",
    metadata: JsonValue = None,
    *,
    finish: Literal["stop", "length"] = "stop",
    num_tokens: int = 1,
    index: int = 0,
) -> Sample:
    """Return one response to an empty prompt."""
    prompt = Prompt(row=0, source="d.jsonl:1", text="", tokens=(1,), label=label, metadata=metadata)
    name = SampleId(stage=0, step=0, group=0, sample=index)
    tokens = Segment(tokens=(1,) * num_tokens, is_sampled=True)
    return Sample(id=name, prompt=prompt, segments=(tokens,), text=text, finish=finish)


def group(index: int, *texts: str, label: JsonValue = "1", metadata: JsonValue = None) -> Group:
    """Return all responses to one prompt."""
    first = sample("", label, metadata)
    prompt = replace(first.prompt, row=index, source=f"d.jsonl:{index + 1}")
    samples = tuple(
        replace(first, id=replace(first.id, group=index, sample=i), prompt=prompt, text=text)
        for i, text in enumerate(texts)
    )
    return Group(prompt=prompt, samples=samples)


async def arriving(*groups: Group) -> AsyncIterator[Group]:
    """Yield groups as an engine finishes them."""
    for one in groups:
        yield one


def rewards(groups: list[Group]) -> list[list[float | None]]:
    """Return the reward of every sample."""
    return [[one.reward for one in group.samples] for group in groups]


def asked(index: int, prompt: str, *texts: str) -> Group:
    """Return responses to a prompt of that text."""
    made = group(index, *texts)
    shown = replace(made.prompt, text=prompt)
    return Group(prompt=shown, samples=tuple(replace(one, prompt=shown) for one in made.samples))
