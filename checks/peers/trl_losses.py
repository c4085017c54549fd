"""Policy losses of TRL's GRPOTrainer, values and gradients, beside ours."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from checks.peers import trl_trainers
from checks.peers.batches import Batch, draw, terms_of, totals_of
from checks.peers.ledger import Ledger, gradient_of
from checks.peers.settings import clipped_loss, ratio_loss, soft_loss
from compiler.ir.algorithm import GroupRelativeAlgo
from compiler.ir.loss import KL
from stdlib.algorithms import cispo, grpo, gspo, sapo

_ALGO = GroupRelativeAlgo(name="of the group")
_LOW, _HIGH, _TOKENS = 0.2, 0.28, 7
_CLIP = {"epsilon": _LOW, "epsilon_high": _HIGH}


class _Pair(NamedTuple):
    """Settings of theirs, the module of ours, and its [loss]."""

    theirs: dict[str, Any]
    module: Any
    ours: Any


_PAIRS = (
    _Pair({"loss_type": "grpo", **_CLIP}, grpo, clipped_loss(clip_high=_HIGH, reduction="sequence")),
    _Pair({"loss_type": "bnpo", **_CLIP}, grpo, clipped_loss(clip_high=_HIGH)),
    _Pair({"loss_type": "dapo", **_CLIP}, grpo, clipped_loss(clip_high=_HIGH)),
    _Pair(
        {"loss_type": "dr_grpo", "max_completion_length": _TOKENS, **_CLIP},
        grpo,
        clipped_loss(clip_high=_HIGH, reduction="constant", constant_tokens=_TOKENS),
    ),
    _Pair({"loss_type": "dapo", "delta": 1.5, **_CLIP}, grpo, clipped_loss(clip_high=_HIGH, max_ratio=1.5)),
    _Pair(
        {"loss_type": "grpo", "beta": 0.3, "use_bias_correction_kl": False, **_CLIP},
        grpo,
        clipped_loss(clip_high=_HIGH, reduction="sequence", kl=KL(estimator="k3", coef=0.3)),
    ),
    _Pair(
        {"loss_type": "grpo", "beta": 0.3, "use_bias_correction_kl": True, **_CLIP},
        grpo,
        clipped_loss(clip_high=_HIGH, reduction="sequence", kl=KL(estimator="k3", coef=0.3, weight="old")),
    ),
    _Pair(
        {"loss_type": "grpo", "importance_sampling_level": "sequence", **_CLIP},
        gspo,
        clipped_loss(clip_high=_HIGH, reduction="sequence"),
    ),
    # Their bound is the largest ratio itself, and there is none below.
    _Pair({"loss_type": "cispo", "epsilon_high": 2.5}, cispo, ratio_loss(clip_low=1.0, clip_high=1.5)),
    _Pair(
        {"loss_type": "sapo", "sapo_temperature_pos": 1.3, "sapo_temperature_neg": 1.7},
        sapo,
        soft_loss(gate_positive=1.3, gate_negative=1.7, reduction="sequence"),
    ),
    _Pair(
        {"loss_type": "dapo", "off_policy_mask_threshold": 0.1, **_CLIP},
        grpo,
        clipped_loss(clip_high=_HIGH, opsm_delta=0.1),
    ),
)


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the losses of one draw against each other."""
    batch = draw(seed, tokens=_TOKENS, spread=0.6)
    empty_BL = batch.mask_BL.clone()
    empty_BL[1] = 0.0
    for kind, one in (("", batch), (", an empty row", batch._replace(mask_BL=empty_BL))):
        for pair in _PAIRS:
            _compare(ledger, one, pair, kind)


def _compare(ledger: Ledger, batch: Batch, pair: _Pair, kind: str) -> None:
    theirs_BL = batch.logprobs_BL.clone().requires_grad_()
    ours_BL = batch.logprobs_BL.clone().requires_grad_()
    theirs = _theirs(batch, pair, theirs_BL)
    ours = pair.module.loss(pair.module.Params(algo=_ALGO, loss=pair.ours), terms_of(batch, ours_BL), totals_of(batch))
    name = f"trl {' '.join(str(value) for value in pair.theirs.values())}{kind}"
    ledger.compare(name, ours.loss, theirs)
    ledger.compare(f"{name}, gradient", gradient_of(ours.loss, ours_BL), gradient_of(theirs, theirs_BL))


def _theirs(batch: Batch, pair: _Pair, logprobs_BL: Tensor) -> Tensor:
    trainer = _trainer(_PAIRS.index(pair))
    trainer.given_BL = logprobs_BL
    rows, tokens = batch.mask_BL.shape
    ids = {name: torch.zeros(rows, tokens, dtype=torch.int64) for name in ("prompt_ids", "completion_ids")}
    given = {
        **ids,
        "prompt_mask": torch.ones(rows, tokens),
        "completion_mask": batch.mask_BL,
        "advantages": batch.advantages_BL[:, 0],
        "old_per_token_logps": batch.old_BL,
        "ref_per_token_logps": batch.ref_BL,
        "num_items_in_batch": batch.mask_BL.sum(),
    }
    return trainer._compute_loss(trainer.model, given)


@cache
def _trainer(index: int) -> trl_trainers.GivenLogprobs:
    # The reference's log-probs are given: a trainer that is built with beta loads a reference from a hub.
    settings = dict(_PAIRS[index].theirs)
    beta = settings.pop("beta", 0.0)
    trainer = trl_trainers.grpo_at(**settings)
    trainer.beta = beta
    return trainer
