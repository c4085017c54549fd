"""What each actor of a stage did in a step, and what it waited for: as metrics, and as a Gantt chart.

timeline.jsonl has a line for each step, with all spans in seconds since the step began; timeline.svg shows the last
steps.  Both are what a clock measured, so a run that is resumed goes on with them as they are.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.metrics_file import write_failed

WAITS = "waits for "
_STEPS_SHOWN = 8
_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR, _GAP = 960.0, 210.0, 70.0, 62.0, 22.0, 15.0, 24.0
_COLORS = {
    "train": "#4269d0",
    "generate": "#3ca951",
    "judge": "#efb118",
    "send weights": "#a463f2",
    "get weights": "#a463f2",
}
_WAITING = "#e4e4e4"


class Span(NamedTuple):
    """What an actor did, or waited for, from one moment of a step to another."""

    actor: str
    what: str
    start_s: float
    end_s: float


class StepClock:
    """Notes one thing after another on a timeline, each from the moment of the one before, and the first from now."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline, self._started = timeline, time.perf_counter()
        self._last_s = 0.0

    def note(self, **did: str) -> None:
        """Say what actors did since the last time."""
        now_s = time.perf_counter() - self._started
        self._timeline.note(self._last_s, now_s, did)
        self._last_s = now_s


class Timeline:
    """The spans of one step, in the order in which they began."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open: dict[str, int] = {}

    def clock(self) -> StepClock:
        """Return what notes things of a step that begins now."""
        return StepClock(self)

    def note(self, start_s: float, end_s: float, did: Mapping[str, str]) -> None:
        """Say what actors did between two moments; what goes on from before is one span."""
        for actor, what in did.items():
            at = self._open.get(actor)
            last = None if at is None else self.spans[at]
            if at is not None and last is not None and last.what == what:
                self.spans[at] = last._replace(end_s=end_s)
            else:
                self._open[actor] = len(self.spans)
                self.spans.append(Span(actor, what, start_s, end_s))

    def seconds(self, actor: str, what: str) -> float:
        """Return how long an actor did something."""
        return sum(s.end_s - s.start_s for s in self.spans if (s.actor, s.what) == (actor, what))

    def metrics(self) -> dict[str, float]:
        """Return the share of the step in which each actor was busy, and the seconds that it waited for what."""
        found: dict[str, float] = {}
        end = max((span.end_s for span in self.spans), default=0.0) or 1.0
        for actor in dict.fromkeys(span.actor for span in self.spans):
            whats = dict.fromkeys(span.what for span in self.spans if span.actor == actor)
            busy = sum(self.seconds(actor, what) for what in whats if not what.startswith(WAITS))
            found[f"time/busy_{actor}_frac"] = busy / end
            for what in whats:
                if what.startswith(WAITS):
                    name = what.removeprefix(WAITS).replace(" ", "_")
                    found[f"time/wait_{actor}_for_{name}_s"] = self.seconds(actor, what)
        return found


class TimelineFile:
    """Writes the timelines of a run.

    Args:
        devices: where each actor is, as the chart says it.
    """

    def __init__(self, run_dir: Path, devices: Mapping[str, str]) -> None:
        self._lines, self._picture = run_dir / "timeline.jsonl", run_dir / "timeline.svg"
        self._devices = devices
        self._last: deque[tuple[str, Sequence[Span]]] = deque(maxlen=_STEPS_SHOWN)

    def write(self, stage: str, step: int, timeline: Timeline) -> None:
        """Add a step, counted from 1 within its stage.  Raises: SpecError RLC0651 if the disk refuses."""
        if not timeline.spans:
            return
        spans = [[s.actor, s.what, round(s.start_s, 6), round(s.end_s, 6)] for s in timeline.spans]
        line = json.dumps({"stage": stage, "step": step, "spans": spans}, ensure_ascii=False)
        self._last.append((f"{stage}, step {step:,}", timeline.spans))
        fresh = self._picture.with_name(f".tmp-{self._picture.name}")
        try:
            with self._lines.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            fresh.write_text(draw_gantt(self._last, self._devices), encoding="utf-8")
            fresh.replace(self._picture)
        except OSError as fault:
            raise SpecError(write_failed(self._lines, fault)) from fault


def draw_gantt(steps: Sequence[tuple[str, Sequence[Span]]], devices: Mapping[str, str]) -> str:
    """Return the Gantt charts of some steps, each over its own seconds from 0, as the text of an SVG file."""
    parts: list[str] = []
    longest = max((span.end_s for _, spans in steps for span in spans), default=0.0) or 1.0
    scale, top = (_WIDTH - _LEFT - _RIGHT) / longest, _TOP
    for title, spans in steps:
        parts.append(_text(16, top, title, "bold"))
        end = max((span.end_s for span in spans), default=0.0)
        for actor in dict.fromkeys(span.actor for span in spans):
            top += _ROW
            own = [span for span in spans if span.actor == actor]
            busy = sum(span.end_s - span.start_s for span in own if not span.what.startswith(WAITS))
            where = devices.get(actor, "")
            parts.append(_text(32, top, f"{actor} ({where})" if where else actor))
            parts += [_bar(span, top, scale) for span in own]
            parts.append(_text(_WIDTH - _RIGHT + 8, top, f"{100 * busy / (end or 1.0):.0f} %"))
        top += _GAP + 8
    parts.append(_text(_LEFT, top, "0 s"))
    parts.append(_text(_WIDTH - _RIGHT, top, f"{longest:.3g} s", anchor="end"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {top + 16:g}" '
    head += f'width="{_WIDTH:g}" height="{top + 16:g}" font-family="sans-serif" font-size="12">'
    return "\n".join(
        [head, f'<rect width="{_WIDTH:g}" height="{top + 16:g}" fill="white"/>', *_legend(), *parts, "</svg>\n"]
    )


def _legend() -> list[str]:
    named = {"train": "train", "generate": "generate", "judge": "judge", "send weights": "weights"}
    parts: list[str] = []
    left = _LEFT
    for what, name in [*named.items(), ("", "waits: point at it for what")]:
        parts.append(f'<rect x="{left:.1f}" y="16" width="12" height="12" fill="{_COLORS.get(what, _WAITING)}"/>')
        parts.append(_text(left + 17, 26, name))
        left += 40 + 7 * len(name)
    return parts


def _bar(span: Span, top: float, scale: float) -> str:
    left, width = _LEFT + span.start_s * scale, max(0.5, (span.end_s - span.start_s) * scale)
    said = escape(f"{span.what}: {span.start_s:.3f} s to {span.end_s:.3f} s")
    fill = _COLORS.get(span.what, _WAITING)
    return (
        f'<rect x="{left:.1f}" y="{top - _BAR + 3:.1f}" width="{width:.1f}" height="{_BAR:g}" fill="{fill}">'
        f"<title>{said}</title></rect>"
    )


def _text(left: float, top: float, text: str, weight: str = "normal", *, anchor: str = "start") -> str:
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" fill="#222" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
