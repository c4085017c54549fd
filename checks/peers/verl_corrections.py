"""Importance weights and rejection masks of `verl.trainer.ppo.rollout_corr_helper` beside ours."""

from __future__ import annotations

from typing import Any

from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_rejection_mask

from checks.peers.batches import Batch, draw, rows_of
from checks.peers.ledger import Ledger
from checks.peers.settings import policy_loss
from compiler.ir.loss import Mismatch, Rejection
from stdlib.algorithms._correction import Correction, Gap, correction

# Their settings, and ours; their bounds of a rejection are those of engine / trainer, ours of trainer / engine.
_WEIGHTS: tuple[tuple[dict[str, Any], Mismatch], ...] = (
    ({"rollout_is": "token", "rollout_is_threshold": 1.5}, Mismatch(bound="truncate", high=1.5)),
    (
        {"rollout_is": "token", "rollout_is_threshold": 1.5, "rollout_is_batch_normalize": True},
        Mismatch(bound="truncate", high=1.5, normalize=True),
    ),
    ({"rollout_is": "token", "rollout_is_threshold": "0.7_1.5"}, Mismatch(bound="mask", low=0.7, high=1.5)),
    ({"rollout_is": "sequence", "rollout_is_threshold": 2.0}, Mismatch(bound="truncate", level="sequence", high=2.0)),
    (
        {"rollout_is": "sequence", "rollout_is_threshold": "0.5_2.0"},
        Mismatch(bound="mask", level="sequence", low=0.5, high=2.0),
    ),
)
_REJECTIONS: tuple[tuple[dict[str, Any], Rejection], ...] = (
    (
        {"rollout_rs": "token_k1", "rollout_rs_threshold": "0.8_1.6"},
        Rejection(level="token", low=1 / 1.6, high=1 / 0.8, left_out="skip"),
    ),
    (
        {"rollout_rs": "seq_sum_k1", "rollout_rs_threshold": "0.5_3.0"},
        Rejection(level="sequence", low=1 / 3.0, high=1 / 0.5, left_out="skip"),
    ),
    (
        {"rollout_rs": "seq_mean_k1", "rollout_rs_threshold": "0.9_1.2"},
        Rejection(level="geometric", low=1 / 1.2, high=1 / 0.9, left_out="skip"),
    ),
)


def compare(ledger: Ledger, seed: int) -> None:
    """Hold weights and masks of one draw against each other."""
    for spread in (0.4, 15.0):
        batch = draw(seed, spread=spread)
        # Where every weight is 0, theirs divides by zero for a metric: far off, only weights that are bounded.
        for theirs, ours in (pair for pair in _WEIGHTS if spread < 1.0 or pair[1].bound == "truncate"):
            found = _correction(batch, mismatch=ours)
            proto, _, _ = _theirs(batch, theirs)
            weights_BL = proto.batch["rollout_is_weights"] * batch.mask_BL
            ledger.compare(f"verl weights {_shown(theirs)}", found.weights_T.view_as(weights_BL), weights_BL)
        for theirs, rejection in _REJECTIONS:
            found = _correction(batch, rejection=rejection)
            _, mask_BL, _ = _theirs(batch, theirs)
            ledger.compare(f"verl mask {_shown(theirs)}", found.mask_T.view_as(mask_BL), mask_BL)


def _theirs(batch: Batch, settings: dict[str, Any]) -> Any:
    unset: dict[str, Any] = {"rollout_is": None, "rollout_rs": None}
    return compute_rollout_correction_and_rejection_mask(
        batch.old_BL, batch.rollout_BL, batch.mask_BL, **{**unset, **settings}
    )


def _correction(batch: Batch, **settings: Any) -> Correction:
    lines = (batch.old_BL.reshape(-1), batch.rollout_BL.reshape(-1), batch.mask_BL.reshape(-1))
    return correction(policy_loss(**settings), Gap(*lines, rows_of(batch)))


def _shown(settings: dict[str, Any]) -> str:
    return " ".join(str(value) for value in settings.values())
