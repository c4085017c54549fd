"""Isolation: for judging that may never end, such as computer algebra on what a policy wrote.

A reward module that declares `ISOLATION` is called in a process of its own, with a bound on memory; when a call takes
longer than the experiment allows, or the process dies of it, the process is ended and the response scores `score`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Isolation:
    """What a response scores that cannot be judged, and the memory that judging may take, 0 for any.

    `imports` are the modules that judging needs: loading them does not count against the time of the first call.
    """

    score: float
    memory_gib: int
    imports: tuple[str, ...]
