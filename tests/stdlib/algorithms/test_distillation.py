"""Both forms of on-policy distillation against hand computations."""

from __future__ import annotations

from typing import Any, Literal, Never

import pytest
import torch

from compiler.ir.algorithm import Algo, Teacher, TeacherAlgo
from compiler.ir.loss import DistillationLoss
from compiler.ir.model import Tokenizer
from stdlib.algorithms import distillation, opd
from stdlib.algorithms._terms import DistillationTerms, Experience, Totals
from tests.stdlib.algorithms.terms import clipped_loss, leaf, responses
from tests.support.tiny_model import tiny_facts

pytestmark = pytest.mark.torch

MASK = [1.0, 1.0, 0.0, 1.0, 1.0]
SEQUENCE = [0, 0, 0, 1, 1]
FORWARD, REVERSE = [0.5, 1.0, float("nan"), 2.0, 0.0], [0.25, 2.0, float("nan"), 1.0, 3.0]


def teacher() -> Teacher[Never]:
    return Teacher(**tiny_facts(tokenizer=Tokenizer()))


def params(**loss: Any) -> distillation.Params[Never]:
    return distillation.Params(algo=Algo(name="distillation"), loss=DistillationLoss(**loss), teacher=teacher())


def terms() -> DistillationTerms:
    return DistillationTerms(leaf(FORWARD), leaf(REVERSE), torch.tensor(MASK).double(), torch.tensor(SEQUENCE))


@pytest.mark.parametrize(
    ("loss", "by_token"),
    [
        ({"divergence": "forward"}, [0.5, 1.0, 0.0, 2.0, 0.0]),
        ({"divergence": "reverse"}, [0.25, 2.0, 0.0, 1.0, 3.0]),
        ({"divergence": "mixed", "forward_weight": 0.25}, [0.3125, 1.75, 0.0, 1.25, 2.25]),
    ],
)
@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_the_loss_is_the_mean_of_what_is_compared(
    loss: dict[str, Any], by_token: list[float], reduction: Literal["token", "sequence"]
) -> None:
    found = distillation.loss(params(reduction=reduction, **loss), terms(), Totals(4, 2, 2))
    means = sum(by_token) / 4, ((by_token[0] + by_token[1]) / 2 + (by_token[3] + by_token[4]) / 2) / 2
    assert float(found.loss.detach()) == pytest.approx(means[reduction == "sequence"])
    assert float(found.metrics["kl"].value) == pytest.approx(sum(by_token))
    assert float(found.metrics["forward_kl"].value) == pytest.approx(3.5)
    assert float(found.metrics["reverse_kl"].value) == pytest.approx(6.25)


def test_the_gradient_of_a_mixture_is_shared_by_weight_and_masked_tokens_have_none() -> None:
    given = terms()
    found = distillation.loss(params(divergence="mixed", forward_weight=0.25), given, Totals(4, 2, 2))
    forward, reverse = torch.autograd.grad(found.loss, (given.forward_kl_T, given.reverse_kl_T))
    assert forward.tolist() == pytest.approx([0.0625, 0.0625, 0.0, 0.0625, 0.0625])
    assert reverse.tolist() == pytest.approx([0.1875, 0.1875, 0.0, 0.1875, 0.1875])


def taught(rewards: list[float], groups: list[int]) -> Experience:
    given = responses(rewards, [[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]], groups=groups)
    return given._replace(
        old_logprobs_T=torch.tensor([float("nan"), -1.0, -2.0, 0.0, -3.0, 0.0]).double(),
        teacher_logprobs_T=torch.tensor([0.0, -1.5, -0.5, 0.0, -3.0, float("nan")]).double(),
    )


def opd_params(**algo: Any) -> opd.Params[Never]:
    return opd.Params(algo=TeacherAlgo(name="opd", **algo), loss=clipped_loss(), teacher=teacher())


def test_the_advantage_of_a_token_is_how_much_likelier_the_teacher_finds_it() -> None:
    found = opd.advantages(opd_params(teacher_coef=2.0), taught([1.0, 0.0], [0, 0]))
    assert found.advantages_T.tolist() == pytest.approx([0.0, -1.0, 3.0, 0.0, 0.0, 0.0])


def test_rewards_within_a_group_are_added_where_they_are_asked_for() -> None:
    found = opd.advantages(opd_params(rewards="group", normalize_std=False), taught([1.0, 0.0], [0, 0]))
    assert found.advantages_T.tolist() == pytest.approx([0.0, -0.5 + 0.5, 1.5 + 0.5, 0.0, -0.5, 0.0])


def test_the_expected_advantage_is_the_reverse_divergence() -> None:
    # Over the student's own distribution: sum q (log p - log q) = -KL(q || p).
    q, p = torch.tensor([0.2, 0.3, 0.5]).double(), torch.tensor([0.6, 0.3, 0.1]).double()
    given = responses([0.0] * 3, [[1.0]] * 3, groups=[0, 1, 2])
    given = given._replace(old_logprobs_T=q.log(), teacher_logprobs_T=p.log())
    found = opd.advantages(opd_params(), given).advantages_T
    assert float((q * found).sum()) == pytest.approx(-float((q * (q / p).log()).sum()))
