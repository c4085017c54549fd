"""How numbers, times and sampled texts are worded for people: the same in the live view, plain lines and summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def number(value: float | None) -> str:
    """Return the number in about four significant digits, short enough for a table: `0.0421`, `34.2`, `12,345`."""
    if value is None or not math.isfinite(value):
        return "-"
    size = abs(value)
    if value == 0:
        return "0"
    if size < 1e-4:
        return f"{value:.1e}"
    if size < 0.1:
        return f"{value:.4f}"
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 1000 else f"{value:,.0f}"


def tick_label(value: float) -> str:
    """Return a round number of an axis without needless zeros: `0.25`, `1,000`."""
    return f"{value:,.10g}" if 1e-4 <= abs(value) < 1e6 or value == 0 else f"{value:g}"


def change(value: float | None, *, since: float | None) -> str:
    """Return the difference with its sign, or nothing where there is nothing to compare."""
    if value is None or since is None:
        return ""
    difference = value - since
    return f"{'-' if difference < 0 else '+'}{number(abs(difference))}"


def interval(low: float | None, high: float | None) -> str:
    """Return ` [0.21, 0.34]`, or nothing where there is none."""
    return "" if low is None or high is None else f" [{number(low)}, {number(high)}]"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `1.4s`, `42s`, `3m 05s`, `2h 07m`, `3d 04h`."""
    if seconds < 9.95 and seconds != int(seconds):
        return f"{max(0.0, seconds):.1f}s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def sparkline(values: Sequence[float], *, width: int) -> str:
    """Return the values as a row of bars, the lowest value empty and the highest full.

    More values than `width` are averaged in runs of equal length, so that the whole history is always seen.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    columns = min(width, len(finite))
    bounds = [index * len(finite) // columns for index in range(columns + 1)]
    means = [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, high = min(means), max(means)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join(chr(0x2581 + round((mean - low) * scale)) for mean in means)


def one_line(text: str, *, length: int) -> str:
    """Return a sampled text as one line for a terminal.

    Line ends become a sign, other control characters a question mark: sampled text must not be able to steer the
    terminal.  The middle of a text longer than `length` characters is left out, since its end holds the answer.
    """
    shown = text.replace("\n", " \u21b5 ").replace("\t", " ")
    printable = "".join(character if character.isprintable() else "?" for character in shown)
    if len(printable) <= length:
        return printable
    head = (length - 5) * 2 // 5
    return f"{printable[:head]} ... {printable[len(printable) - (length - 5 - head) :]}"
