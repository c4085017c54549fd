"""How far engine and trainer are apart on the tokens that one sampled and the other trains on.

With the same weights on both sides the log-probs of a token are the same but for rounding, so what is left says whether
the engine sampled from the policy that is trained.  Tokens that older weights sampled are left out: theirs differ
because the policy has moved on.

KL(engine || trainer) is estimated from the engine's own samples, with d = trainer - engine of each token: k1 is the
mean of -d, k3 that of exp(d) - 1 - d, which is never negative (John Schulman, "Approximating KL divergence", 2020).

Shape letters: T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Never

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.debug import LogprobGap
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from runtime.progress import Progress

GAP = "logprob_gap"


class GapSums(NamedTuple):
    """Of the tokens that were compared: how many, the sum and the largest of the differences' sizes, the sums of both
    estimates, and how many differ by more than the bound.
    """

    count: int
    total: float
    largest: float
    k1: float
    k3: float
    num_beyond: int


class GapMeter:
    """Adds up over micro-batches.

    Args:
        token_bound: the difference beyond which a token is counted, or None where nobody asks.
    """

    def __init__(self, token_bound: float | None) -> None:
        self._token_bound = token_bound
        self._count = 0
        self._sum = self._max = self._k1 = self._k3 = 0.0
        self._num_beyond = 0

    def add(self, trainer_T: Tensor, rollout_T: Tensor, compared_T: Tensor) -> None:
        """Count tokens in: [T] log-probs of both sides, and where they are compared."""
        chosen = compared_T != 0
        difference = trainer_T.detach()[chosen].double() - rollout_T[chosen].double()
        if not difference.numel():
            return
        size = difference.abs()
        self._count += difference.numel()
        self._sum += float(size.sum())
        self._max = max(self._max, float(size.max()))
        self._k1 -= float(difference.sum())
        self._k3 += float((difference.expm1() - difference).sum())
        if self._token_bound is not None:
            self._num_beyond += int((size > self._token_bound).sum())

    def sums(self) -> GapSums:
        """Return what was added up."""
        return GapSums(self._count, self._sum, self._max, self._k1, self._k3, self._num_beyond)

    def joined(self, every: Sequence[GapSums]) -> GapMeter:
        """Return a meter of what several have added up."""
        found = GapMeter(self._token_bound)
        for count, total, largest, k1, k3, num_beyond in every:
            found._count += count
            found._sum += total
            found._max = max(found._max, largest)
            found._k1 += k1
            found._k3 += k3
            found._num_beyond += num_beyond
        return found

    def metrics(self) -> dict[str, float]:
        """Return `train/logprob_gap` (the mean) and what else is known; nothing where no token was compared."""
        if not self._count:
            return {}
        found = {
            "": self._sum / self._count,
            "_max": self._max,
            "_k1": self._k1 / self._count,
            "_k3": self._k3 / self._count,
        }
        if self._token_bound is not None:
            found["_beyond_frac"] = self._num_beyond / self._count
        return {f"train/{GAP}{name}": value for name, value in found.items()}


def token_bound_of(stage: Stage[Never]) -> float | None:
    """Return the difference beyond which a token is counted, where a stage names one."""
    settings = _settings(stage)
    return None if settings is None else settings.token_bound


def alarm(stage: Stage[Never], progress: Progress, metrics: Mapping[str, float]) -> Diagnostic | None:
    """Count a step in `progress`, and return RLC0785 if it is the one at which [debug.logprob_gap] speaks.

    A step that compared no token changes nothing; a gap that is no number is above every bound.
    """
    settings, mean = _settings(stage), metrics.get(f"train/{GAP}")
    if settings is None or mean is None:
        return None
    if mean <= settings.mean_bound:
        progress.wide_gap_steps = 0
        return None
    progress.wide_gap_steps += 1
    count = progress.wide_gap_steps
    if count < settings.steps or (count > settings.steps and settings.action == "warn"):
        return None
    return Diagnostic(
        "RLC0785",
        f"the log-probs of engine and trainer differ by {mean:.3g} nats in the mean, and by "
        f"{metrics[f'train/{GAP}_max']:.3g} at most, over tokens that both have the same weights for; "
        f"debug.logprob_gap.mean_bound = {settings.mean_bound:g} was passed in {count} step(s) in a row",
        help=(
            Help('debug.verify_sync = "every" says whether the weights arrive (RLC0621)'),
            Help("a correction, loss.mismatch or loss.rejection, trains on what differs by rounding"),
            Help("or raise debug.logprob_gap.mean_bound, if the formats of both are meant to differ so much"),
        ),
        severity="error" if settings.action == "stop" else "warning",
        paths=("debug.logprob_gap.mean_bound",),
    )


def _settings(stage: Stage[Never]) -> LogprobGap | None:
    debug = stage.debug
    return None if isinstance(debug, Off) or isinstance(debug.logprob_gap, Off) else debug.logprob_gap
