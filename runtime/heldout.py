"""Measurement on held-out answers: of pairs which one scores more, of judged answers how far scores agree.

Nothing is sampled: the answers are there, so two measurements of the same weights are the same numbers.

Shape letters: P pairs of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Never

from compiler.ir.experiment import Stage
from compiler.ir.loss import PreferenceLoss
from compiler.ir.openness import Off
from runtime.correlations import (
    interval_of_any_mean,
    interval_of_pearson,
    interval_of_spearman,
    pearson,
    spearman,
)
from runtime.data.preferences import Preference, preference_batch
from runtime.data.scores import ScoredAnswer, ranked_batch, scored_batch
from runtime.estimates import Interval, interval_of_mean
from runtime.protocols import Measure, Scorer, Trainer
from runtime.train_batches import sequence_of_token
from stdlib.algorithms import dpo, reward_model
from stdlib.algorithms._terms import PreferenceTerms
from stdlib.samples import TrainBatch

if TYPE_CHECKING:
    from runtime.executors.inline import Learners
    from runtime.stage_data import HeldOutData


class Compared(NamedTuple):
    """Of each pair how much more the better answer is worth, and its loss; of a margin in the data it holds nothing."""

    margins: list[float]
    losses: list[float]


Compare = Callable[[Sequence[Preference]], Compared]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMeasure:
    """Measures on pairs, so many at a time: `accuracy`, `loss`, and `margin`, each with its interval beside it."""

    sets: Mapping[str, Sequence[Preference]]
    compare: Compare
    batch_size: int
    confidence: float

    async def measure(self, *, stage: int) -> dict[str, float]:
        """Return `eval/<set>/<metric>`."""
        found: dict[str, float] = {}
        for name, rows in self.sets.items():
            parts = [self.compare(rows[at : at + self.batch_size]) for at in range(0, len(rows), self.batch_size)]
            margins = [margin for part in parts for margin in part.margins]
            losses = [loss for part in parts for loss in part.losses]
            right = [float(margin > 0.0) for margin in margins]
            found |= {
                **_mean(f"eval/{name}/accuracy", right, interval_of_mean(right, draws=1, confidence=self.confidence)),
                **_mean(
                    f"eval/{name}/loss", losses, interval_of_any_mean(losses, confidence=self.confidence, least=0.0)
                ),
                **_mean(f"eval/{name}/margin", margins, interval_of_any_mean(margins, confidence=self.confidence)),
                f"eval/{name}/num_pairs": len(rows),
            }
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreMeasure:
    """Measures on judged answers: `mse`, `pearson`, and `spearman`, each with its interval beside it."""

    sets: Mapping[str, Sequence[ScoredAnswer]]
    scorer: Scorer
    pad_token_id: int
    batch_size: int
    confidence: float

    async def measure(self, *, stage: int) -> dict[str, float]:
        """Return `eval/<set>/<metric>`."""
        found: dict[str, float] = {}
        for name, rows in self.sets.items():
            scores = [score for at in range(0, len(rows), self.batch_size) for score in self._scores(rows, at)]
            wanted, count, sure = [row.score for row in rows], len(rows), self.confidence
            squares = [(score - target) ** 2 for score, target in zip(scores, wanted, strict=True)]
            linear, ranked = pearson(scores, wanted), spearman(scores, wanted)
            found |= {
                **_mean(f"eval/{name}/mse", squares, interval_of_any_mean(squares, confidence=sure, least=0.0)),
                **_with(f"eval/{name}/pearson", linear, interval_of_pearson(linear, count, confidence=sure)),
                **_with(f"eval/{name}/spearman", ranked, interval_of_spearman(ranked, count, confidence=sure)),
                f"eval/{name}/num_rows": count,
            }
        return found

    def _scores(self, rows: Sequence[ScoredAnswer], at: int) -> list[float]:
        batch = scored_batch(rows[at : at + self.batch_size], pad_token_id=self.pad_token_id)
        return self.scorer.scores(batch).tolist()


def held_out_measures(
    stage: Stage[Never], learners: Learners, data: HeldOutData, *, pad_token_id: int
) -> list[Measure]:
    """Return what measures a stage on pairs and on judged answers; what responses are sampled to is not among it."""
    settings, loss, size = stage.eval, stage.algorithm.loss, stage.train.global_batch
    if isinstance(settings, Off):
        return []
    sure, scorer = settings.confidence, learners.scorer
    compare: Compare | None = None
    if scorer is not None:
        compare = comparing_scores(scorer, pad_token_id=pad_token_id)
    elif learners.policy is not None and isinstance(loss, PreferenceLoss):
        compare = comparing_policies(learners.policy, loss)
    found: list[Measure] = []
    if compare is not None and data.pairs:
        found.append(PairMeasure(sets=data.pairs, compare=compare, batch_size=size, confidence=sure))
    if scorer is not None and data.scored:
        found.append(
            ScoreMeasure(sets=data.scored, scorer=scorer, pad_token_id=pad_token_id, batch_size=size, confidence=sure)
        )
    return found


def comparing_scores(scorer: Scorer, *, pad_token_id: int) -> Compare:
    """Return what compares pairs by their scores."""

    def compare(rows: Sequence[Preference]) -> Compared:
        scores_P2 = scorer.scores(ranked_batch(rows, pad_token_id=pad_token_id)).reshape(-1, 2)
        gaps_P = scores_P2[:, 0] - scores_P2[:, 1]
        return Compared(gaps_P.tolist(), reward_model.losses_of_pairs(gaps_P).tolist())

    return compare


def comparing_policies(trainer: Trainer, spec: PreferenceLoss) -> Compare:
    """Return what compares pairs by how much likelier a policy makes the better answer than its reference does.

    A margin is one of rewards, beta times that of log-probs (DPO, arXiv:2305.18290, section 4).
    """

    def compare(rows: Sequence[Preference]) -> Compared:
        batch = preference_batch(rows)
        margins_P = dpo.margins(spec, _terms(trainer, batch))
        return Compared((spec.beta * margins_P).tolist(), dpo.losses_of_margins(margins_P, spec).tolist())

    return compare


def _terms(trainer: Trainer, batch: TrainBatch) -> PreferenceTerms:
    policy_T, reference_T = trainer.logprobs(batch, of="policy"), trainer.logprobs(batch, of="reference")
    return PreferenceTerms(policy_T, batch.mask_T, sequence_of_token(batch.lengths_N), reference_T)


def _mean(name: str, values: Sequence[float], interval: Interval) -> dict[str, float]:
    return _with(name, math.fsum(values) / len(values), interval)


def _with(name: str, value: float, interval: Interval) -> dict[str, float]:
    return {name: value, f"{name}_low": interval.low, f"{name}_high": interval.high}
