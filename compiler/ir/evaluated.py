"""What an evaluation measures: the names of its metrics, from the settings of a set."""

from __future__ import annotations

from compiler.ir.data import EvalSet


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


def is_greedy(temperature: object, top_k: object) -> bool:
    """Whether a distribution has one token only, so that all responses to a prompt are equal."""
    return temperature == 0 or top_k == 1
