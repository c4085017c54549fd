"""The choice of a view: live on a terminal that can draw it, plain lines everywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from rich.console import Console

from runtime.telemetry.live import LiveView
from runtime.telemetry.plain import PlainView
from runtime.telemetry.view import Clock, View

_PLAIN_INTERVAL_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the person wants to see, whatever the stream could show."""

    color: bool = True
    ascii_only: bool = False


def open_view(stream: TextIO, *, clock: Clock, look: Look) -> View:
    """Return the view for a stream; `clock` returns seconds that never go back."""
    console = Console(file=stream, no_color=None if look.color else True)
    carries_signs = (stream.encoding or "").lower().startswith("utf") and not look.ascii_only
    if stream.isatty() and carries_signs and not console.is_dumb_terminal:
        return LiveView(console, clock=clock)
    return PlainView(stream, clock=clock, interval_s=_PLAIN_INTERVAL_S, ascii_only=look.ascii_only)
