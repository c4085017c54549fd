"""Policy, value and KL losses of `verl.trainer.ppo.core_algos`: values and gradients beside ours."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig

from checks.peers.batches import Batch, draw, rows_of, terms_of, totals_of
from checks.peers.ledger import Ledger, gradient_of
from checks.peers.settings import clipped_loss, policy_loss, ratio_loss, soft_loss
from compiler.ir.algorithm import Critic, GroupRelativeAlgo
from compiler.ir.loss import KL
from stdlib.algorithms import cispo, grpo, gspo, ppo, rloo, sapo
from stdlib.algorithms._ops import kl_penalty
from stdlib.algorithms._terms import ValueTerms

_ALGO = GroupRelativeAlgo(name="of the group")
_LOW, _HIGH, _TOKENS = 0.2, 0.28, 7
# How each of their ways to make one number of all tokens is said here.
REDUCTIONS: dict[str, dict[str, Any]] = {
    "token-mean": {"reduction": "token"},
    "token-sum": {"reduction": "sum", "constant_tokens": 1},
    "seq-mean-token-mean": {"reduction": "sequence", "empty_sequences": "skip"},
    "seq-mean-token-sum": {"reduction": "constant", "constant_tokens": 1, "empty_sequences": "skip"},
    "seq-mean-token-sum-norm": {"reduction": "constant", "constant_tokens": _TOKENS, "empty_sequences": "skip"},
}


class _Pair(NamedTuple):
    """A loss of theirs by name, the module of ours, and its [loss] but for the reduction."""

    theirs: str
    module: Any
    loss: Any
    settings: dict[str, Any]


_PAIRS = (
    _Pair("vanilla", grpo, clipped_loss, {"dual_clip": 3.0, "log_ratio_clamp": 20.0}),
    _Pair("gspo", gspo, clipped_loss, {"log_ratio_clamp": 10.0}),
    _Pair("cispo", cispo, ratio_loss, {"log_ratio_clamp": 20.0}),
)


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the losses of one draw against each other."""
    batch = draw(seed, tokens=_TOKENS, spread=1.0)
    empty_BL = batch.mask_BL.clone()
    empty_BL[1] = 0.0
    for kind, one in (("", batch), (", an empty row", batch._replace(mask_BL=empty_BL))):
        for mode in REDUCTIONS:
            for pair in _PAIRS:
                _policy(ledger, one, pair, mode, kind)
            _reinforce(ledger, one, mode, kind)
        _soft(ledger, one, kind)
        _values(ledger, one, kind)
    _far(ledger, seed)
    _divergence(ledger, seed)


def _actor(**changes: Any) -> Any:
    settings = {"clip_ratio": _LOW, "clip_ratio_low": _LOW, "clip_ratio_high": _HIGH, "clip_ratio_c": 3.0}
    return ActorConfig(strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, **settings, **changes)


def _leaf(batch: Batch) -> Tensor:
    return batch.logprobs_BL.clone().requires_grad_()


def _policy(ledger: Ledger, batch: Batch, pair: _Pair, mode: str, kind: str) -> None:
    theirs_BL, ours_BL = _leaf(batch), _leaf(batch)
    function = core_algos.get_policy_loss_fn(pair.theirs)
    theirs, _ = function(batch.old_BL, theirs_BL, batch.advantages_BL, batch.mask_BL, mode, _actor())
    spec = pair.loss(clip_low=_LOW, clip_high=_HIGH, **pair.settings, **REDUCTIONS[mode])
    params = pair.module.Params(algo=_ALGO, loss=spec)
    ours = pair.module.loss(params, terms_of(batch, ours_BL), totals_of(batch)).loss
    _both(ledger, f"verl {pair.theirs}, {mode}{kind}", (ours, ours_BL), (theirs, theirs_BL))


