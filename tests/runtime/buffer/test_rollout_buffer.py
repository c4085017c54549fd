"""The pools of a buffer: their order, the age of groups, and the same groups after a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from runtime.buffer.rollout_buffer import Kept, RolloutBuffer, drawn_at, put, staleness_steps, take
from runtime.buffer.saved import restored, saved
from stdlib.samples import ExpertIds, Group, JsonValue, Prompt, Sample, SampleId, Segment
from stdlib.selectors import fifo

pytestmark = pytest.mark.torch


def group(step: int, number: int, *versions: tuple[int, ...]) -> Group:
    """Return a group with one sample for each tuple of versions of its tokens."""
    prompt = Prompt(
        row=number,
        source="d.jsonl",
        text='say "\u00e9"',
        tokens=(1, 2),
        label={"answer": [0.1, None]},
        messages=({"role": "user", "content": "\u00fc"},),
        metadata={"level": 0.1},
    )
    samples = tuple(
        Sample(
            id=SampleId(stage=0, step=step, group=number, sample=i),
            prompt=prompt,
            segments=(
                Segment(tokens=(1, 2), is_sampled=False),
                Segment(
                    tokens=tuple(range(len(some))),
                    is_sampled=True,
                    logprobs=tuple(-(k + 1) / 3 for k in range(len(some))),
                    versions=some,
                    is_trained=i != 1,
                ),
            ),
            text="ab",
            finish="stop" if i else "abort",
            reward=0.1 if i else None,
            raw_reward=0.3 if i else None,
            reward_terms={"exact": 1 / 3} if i else {},
            has_failed=i == 1,
        )
        for i, some in enumerate(versions)
    )
    return Group(prompt=prompt, samples=samples)


def kept(*at: tuple[int, int]) -> list[Kept]:
    return [Kept(group=group(step, number, (step,))) for step, number in at]


@pytest.mark.parametrize(
    ("versions", "steps"), [(((5,),), 0), (((3, 3, 4), (5,)), 2), (((), (4,)), 1), (((), ()), 0), (((0,),), 5)]
)
def test_the_age_of_a_group_is_that_of_its_oldest_token(versions: tuple[tuple[int, ...], ...], steps: int) -> None:
    assert staleness_steps(group(0, 0, *versions), 5) == steps


@pytest.mark.parametrize(("bound", "left"), [(0, [5]), (1, [4, 5]), (3, [2, 4, 5]), (OFF, [0, 2, 4, 5])])
def test_groups_above_the_bound_are_dropped_and_counted(bound: object, left: list[int]) -> None:
    pools = [kept((version, 0)) for version in (0, 2, 4)]
    buffer = RolloutBuffer(unfinished=[*pools[0], *kept((5, 1))], finished=pools[1], used=pools[2])
    dropped = buffer.drop_stale(5, bound if isinstance(bound, int) else OFF)
    found = [*buffer.unfinished, *buffer.finished, *buffer.used]
    assert sorted(drawn_at(one.group)[0] for one in found) == left
    assert dropped == 4 - len(left)
    assert buffer.num_groups == len(left)


def test_a_pool_is_in_the_order_in_which_its_groups_were_drawn() -> None:
    pool = kept((2, 1), (4, 0))
    put(pool, kept((3, 7), (2, 0)))
    assert [drawn_at(one.group) for one in pool] == [(2, 0), (2, 1), (3, 7), (4, 0)]


def test_what_is_taken_leaves_the_pool() -> None:
    pool = kept((2, 0), (2, 1), (3, 0))
    taken = take(pool, 2, version=4, select=lambda waiting, count: [2, 0][:count])
    assert [drawn_at(one.group) for one in taken] == [(3, 0), (2, 0)]
    assert [drawn_at(one.group) for one in pool] == [(2, 1)]
    assert take(pool, 0, version=4, select=fifo.select) == []
    assert len(take(pool, 5, version=4, select=fifo.select)) == 1
    assert pool == []


def test_a_selector_sees_age_and_uses() -> None:
    seen: list[tuple[int, int]] = []

    def select(waiting: object, count: int) -> list[int]:
        assert isinstance(waiting, list)
        seen.extend((one.staleness_steps, one.num_uses) for one in waiting)
        return []

    take([Kept(group=group(1, 0, (1,)), num_uses=2)], 1, version=4, select=select)
    assert seen == [(3, 2)]


def buffer_of_all_kinds() -> RolloutBuffer:
    routed = group(2, 1, (2,))
    sample = replace(routed.samples[0], expert_ids=ExpertIds(torch.arange(8, dtype=torch.int16).view(2, 2, 2)))
    return RolloutBuffer(
        unfinished=[Kept(group=group(3, 0, (3, 3, 4), (), (4,)))],
        finished=[Kept(group=replace(routed, samples=(sample,))), Kept(group=group(2, 2, (), ()))],
        used=[Kept(group=group(1, 0, (1, 1), (1,)), num_uses=2)],
    )


@pytest.mark.parametrize("buffer", [RolloutBuffer(), buffer_of_all_kinds()], ids=["empty", "full"])
def test_a_buffer_is_the_same_after_a_checkpoint(buffer: RolloutBuffer, tmp_path: Path) -> None:
    written = saved(buffer)
    text = json.dumps(written.state, allow_nan=False)
    save_file(dict(written.tensors), tmp_path / "tensors.safetensors")
    found = restored(json.loads(text), load_file(tmp_path / "tensors.safetensors"))
    assert found == buffer


@pytest.mark.parametrize("state", [None, {}, {"unfinished": [], "finished": [{}], "used": []}])
def test_a_checkpoint_without_a_buffer_is_not_resumed(state: JsonValue) -> None:
    tensors = saved(RolloutBuffer()).tensors
    with pytest.raises(SpecError, match="RLC0665"):
        restored(state, tensors)
    with pytest.raises(SpecError, match="RLC0665"):
        restored(saved(RolloutBuffer()).state, {})


def test_tokens_that_no_group_has_are_not_passed_over() -> None:
    written = saved(buffer_of_all_kinds())
    more = {name: torch.cat([tensor, tensor[:1]]) for name, tensor in written.tensors.items()}
    with pytest.raises(SpecError, match=r"RLC0665.*tokens are saved"):
        restored(written.state, more)
