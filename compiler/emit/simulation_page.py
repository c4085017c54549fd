"""What a simulation found, for a person to read, and as data."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.diagnostics.printable import printable
from compiler.ir.json_text import Json
from compiler.planner.simulate.outcome import Outcome, Quantiles


def simulation_rows(found: Outcome, assumed: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return what is said and its value, row by row.

    Args:
        assumed: what the plan did not say, by its name.
    """
    groups = sum(found.staleness.values())
    ages = ", ".join(f"{age} behind: {count / groups:.1%}" for age, count in found.staleness.items())
    rate = found.tokens / found.seconds / found.gpus
    failures = (
        f"{found.trainer_failures:,} of the trainer, {found.engine_failures:,} of engines; "
        f"{found.lost_steps:,} steps and {_amount(found.lost_tokens)} tokens lost"
    )
    lost = f"{found.lost_gpu_hours:,.1f} of them lost ({found.lost_gpu_hours / found.gpu_hours:.2%})"
    return [
        ("steps", f"{found.steps:,} in {_duration(found.seconds)}"),
        ("step", _spread(found.step_s)),
        ("tokens", f"{_amount(found.tokens)} trained on, {rate:,.0f} per second and GPU"),
        *([("left out", f"{_amount(found.left_out_tokens)} tokens by the filter")] if found.left_out_tokens else []),
        ("staleness", ages or "nothing was trained"),
        ("idle", f"trainer {found.trainer_idle_frac:.1%}, engines {found.rollout_idle_frac:.1%}"),
        *([("judges", f"a group waits {found.queue_s:.3g} s to be judged")] if found.queue_s else []),
        ("failures", failures),
        ("GPU hours", f"{found.gpu_hours:,.1f} on {found.gpus:,} GPUs, {lost}"),
        ("assumed", ", ".join(f"{name} {_said(value)}" for name, value in assumed.items())),
    ]


def simulation_json(found: Outcome, assumed: Mapping[str, Json]) -> dict[str, Json]:
    """Return the same as data."""
    values: dict[str, Json] = {name: getattr(found, name) for name in found._fields}
    values["step_s"] = {name: getattr(found.step_s, name) for name in found.step_s._fields}
    values["staleness"] = {str(age): count for age, count in found.staleness.items()}
    return {**values, "assumed": dict(assumed)}


def _spread(step: Quantiles) -> str:
    parts = (("mean", step.mean), ("p50", step.p50), ("p90", step.p90), ("p99", step.p99), ("longest", step.most))
    return ", ".join(f"{name} {_duration(seconds)}" for name, seconds in parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.3g} days"


def _amount(count: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


def _said(value: Json) -> str:
    return f"{value:,g}" if isinstance(value, int | float) else printable(str(value), ascii_only=False)
