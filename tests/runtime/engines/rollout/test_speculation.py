"""Drafts that are verified: the distribution of what comes out is the model's, to the last digit.

Models here are tables of probabilities in eighths, and uniform numbers run over all of a lattice fine enough that a
frequency is a probability exactly.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from compiler.ir.rollout import Sampling
from runtime.engines.rollout.native.draws import uniform_draws
from runtime.engines.rollout.native.sampling import Sampler
from runtime.engines.rollout.native.speculation import Verified, by_rejection, coupled, draft_streams
from tests.contract.rollout_engines import GREEDY, PLAIN, SAMPLINGS

pytestmark = pytest.mark.torch

VOCAB = 3
# Of the first token; of the second one after each first; of the third one after any.
MODEL_1 = torch.tensor([4, 2, 2]) / 8
MODEL_2 = torch.tensor([[2, 4, 2], [1, 6, 1], [4, 4, 0]]) / 8
MODEL_3 = torch.tensor([5, 2, 1]) / 8
# What drafts: shares of the model are multiples of an eighth of it where it offers more.
DRAFT_1 = torch.tensor([2, 4, 2]) / 8
DRAFT_2 = torch.tensor([[4, 2, 2], [2, 4, 2], [4, 2, 2]]) / 8
LATTICE = 16


def logits_of(drafts_RK: Tensor) -> Tensor:
    """Return [R, 3, V] what the model says before each of two drafts and behind them."""
    first = MODEL_1.expand(len(drafts_RK), -1)
    third = MODEL_3.expand(len(drafts_RK), -1)
    return torch.stack([first, MODEL_2[drafts_RK[:, 0]], third], dim=1).log()


def lattice(num_draws: int) -> Tensor:
    """Return all points of a lattice of so many uniform numbers, none of them on a border."""
    points = (torch.arange(LATTICE, dtype=torch.float64) + 0.5) / LATTICE
    return torch.cartesian_prod(*[points] * num_draws)


def sampler_of(num_rows: int, sampling: Sampling = PLAIN) -> Sampler:
    return Sampler([sampling] * num_rows)


def test_two_drafts_leave_the_joint_distribution_as_it_was() -> None:
    """P(first, second): of rows that got one token, the second one is the model's in the next pass."""
    joint = torch.zeros(VOCAB, VOCAB, dtype=torch.float64)
    draws = lattice(4)
    for first, second in product(range(VOCAB), repeat=2):
        share = float(DRAFT_1[first] * DRAFT_2[first, second])
        drafts = torch.tensor([[first, second]]).expand(len(draws), -1)
        offered = torch.stack([DRAFT_1, DRAFT_2[first]]).expand(len(draws), -1, -1)
        # The third position says nothing of the first two: its draw may be any.
        uniform = torch.cat([draws[:, :2], draws[:, :1]], dim=1)
        sampler = sampler_of(3 * len(draws))
        found = by_rejection(sampler, logits_of(drafts), drafts, offered, uniform_RS=uniform, accept_RK=draws[:, 2:])
        for row_tokens, count in zip(*found.tokens_RS[:, :2].unique(dim=0, return_counts=True), strict=True):
            one, two = row_tokens.tolist()
            weight = share * int(count) / len(draws)
            joint[one] += weight * (MODEL_2[one].double() if two < 0 else torch.eye(VOCAB, dtype=torch.float64)[two])
    torch.testing.assert_close(joint, (MODEL_1[:, None] * MODEL_2).double(), atol=1e-12, rtol=0)


def test_drafts_are_accepted_as_often_as_can_be() -> None:
    """One minus the total variation of both distributions: 1 - (1/4 + 0 + 0)."""
    draws = lattice(2)
    total = 0.0
    for first in range(VOCAB):
        drafts = torch.full((len(draws), 1), first)
        offered = DRAFT_1.expand(len(draws), 1, -1)
        uniform = draws[:, :1].expand(-1, 2)
        logits = logits_of(torch.tensor([[first, 0]]).expand(len(draws), -1))[:, :2]
        found = by_rejection(
            sampler_of(2 * len(draws)), logits, drafts, offered, uniform_RS=uniform, accept_RK=draws[:, 1:]
        )
        total += float(DRAFT_1[first]) * float(found.num_accepted_R.double().mean())
    assert total == pytest.approx(1 - float((DRAFT_1 - MODEL_1).clamp(min=0).sum()), abs=1e-12)


@pytest.mark.parametrize("offers", ["one token", "a distribution"])
def test_a_draft_that_the_model_never_says_is_never_accepted(offers: str) -> None:
    draws = lattice(2)
    offered = torch.tensor([0.0, 0.0, 1.0]) if offers == "one token" else torch.tensor([0.25, 0.25, 0.5])
    drafts = torch.full((len(draws), 1), 2)
    logits = torch.stack([MODEL_2[2], MODEL_3]).log().expand(len(draws), -1, -1)
    found = by_rejection(
        sampler_of(2 * len(draws)),
        logits,
        drafts,
        offered.expand(len(draws), 1, -1),
        uniform_RS=draws[:, :1].expand(-1, 2),
        accept_RK=draws[:, 1:],
    )
    assert int(found.num_accepted_R.sum()) == 0
    assert set(found.tokens_RS[:, 0].tolist()) == {0, 1}


