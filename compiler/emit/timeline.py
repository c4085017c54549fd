"""The forecast of a plan as a picture: the phases of a step on a clock, and what fills a GPU in each of them.

One SVG, or one HTML page around it, complete in itself: no scripts, no fonts, nothing from the net.  Names of an
experiment and of its stages are text of a user, and are escaped.
"""

from __future__ import annotations

from html import escape

from compiler.emit._picture_colours import colour_of, ink_on
from compiler.emit._plan_text import said
from compiler.emit._plan_time import duration
from compiler.emit._time_spans import spans_of
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.ir.plan import Plan, StageTime
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.memory.lines import GIB
from compiler.planner.memory.phases import HOST, Phase, phases_of

_WIDTH, _MARGIN, _LEFT, _ROW, _BAR, _GAP = 960, 16, 180, 24, 16, 34
_ROOM = _WIDTH - _LEFT - 40 - _MARGIN
_TICKS = 6
_KEY, _LETTER = 10, 5.8  # a square of the legend, and a letter's width at its size


def timeline_svg(plan: Plan, gpu: Gpu | None) -> str:
    """Return the picture of a plan with a forecast of time; with a GPU, of its memory too."""
    parts: list[str] = []
    top = 28.0
    parts.append(_text(_MARGIN, 18, f"{plan.experiment.name}, plan {plan.hash[:12]}", "title"))
    for stage, forecast in zip(plan.experiment.stages, plan.forecast.stages, strict=True):
        if isinstance(forecast.time, Off):
            continue
        top = _heading(parts, top, f"{said(stage.name)}: {_summary(forecast.time)}")
        top = _clock(parts, top, forecast.time)
        job = None if gpu is None else stage_job(plan.experiment, stage, gpu)
        if job is not None and gpu is not None:
            top = _heading(parts, top, f"{said(stage.name)}: memory of a GPU, of {gpu.memory_gib:g} GiB")
            top = _memory(parts, top, [one for one in phases_of(job, CONSTANTS) if one.device != HOST], gpu)
    height = round(top + 8)
    style = "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}.axis{fill:#555;font-size:10px}"
    style += ".inside{font-size:10px}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
    )
    body = f'<style>{style}</style><rect width="{_WIDTH}" height="{height}" fill="#fff"/>'
    return "\n".join((head, body, *parts, "</svg>", ""))


def timeline_html(plan: Plan, gpu: Gpu | None) -> str:
    """Return a page with the picture and nothing else."""
    name = escape(said(plan.experiment.name))
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{name}</title>\n'
        f"<body>\n{timeline_svg(plan, gpu)}</body>\n</html>\n"
    )


def _summary(time: StageTime) -> str:
    cost = "" if isinstance(time.usd, Off) else f", {time.usd:,.2f} USD"
    return (
        f"a step of {duration(time.step_seconds)}, {time.tokens_per_s:,.0f} tokens/s, "
        f"{f'MFU {100 * time.mfu:.1f} %, ' if time.mfu else ''}"
        f"{time.gpu_hours:,.1f} GPU-hours{cost}"
    )


def _heading(parts: list[str], top: float, text: str) -> float:
    parts.append(_text(_MARGIN, top + 20, text, "title"))
    return top + _GAP


def _clock(parts: list[str], top: float, time: StageTime) -> float:
    """The phases as bars, one row each, over an axis of seconds."""
    spans = spans_of(time)
    last = max((span.end for span in spans), default=0.0) or 1.0
    for at, span in enumerate(spans):
        left, width = _LEFT + span.begin / last * _ROOM, max(1.0, (span.end - span.begin) / last * _ROOM)
        took = duration(span.end - span.begin)
        parts.append(_text(_MARGIN, top + 13, f"{span.name} ({span.side})" if time.overlaps else span.name))
        parts.append(_bar(left, top, width, colour_of(at), f"{span.name}: {took}"))
        is_near_end, is_late = left + width > _LEFT + 0.8 * _ROOM, left - _LEFT > 60
        if not is_near_end:
            parts.append(_text(left + width + 4, top + 13, took))
        elif is_late:
            parts.append(_text(left - 4, top + 13, took, anchor="end"))
        else:
            parts.append(_text(left + 4, top + 13, took, ink=ink_on(colour_of(at))))
        top += _ROW
    for tick in range(_TICKS + 1):
        place = _LEFT + tick / _TICKS * _ROOM
        parts.append(_text(place, top + 10, duration(last * tick / _TICKS), "axis", anchor="middle"))
    return top + 16


def _memory(parts: list[str], top: float, phases: list[Phase], gpu: Gpu) -> float:
    """What fills a GPU in each phase, as stacked bars up to a line at what it has."""
    widest = max(gpu.memory_gib * GIB, *(phase.bytes for phase in phases))
    names = list(dict.fromkeys(line.name for phase in phases for line in phase.lines))
    first = top
    for phase in phases:
        parts.append(_text(_MARGIN, top + 13, f"{phase.name} ({phase.device})"))
        left = float(_LEFT)
        for line in phase.lines:
            width = line.bytes / widest * _ROOM
            colour = colour_of(names.index(line.name))
            parts.append(_bar(left, top, width, colour, f"{line.name}: {line.bytes / GIB:,.1f} GiB"))
            if width > 7 * len(line.name):
                parts.append(_text(left + 3, top + 12, line.name, "inside", ink=ink_on(colour)))
            left += width
        parts.append(_text(left + 4, top + 13, f"{phase.bytes / GIB:,.1f} GiB"))
        top += _ROW
    limit = _LEFT + gpu.memory_gib * GIB / widest * _ROOM
    parts.append(f'<line x1="{limit:.1f}" x2="{limit:.1f}" y1="{first - 4:.1f}" y2="{top:.1f}" stroke="#c00"/>')
    return _legend(parts, top + 4, names)


def _legend(parts: list[str], top: float, names: list[str]) -> float:
    """Every colour with its name, as narrow parts have no room for theirs."""
    left = float(_LEFT)
    for at, name in enumerate(names):
        width = _KEY + 8 + _LETTER * len(name)
        if left + width > _WIDTH - _MARGIN and left > _LEFT:
            left, top = float(_LEFT), top + _KEY + 5
        parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" width="{_KEY}" height="{_KEY}" fill="{colour_of(at)}"/>')
        parts.append(_text(left + _KEY + 4, top + _KEY - 1, name, "inside"))
        left += width + 8
    return top + _KEY + 5


def _bar(left: float, top: float, width: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _text(left: float, top: float, text: str, kind: str = "", *, anchor: str = "start", ink: str = "") -> str:
    of = (f' class="{kind}"' if kind else "") + (f' style="fill:{ink}"' if ink else "")
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}"{of}>{escape(said(text))}</text>'
