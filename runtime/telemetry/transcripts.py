"""Transcripts: some sampled texts of each step, to be read by people.

One file a step, replaced whole, so that a step done again after a resume leaves the same file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.metrics_file import write_failed
from runtime.telemetry.rows import Row
from stdlib.samples import JsonValue, Sample


class Transcripts:
    """Writes `stage_<name>_step_<step>.jsonl` files into a folder."""

    def __init__(self, folder: Path, *, stages: Sequence[str], samples_per_step: int) -> None:
        """Keep the first `samples_per_step` samples of each step; `stages` are the names of the stages, in order."""
        self._folder = folder
        self._stages = tuple(stages)
        self._samples_per_step = samples_per_step

    def write(self, row: Row) -> None:
        """Record nothing: numbers go to metrics.jsonl."""

    def transcripts(self, step: int, samples: Sequence[Sample]) -> None:
        """Write the file of this step, replacing one that is there.

        Args:
            step: within the stage; 0 before the first.
            samples: all of one stage.

        Raises: SpecError RLC0651 if the disk does not take it.
        """
        kept = samples[: self._samples_per_step]
        if not kept:
            return
        stage = quote(self._stages[kept[0].id.stage], safe="")
        path = self._folder / f"stage_{stage}_step_{step:06d}.jsonl"
        text = "".join(json.dumps(_transcript(sample), ensure_ascii=False, allow_nan=False) + "\n" for sample in kept)
        partial = path.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
            os.replace(partial, path)
        except OSError as fault:
            raise SpecError(write_failed(path, fault)) from fault

    def close(self) -> None:
        """Do nothing: each file was closed when it was written."""


def _transcript(sample: Sample) -> dict[str, JsonValue]:
    sampled = [segment for segment in sample.segments if segment.is_sampled]
    versions = [version for segment in sampled for version in segment.versions]
    logprob_sum = math.fsum(logprob for segment in sampled for logprob in segment.logprobs)
    return {
        "group": sample.id.group,
        "sample": sample.id.sample,
        "prompt": sample.prompt.text,
        "response": sample.text,
        "label": sample.prompt.label,
        "reward": _finite(sample.reward),
        **_terms(sample),
        **_episode(sample),
        "finish": sample.finish,
        "num_tokens": sample.num_response_tokens,
        "logprob_sum": _finite(logprob_sum),
        "first_version": min(versions, default=None),
        "last_version": max(versions, default=None),
    }


def _episode(sample: Sample) -> dict[str, JsonValue]:
    """What an environment made of a sample: its messages behind the prompt, what it gave, and how it ended."""
    episode = sample.episode
    if episode is None:
        return {}
    told: dict[str, JsonValue] = {
        "turns": [dict(message) for message in episode.said],
        "num_turns": episode.num_turns,
        "environment_reward": _finite(episode.reward),
        "ended_by": episode.ended_by or "environment",
        **dict(episode.counts),
    }
    return told | ({"failure": episode.failure} if episode.failure else {})


def _terms(sample: Sample) -> dict[str, JsonValue]:
    """The scores of several rewards."""
    scores: dict[str, JsonValue] = {label: _finite(score) for label, score in sample.reward_terms.items()}
    return {"reward_terms": scores} if len(scores) > 1 else {}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
