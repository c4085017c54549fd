"""The choice of a view: live on a terminal that can draw it, plain lines everywhere else."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console

from runtime.telemetry.live import LiveView
from runtime.telemetry.plain import PlainView
from runtime.telemetry.view import Clock, View

_PLAIN_INTERVAL_S = 5.0


def open_view(stream: TextIO, *, clock: Clock) -> View:
    """Return the view for a stream; `clock` returns seconds that never go back."""
    console = Console(file=stream)
    carries_signs = (stream.encoding or "").lower().startswith("utf")
    if stream.isatty() and carries_signs and not console.is_dumb_terminal:
        return LiveView(console, clock=clock)
    return PlainView(stream, clock=clock, interval_s=_PLAIN_INTERVAL_S)
