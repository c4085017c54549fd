"""The ranks that tests of several processes run on."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist

from tests.support.ranks import RanksFailedError, RunRanks

pytestmark = pytest.mark.torch


def sum_of_ranks() -> tuple[int, float, int]:
    number = torch.tensor(float(dist.get_rank()))
    dist.all_reduce(number)
    return dist.get_rank(), float(number), os.getpid()


def fails_on(rank: int) -> None:
    dist.barrier()
    if dist.get_rank() == rank:
        raise KeyError("a word")
    dist.barrier()


def test_every_rank_answers_and_lives_on(run_ranks: RunRanks) -> None:
    first, second = run_ranks(2, sum_of_ranks), run_ranks(3, sum_of_ranks)
    assert [(rank, total) for rank, total, _ in first] == [(0, 1.0), (1, 1.0)]
    assert [(rank, total) for rank, total, _ in second] == [(0, 3.0), (1, 3.0), (2, 3.0)]
    assert [pid for *_, pid in first] == [pid for *_, pid in second][:2]


def test_what_a_rank_raises_comes_back_with_the_stacks_of_those_that_wait_for_it(run_ranks: RunRanks) -> None:
    with pytest.raises(RanksFailedError, match="in fails_on") as failed:
        run_ranks(2, fails_on, 1)
    assert isinstance(failed.value.errors[1], KeyError)
    assert "dist.barrier()" in str(failed.value)


def test_a_hang_ends_with_every_stack(run_ranks: RunRanks) -> None:
    run_ranks(2, sum_of_ranks)  # all is loaded: what follows waits for nothing else
    with pytest.raises(RanksFailedError, match="barrier"):
        run_ranks(2, waits_for_nobody, timeout_s=4.0)
    assert len(run_ranks(2, sum_of_ranks)) == 2  # in new processes


def waits_for_nobody() -> None:
    if dist.get_rank() == 0:
        dist.barrier()
    else:
        dist.recv(torch.zeros(1), src=0)
