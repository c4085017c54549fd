"""What holds of every algorithm: its closed form and gradient, and that masks, order and packing change nothing.

The algorithms are those of the folder: a new one has to bring, in cases.py, what its paper says of a token and of a
sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import stdlib.algorithms
from compiler.ir.algorithm import Critic
from stdlib.algorithms._terms import Totals
from tests.stdlib.algorithms import naive
from tests.stdlib.algorithms.cases import CASES, params_of
from tests.stdlib.algorithms.random_batches import (
    chosen,
    random_experience,
    random_terms,
    reordered,
    totals_of,
    with_junk,
)

pytestmark = pytest.mark.torch

FOLDER = Path(stdlib.algorithms.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
NEAR = 1e-6

# Its terms are one score an answer, not one number a token: test_reward_model.py holds the same of those.
OF_ANSWERS = {"reward_model"}

POLICIES = [name for name in CASES if CASES[name].naive_advantages is not None]
REDUCTIONS = ("token", "sequence")


class Loss(NamedTuple):
    """A loss by what takes terms and totals, beside the same as its paper has it, and the kind of its terms."""

    kind: str
    ours: Callable[[Any, Totals], Any]
    paper: Callable[[Any, Totals], Tensor]


def losses_of(name: str, reduction: str) -> list[Loss]:
    """Return the algorithm's loss, and its critic's where it has one."""
    case, module, params = CASES[name], import_module(f"stdlib.algorithms.{name}"), params_of(name, reduction)
    own = Loss(case.terms or module.KIND, partial(module.loss, params), partial(case.naive_loss, loss=params.loss))
    if case.critic is None:
        return [own]
    settings: dict[str, Any] = {**vars(case.critic), "reduction": reduction}
    critic = Critic(**settings)
    return [own, Loss("value", partial(module.value_loss, critic), partial(naive.value, critic=critic))]


def gradients_of(loss: Tensor, terms: Any) -> dict[str, Tensor]:
    """Return the gradient by every field that carries one."""
    names = [n for n in terms._fields if getattr(terms, n) is not None and getattr(terms, n).requires_grad]
    found = torch.autograd.grad(loss, [getattr(terms, n) for n in names], allow_unused=True)
    return {n: torch.zeros_like(getattr(terms, n)) if x is None else x for n, x in zip(names, found, strict=True)}


def near(ours: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(ours.detach().double(), other.detach().double(), rtol=NEAR, atol=NEAR)


def test_every_algorithm_of_the_folder_is_here() -> None:
    assert set(NAMES) == CASES.keys() | OF_ANSWERS


def test_every_policy_algorithm_says_its_advantages_and_every_critic_its_loss() -> None:
    modules = {name: import_module(f"stdlib.algorithms.{name}") for name in CASES}
    assert {name for name, module in modules.items() if hasattr(module, "advantages")} == set(POLICIES)
    assert {n for n, m in modules.items() if hasattr(m, "value_loss")} == {n for n in CASES if CASES[n].critic}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_the_paper(name: str, reduction: str) -> None:
    for loss in losses_of(name, reduction):
        for seed in range(3):
            terms = random_terms(loss.kind, seed=seed)
            totals = totals_of(terms)
            ours, paper = loss.ours(terms, totals).loss, loss.paper(terms, totals)
            near(ours, paper)
            expected = gradients_of(paper, terms)
            for field, gradient in gradients_of(ours, terms).items():
                near(gradient, expected[field])
            assert any(bool((gradient != 0).any()) for gradient in expected.values())


@pytest.mark.parametrize("junk", [7.0, math.inf, math.nan])
@pytest.mark.parametrize("name", CASES)
def test_masked_tokens_have_no_effect(name: str, junk: float) -> None:
    for loss in losses_of(name, "sequence"):
        found = []
        for terms in (random_terms(loss.kind), with_junk(random_terms(loss.kind), junk)):
            output = loss.ours(terms, totals_of(terms))
            gradients = gradients_of(output.loss, terms)
            assert all(bool((g[terms.mask_T == 0] == 0).all()) for g in gradients.values())
            metrics = {metric: (float(m.value), m.over) for metric, m in output.metrics.items()}
            found.append((float(output.loss.detach()), {f: g.tolist() for f, g in gradients.items()}, metrics))
        assert found[0] == found[1]


# Pairs stay together, the better answer first.
@pytest.mark.parametrize("order", [(4, 5, 0, 1, 2, 3), (2, 3, 4, 5, 0, 1)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_another_order_of_sequences_gives_the_same_loss(name: str, reduction: str, order: tuple[int, ...]) -> None:
    for loss in losses_of(name, reduction):
        terms = random_terms(loss.kind)
        other, at_T = chosen(terms, order)
        totals = totals_of(terms)
        ours, reordered_loss = loss.ours(terms, totals), loss.ours(other, totals)
        near(reordered_loss.loss, ours.loss)
        expected = gradients_of(ours.loss, terms)
        for field, gradient in gradients_of(reordered_loss.loss, other).items():
            near(gradient, expected[field][at_T])


# In one pack; two sequences to each; one long and one short; and, but for pairs, each by itself.
@pytest.mark.parametrize(
    "packs", [((0, 1), (2, 3), (4, 5)), ((2, 3, 0, 1), (4, 5)), ((5,), (4,), (3,), (2,), (1,), (0,))]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_packing_changes_neither_loss_nor_gradient_nor_metrics(
    name: str, reduction: str, packs: tuple[tuple[int, ...], ...]
) -> None:
    for loss in losses_of(name, reduction):
        if loss.kind == "preference" and len(packs) == 6:
            continue
        terms = random_terms(loss.kind)
        totals = totals_of(terms)
        whole = loss.ours(terms, totals)
        expected = gradients_of(whole.loss, terms)
        share, sums = torch.zeros((), dtype=torch.float64), dict.fromkeys(whole.metrics, 0.0)
        for pack in packs:
            part, at_T = chosen(terms, pack)
            output = loss.ours(part, totals)
            share = share + output.loss.detach()
            for field, gradient in gradients_of(output.loss, part).items():
                near(gradient, expected[field][at_T])
            for metric, m in output.metrics.items():
                sums[metric] += float(m.value)
        near(share, whole.loss)
        assert sums == pytest.approx(
            {metric: float(m.value) for metric, m in whole.metrics.items()}, rel=NEAR, abs=NEAR
        )


@pytest.mark.parametrize("name", POLICIES)
def test_advantages_are_those_of_the_paper(name: str) -> None:
    module, paper = import_module(f"stdlib.algorithms.{name}"), CASES[name].naive_advantages
    assert paper is not None
    for seed in range(3):
        experience = random_experience(seed=seed)
        found = module.advantages(params_of(name, "token"), experience)
        assert found.advantages_T.tolist() == pytest.approx(paper(experience), rel=NEAR, abs=NEAR)


@pytest.mark.parametrize("name", POLICIES)
def test_another_order_of_samples_gives_the_same_advantages(name: str) -> None:
    module, params, experience = (
        import_module(f"stdlib.algorithms.{name}"),
        params_of(name, "token"),
        random_experience(),
    )
    found = module.advantages(params, experience)
    for order in ((4, 2, 0, 1, 5, 3), (5, 4, 3, 2, 1, 0)):
        other, at_T = reordered(experience, order)
        again = module.advantages(params, other)
        near(again.advantages_T, found.advantages_T[at_T])
        if found.returns_T is not None:
            near(again.returns_T, found.returns_T[at_T])


@pytest.mark.parametrize("junk", [7.0, math.nan])
@pytest.mark.parametrize("name", POLICIES)
def test_masked_tokens_have_no_effect_on_advantages(name: str, junk: float) -> None:
    module, params, experience = (
        import_module(f"stdlib.algorithms.{name}"),
        params_of(name, "token"),
        random_experience(),
    )
    masked_T = experience.mask_T == 0
    fields = ("old_logprobs_T", "ref_logprobs_T", "teacher_logprobs_T", "values_T")
    other = experience._replace(**{f: getattr(experience, f).masked_fill(masked_T, junk) for f in fields})
    found, again = (module.advantages(params, one) for one in (experience, other))
    assert again.advantages_T.tolist() == found.advantages_T.tolist()
    assert bool((found.advantages_T[masked_T] == 0).all())
    assert (again.returns_T is None) == (found.returns_T is None)
    if found.returns_T is not None:
        assert again.returns_T.tolist() == found.returns_T.tolist()
