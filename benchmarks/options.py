"""What a benchmark is told on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import Effort


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to measure.

    Args:
        threads: of every contestant.
        peer_python: interpreter of an environment with trl.
        vllm_python: interpreter of an environment with vllm's CPU build.
        hand_loop: a file with another hand-written loop to measure.
    """

    effort: Effort
    threads: int
    peer_python: Path | None
    vllm_python: Path | None
    hand_loop: Path | None
