"""Losses of TRL's DPOTrainer on a small model, beside ours at the log-probs of that model."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from checks.peers import trl_trainers
from checks.peers.ledger import Ledger
from compiler.ir.algorithm import Algo
from compiler.ir.loss import PreferenceLoss
from stdlib.algorithms import dpo
from stdlib.algorithms._terms import PreferenceTerms, Totals

_PAIRS, _TOKENS, _PROMPT = 3, 8, 2
_TOLERANCE = 1e-5  # theirs runs a model in float32


class _Case(NamedTuple):
    """Settings of theirs, and ours."""

    theirs: dict[str, Any]
    ours: dict[str, Any]


_CASES = (
    _Case({"loss_type": "sigmoid", "beta": 0.3}, {"beta": 0.3}),
    _Case({"loss_type": "hinge", "beta": 0.3}, {"kind": "hinge", "beta": 0.3}),
    _Case({"loss_type": "ipo", "beta": 0.3}, {"kind": "ipo", "beta": 0.3, "average_logprobs": True}),
    _Case({"loss_type": "sigmoid_norm", "beta": 0.3}, {"beta": 0.3, "average_logprobs": True}),
)


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the losses of one draw of answers against each other."""
    generator = torch.Generator().manual_seed(seed)
    ids_NL = torch.randint(2, 32, (2 * _PAIRS, _TOKENS), generator=generator)
    lengths_N = torch.randint(_PROMPT + 2, _TOKENS + 1, (2 * _PAIRS,), generator=generator)
    position_L = torch.arange(_TOKENS)
    attended_NL = (position_L < lengths_N[:, None]).long()
    answer_NL = attended_NL * (position_L >= _PROMPT)
    for i, case in enumerate(_CASES):
        trainer = _trainer(i)
        inputs = {"input_ids": ids_NL, "attention_mask": attended_NL, "completion_mask": answer_NL}
        theirs = trainer._compute_loss(trainer.model, inputs, return_outputs=False)
        policy, reference = (_logprobs(model, inputs) for model in (trainer.model, trainer.ref_model))
        # Theirs stacks the better answers before the worse ones; ours takes them in turn.
        order = torch.arange(2 * _PAIRS).view(2, _PAIRS).t().reshape(-1)
        terms = PreferenceTerms(
            logprobs_T=policy[order].reshape(-1),
            mask_T=answer_NL[order, 1:].reshape(-1).double(),
            sequence_T=torch.arange(2 * _PAIRS).repeat_interleave(_TOKENS - 1),
            ref_logprobs_T=reference[order].reshape(-1),
        )
        params = dpo.Params(algo=Algo(name="dpo"), loss=PreferenceLoss(**case.ours))
        ours = dpo.loss(params, terms, Totals(int(answer_NL.sum()), 2 * _PAIRS, 2 * _PAIRS)).loss
        ledger.compare(f"trl DPOTrainer {case.theirs['loss_type']}", ours, theirs, tolerance=_TOLERANCE)


@torch.no_grad()
def _logprobs(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return [N, L - 1] of each token behind the first."""
    ids_NL = inputs["input_ids"]
    logits = model(input_ids=ids_NL, attention_mask=inputs["attention_mask"]).logits
    return logits[:, :-1].double().log_softmax(-1).gather(-1, ids_NL[:, 1:, None])[..., 0]


@cache
def _trainer(index: int) -> Any:
    trainer = trl_trainers.dpo(**_CASES[index].theirs)
    trainer.model.train()
    return trainer
