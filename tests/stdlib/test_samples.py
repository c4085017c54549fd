"""Samples of several segments: what later multi-turn rollouts and off-policy corrections rely on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stdlib.samples import Group, Prompt, Sample, SampleId, Segment

PROMPT = Prompt(row=0, source="rows.jsonl", text="1+1=", tokens=(5, 6, 5, 7), label="2")
# The policy speaks, a tool answers, and the policy speaks again with weights that are one update newer.
TURNS = (
    Segment(tokens=PROMPT.tokens, is_sampled=False),
    Segment(tokens=(8, 9), is_sampled=True, logprobs=(-0.5, -0.25), versions=(3, 3)),
    Segment(tokens=(10, 11, 12), is_sampled=False),
    Segment(tokens=(13, 1, 2), is_sampled=True, logprobs=(-1.0, -2.0, 0.0), versions=(3, 4, 4)),
)


def sample(**changes: Any) -> Sample:
    first = Sample(
        id=SampleId(stage=0, step=2, group=1, sample=0), prompt=PROMPT, segments=TURNS, text="ab", finish="stop"
    )
    return replace(first, **changes)


def test_a_response_is_what_the_policy_sampled_and_not_what_tools_said() -> None:
    assert sample().num_response_tokens == 2 + 3
    assert sample(segments=TURNS[:1]).num_response_tokens == 0


def test_one_sample_may_hold_tokens_of_several_versions() -> None:
    versions = [v for segment in sample().segments for v in segment.versions]
    assert versions == [3, 3, 3, 4, 4]


def test_a_sample_is_not_judged_until_it_is_replaced_by_one_that_is() -> None:
    before = sample()
    after = replace(before, reward=1.0)
    assert (before.reward, after.reward) == (None, 1.0)
    assert after.segments is before.segments


def test_samples_are_named_by_where_they_were_drawn_and_compare_by_value() -> None:
    group = Group(
        prompt=PROMPT, samples=tuple(sample(id=SampleId(stage=0, step=2, group=1, sample=i)) for i in range(3))
    )
    assert len({s.id for s in group.samples}) == 3
    assert group.samples[0] == sample()
    assert group.samples[1] != sample()
