"""What an evaluation measures: its sets by what they hold, and the names of their metrics."""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.ir.data import Eval, EvalSet, PairEval, PreferenceEval, ScoredEval

if TYPE_CHECKING:
    from compiler.ir.data import PairSet, ScoredSet
    from compiler.ir.openness import A, Off

OF_PAIRS = ("accuracy", "loss", "margin")
OF_SCORES = ("mse", "pearson", "spearman")


def sampled_sets(settings: Eval[A] | PairEval[A] | ScoredEval[A] | Off) -> tuple[EvalSet[A], ...]:
    """Return the sets of prompts that responses are sampled to."""
    return settings.sets if isinstance(settings, Eval) else ()


def pair_sets(settings: Eval[A] | PairEval[A] | ScoredEval[A] | Off) -> tuple[PairSet[A], ...]:
    """Return the sets of pairs of answers."""
    return settings.pairs if isinstance(settings, (PairEval, PreferenceEval)) else ()


def scored_sets(settings: Eval[A] | PairEval[A] | ScoredEval[A] | Off) -> tuple[ScoredSet[A], ...]:
    """Return the sets of answers with scores."""
    return settings.scored if isinstance(settings, ScoredEval) else ()


def held_out_lists(
    settings: Eval[A] | PairEval[A] | ScoredEval[A] | Off,
) -> tuple[tuple[str, tuple[EvalSet[A] | PairSet[A] | ScoredSet[A], ...]], ...]:
    """Return all sets, as the lists of [eval] with their names."""
    return ("sets", sampled_sets(settings)), ("pairs", pair_sets(settings)), ("scored", scored_sets(settings))


def metrics_over_samples(measured: EvalSet[object]) -> tuple[str, ...]:
    """Return the metrics of a set that take several responses, as `pass@4`; one that is still open has none.

    The mean does not depend on how many of the responses are looked at, so avg@n is of all of them.
    """
    metrics, sizes, samples = measured.metrics, measured.k, measured.samples_per_prompt
    if not isinstance(metrics, tuple) or not isinstance(sizes, tuple) or not isinstance(samples, int):
        return ()
    found: dict[str, None] = {}
    for name in metrics:
        for size in (samples,) if name == "avg" else sizes:
            found[f"{name}@{size}"] = None
    return tuple(found)


def measured_metrics(settings: Eval[A] | PairEval[A] | ScoredEval[A] | Off) -> dict[str, str]:
    """Return what is measured: as a spec names it, and as metrics.jsonl does; a set's own name may hold dots."""
    found: dict[str, str] = {}
    for measured in sampled_sets(settings):
        kinds = ("accuracy", *(("greedy",) if measured.greedy is True else ()), *metrics_over_samples(measured))
        found |= {f"eval.{measured.name}.{kind}": f"eval/{measured.name}/{kind}" for kind in kinds}
    for sets, kinds in ((pair_sets(settings), OF_PAIRS), (scored_sets(settings), OF_SCORES)):
        found |= {f"eval.{s.name}.{kind}": f"eval/{s.name}/{kind}" for s in sets for kind in kinds}
    return found


def is_better_low(metric: str) -> bool:
    """Whether the smaller of two values of a metric is the better one."""
    return metric.endswith(("loss", "mse"))


def is_greedy(temperature: object, top_k: object) -> bool:
    """Whether a distribution has one token only, so that all responses to a prompt are equal."""
    return temperature == 0 or top_k == 1