def _both(ledger: Ledger, name: str, ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    ledger.compare(name, ours[0], theirs[0])
    ledger.compare(f"{name}, gradient", gradient_of(*ours), gradient_of(*theirs))


def _reinforce(ledger: Ledger, batch: Batch, mode: str, kind: str) -> None:
    theirs_BL, ours_BL = _leaf(batch), _leaf(batch)
    arguments = (batch.rollout_BL, theirs_BL, batch.advantages_BL, batch.mask_BL, mode, _actor())
    theirs, _ = core_algos.compute_policy_loss_reinforce(*arguments)
    params = rloo.Params(algo=rloo.LeaveOneOutAlgo(name="rloo"), loss=policy_loss(**REDUCTIONS[mode]))
    ours = rloo.loss(params, terms_of(batch, ours_BL), totals_of(batch)).loss
    _both(ledger, f"verl reinforce, {mode}{kind}", (ours, ours_BL), (theirs, theirs_BL))


def _soft(ledger: Ledger, batch: Batch, kind: str) -> None:
    theirs_BL, ours_BL = _leaf(batch), _leaf(batch)
    function = core_algos.get_policy_loss_fn("sapo")
    theirs, _ = function(
        batch.old_BL, theirs_BL, batch.advantages_BL, batch.mask_BL, config=_actor(tau_pos=1.3, tau_neg=1.7)
    )
    gates = {"gate_positive": 1.3, "gate_negative": 1.7}
    spec = soft_loss(**REDUCTIONS["seq-mean-token-mean"], log_ratio_clamp=20.0, **gates)
    ours = sapo.loss(sapo.Params(algo=_ALGO, loss=spec), terms_of(batch, ours_BL), totals_of(batch)).loss
    _both(ledger, f"verl sapo{kind}", (ours, ours_BL), (theirs, theirs_BL))


def _far(ledger: Ledger, seed: int) -> None:
    """Log-ratios of dozens of nats, which theirs clamps."""
    batch = draw(seed, tokens=_TOKENS, spread=25.0)
    for pair in (_PAIRS[0], _PAIRS[2]):
        _policy(ledger, batch, pair, "token-mean", ", far off policy")
    _soft(ledger, batch, ", far off policy")
    # Theirs bounds a sequence's log-ratio from above only; below -10 ours adds at most e^-10 times the advantage.
    near = batch._replace(logprobs_BL=batch.old_BL + (batch.logprobs_BL - batch.old_BL).clamp(min=-9.0))
    _policy(ledger, near, _PAIRS[1], "seq-mean-token-mean", ", far off policy")


def _values(ledger: Ledger, batch: Batch, kind: str) -> None:
    theirs_BL = (batch.values_BL + 0.4 * batch.rollout_BL).requires_grad_()
    ours_BL = theirs_BL.detach().clone().requires_grad_()
    returns_BL = batch.values_BL + batch.ref_BL
    arguments = (theirs_BL, returns_BL, batch.values_BL, batch.mask_BL, 0.3)
    modes: dict[str, Any] = {"token-mean": "token", "seq-mean-token-mean": "sequence"}
    for mode, reduction in modes.items():
        if kind and reduction == "sequence":
            continue  # a row without a token is a zero in ours, and not there in theirs
        theirs, _ = core_algos.compute_value_loss(*arguments, mode)
        terms = ValueTerms(
            values_T=ours_BL.reshape(-1),
            old_values_T=batch.values_BL.reshape(-1),
            returns_T=returns_BL.reshape(-1),
            mask_T=batch.mask_BL.reshape(-1),
            sequence_T=rows_of(batch),
        )
        critic = Critic(lr=1e-3, value_clip=0.3, loss_scale=0.5, reduction=reduction)
        ours = ppo.value_loss(critic, terms, totals_of(batch)).loss
        _both(ledger, f"verl compute_value_loss, {mode}{kind}", (ours, ours_BL), (theirs, theirs_BL))


def _divergence(ledger: Ledger, seed: int) -> None:
    for spread in (0.5, 20.0):
        batch = draw(seed, spread=spread)
        whole = batch._replace(mask_BL=torch.ones_like(batch.mask_BL))
        for name, spec in {
            "kl": KL(estimator="k1", coef=1.0),
            "mse": KL(estimator="k2", coef=1.0),
            "low_var_kl": KL(estimator="k3", coef=1.0, input_clamp=20.0, output_clamp=10.0),
        }.items():
            theirs_BL, ours_BL = _leaf(whole), _leaf(whole)
            theirs = core_algos.kl_penalty(theirs_BL, whole.ref_BL, name)
            ours = kl_penalty(spec, terms_of(whole, ours_BL))
            assert ours is not None
            ledger.compare(f"verl kl_penalty {name}", ours.view_as(theirs), theirs)
            gradients = gradient_of(ours.sum(), ours_BL), gradient_of(theirs.sum(), theirs_BL)
            ledger.compare(f"verl kl_penalty {name}, gradient", *gradients)
        # Straight through: the value is that of k3 and the gradient that of k2.
        theirs_BL, ours_BL = _leaf(whole), _leaf(whole)
        theirs = core_algos.kl_penalty(theirs_BL, whole.ref_BL, "k3+")
        ours = kl_penalty(KL(estimator="k2", coef=1.0), terms_of(whole, ours_BL))
        assert ours is not None
        gradients = gradient_of(ours.sum(), ours_BL), gradient_of(theirs.sum(), theirs_BL)
        ledger.compare("verl kl_penalty k3+ against k2, gradient", *gradients)