def random_pass(sampling: Sampling, *, num_rows: int = 200, num_drafts: int = 3) -> tuple[Sampler, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(num_rows, num_drafts + 1, 7, generator=generator)
    drafts = torch.randint(0, 7, (num_rows, num_drafts), generator=generator)
    # Half of the drafts are likely ones.
    drafts[::2] = logits[::2, :-1].argmax(-1)
    return sampler_of(num_rows * (num_drafts + 1), sampling), logits, drafts


def draws_of(num_rows: int, num_draws: int, *, stream: int = 5) -> Tensor:
    return uniform_draws([stream] * num_rows, range(num_rows), num_draws=num_draws)


def rejecting(sampling: Sampling) -> tuple[Verified, Tensor, Tensor]:
    sampler, logits, drafts = random_pass(sampling)
    offered = torch.full((200, 3, 7), 1 / 7)
    streams = draft_streams(5)
    found = by_rejection(
        sampler,
        logits,
        drafts,
        offered,
        uniform_RS=draws_of(200, 4),
        accept_RK=draws_of(200, 3, stream=streams.accepted),
    )
    return found, logits, drafts


@pytest.mark.parametrize("sampling", [*SAMPLINGS, GREEDY])
@pytest.mark.parametrize("way", ["coupled", "by rejection"])
def test_log_probs_are_those_that_the_sampler_tells(sampling: Sampling, way: str) -> None:
    if way == "coupled":
        sampler, logits, drafts = random_pass(sampling)
        found = coupled(sampler, logits, drafts, draws_of(200, 4))
    else:
        found, logits, drafts = rejecting(sampling)
    assert 0 < int(found.num_accepted_R.sum()) < drafts.numel()
    for row in range(200):
        num = int(found.num_accepted_R[row]) + 1
        assert found.tokens_RS[row, : num - 1].equal(drafts[row, : num - 1])
        assert found.tokens_RS[row, num:].tolist() == [-1] * (4 - num)
        _, told = sampler_of(num, sampling).distribution(logits[row, :num])
        expected = told.gather(-1, found.tokens_RS[row, :num, None])[:, 0].log()
        torch.testing.assert_close(found.logprobs_RS[row, :num], expected)
        assert torch.isfinite(found.logprobs_RS[row]).all()
        assert found.logprobs_RS[row, num:].tolist() == [0.0] * (4 - num)


@pytest.mark.parametrize("sampling", [*SAMPLINGS, GREEDY])
def test_coupled_tokens_are_those_that_are_drawn_without_drafts(sampling: Sampling) -> None:
    sampler, logits, drafts = random_pass(sampling)
    uniform = draws_of(200, 4)
    found = coupled(sampler, logits, drafts, uniform)
    for row in range(200):
        for position in range(int(found.num_accepted_R[row]) + 1):
            token, logprob = sampler_of(1, sampling).draw(
                logits[row, position : position + 1], uniform[row, position, None]
            )
            assert int(token) == int(found.tokens_RS[row, position])
            assert float(logprob) == pytest.approx(float(found.logprobs_RS[row, position]), abs=1e-6)


def test_a_coupled_draft_of_one_token_is_kept_as_often_as_the_model_says_it() -> None:
    draws = lattice(2)
    for first in range(VOCAB):
        drafts = torch.full((len(draws), 1), first)
        logits = logits_of(torch.tensor([[first, 0]]).expand(len(draws), -1))[:, :2]
        found = coupled(sampler_of(2 * len(draws)), logits, drafts, draws)
        assert float(found.num_accepted_R.double().mean()) == float(MODEL_1[first])


@pytest.mark.parametrize("way", ["coupled", "by rejection"])
def test_greedy_tokens_are_the_likeliest_whatever_is_drafted(way: str) -> None:
    sampler, logits, drafts = random_pass(GREEDY)
    found = coupled(sampler, logits, drafts, draws_of(200, 4)) if way == "coupled" else rejecting(GREEDY)[0]
    best = logits.argmax(-1)
    for row in range(200):
        num = int(found.num_accepted_R[row]) + 1
        assert found.tokens_RS[row, :num].equal(best[row, :num])
        assert num == 4 or int(drafts[row, num - 1]) != int(best[row, num - 1])


def test_a_draft_of_the_model_itself_is_always_accepted() -> None:
    sampler, logits, drafts = random_pass(PLAIN)
    uniform = draws_of(200, 4)
    drawn = coupled(sampler, logits, drafts, uniform)
    own = torch.where(drawn.tokens_RS[:, :1] < 0, 0, drawn.tokens_RS[:, :1])
    two = sampler_of(400)
    assert int(coupled(two, logits[:, :2], own, uniform[:, :2]).num_accepted_R.sum()) == 200
    offered = logits[:, :1].softmax(-1)
    accept = draws_of(200, 1, stream=draft_streams(5).accepted)
    found = by_rejection(two, logits[:, :2], own, offered, uniform_RS=uniform[:, :2], accept_RK=accept)
    assert int(found.num_accepted_R.sum()) == 200


def test_streams_for_drafts_are_others_than_that_of_the_tokens() -> None:
    streams = draft_streams(5)
    tables = [draws_of(50, 8, stream=stream) for stream in (5, *streams)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not (tables[one] == tables[other]).any()
