"""How long a step takes, phase by phase: bars on the clock of a step, and what the whole stage comes to."""

from __future__ import annotations

from compiler.emit._plan_text import Sheet, counted, said, sentence
from compiler.emit._time_spans import spans_of
from compiler.ir.openness import Off
from compiler.ir.plan import Plan, StageTime

_BAR_CELLS = 40
_FULL, _EMPTY = "\u2588", "\u2591"
_SIDES = {"both": "all GPUs", "train": "GPUs that train", "rollout": "GPUs that generate"}


def write_times(sheet: Sheet, plan: Plan) -> None:
    """Add a section with a row for each phase of each stage of which a time is forecast."""
    found = [(stage.stage, stage.time) for stage in plan.forecast.stages if not isinstance(stage.time, Off)]
    if not found:
        return
    sheet.section("Time, forecast")
    for name, time in found:
        if len(plan.forecast.stages) > 1:
            sheet.row("", f"{said(name)}:")
        _write_step(sheet, time)


def _write_step(sheet: Sheet, time: StageTime) -> None:
    spans = spans_of(time)
    last = max((span.end for span in spans), default=0.0) or 1.0
    for phase, span in zip(time.phases, spans, strict=True):
        begin = min(_BAR_CELLS - 1, round(span.begin / last * _BAR_CELLS))
        full = max(1, round(span.end / last * _BAR_CELLS) - begin)
        bar = _EMPTY * begin + _FULL * full + _EMPTY * (_BAR_CELLS - begin - full)
        sheet.row(phase.name, f"{bar} {duration(phase.seconds)}, {_SIDES.get(phase.side, phase.side)}")
    how = "the longer side and what both do" if time.overlaps else "one phase after the other"
    what = "trained tokens/s" if time.mfu else "tokens/s of prompts and responses"
    sheet.row(
        "step",
        sentence(
            f"{duration(time.step_seconds)}: {how}",
            f"{time.tokens_per_s:,.0f} {what}",
            f"{time.tokens_per_s_per_gpu:,.0f} of a GPU",
            f"MFU {100 * time.mfu:.1f} % while training" if time.mfu else "",
        ),
    )
    if time.evaluations or time.evaluation_seconds:
        sheet.row("evaluation", sentence(duration(time.evaluation_seconds), counted(time.evaluations, "times")))
    cost = "" if isinstance(time.usd, Off) else f"{time.usd:,.2f} USD"
    sheet.row("whole stage", sentence(f"{time.gpu_hours:,.1f} GPU-hours", cost))


def duration(seconds: float) -> str:
    """Return seconds as people say them, to a tenth."""
    if seconds < 1:
        return f"{1000 * seconds:,.0f} ms"
    return f"{seconds:,.1f} s" if seconds < 600 else f"{seconds / 60:,.1f} min"
