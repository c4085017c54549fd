"""What a reward function may return: finite numbers, as many as it was given samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from runtime.rewards.border import RewardResultError


def as_number(value: object) -> float:
    """Return a reward as a float; true is 1 and false is 0.  Raises: RewardResultError."""
    if not isinstance(value, Real):
        raise RewardResultError(f"{_shown(value)} where a number is due")
    number = float(value)
    if not math.isfinite(number):
        raise RewardResultError(f"{number} where a finite number is due")
    return number


def as_numbers(value: object, *, count: int) -> tuple[float, ...]:
    """Return the rewards of a group.  Raises: RewardResultError."""
    return tuple(as_number(item) for item in _as_list(value, count=count, what="samples"))


def as_groups(value: object, *, counts: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Return the rewards of several groups; `counts` are the samples of each.  Raises: RewardResultError."""
    rows = _as_list(value, count=len(counts), what="groups")
    return tuple(as_numbers(row, count=count) for row, count in zip(rows, counts, strict=True))


def _as_list(value: object, *, count: int, what: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise RewardResultError(f"{_shown(value)} where a list is due, one entry for each of {count} {what}")
    if len(value) != count:
        raise RewardResultError(f"{len(value)} entries for {count} {what}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'...' if len(text) > 60 else ''}"
