"""Recorded rollouts: a folder of one stage, in it a folder for each step.

    recording.json           what the recording was made with (origin.py), and the version of this format
    step_000001/             tokens.safetensors (tokens, log-probs and versions of the weights, end to end) and
                             rollout.json (prompts, texts, rewards, metrics, and the digest of the other file)

A step is written to a folder whose name begins with `.tmp-`, flushed, and renamed, so a kill leaves whole steps only; a
step that is taken again after a resume takes the place of the one before.  Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.buffer.rollout_buffer import Kept, RolloutBuffer
from runtime.buffer.saved import restored, saved
from runtime.checkpoint.manifest import flush
from runtime.checkpoint.store import flush_tree
from runtime.recording.origin import Origin, differences
from stdlib.samples import Group

VERSION = 1
HEADER, ROLLOUT, TOKENS = "recording.json", "rollout.json", "tokens.safetensors"
_TEMPORARY = ".tmp-"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedStep:
    """What one step trains on.

    `baselines` are greedy responses, where an algorithm asks for them; `metrics` are those of the rollout, without what
    a clock measured; `data_position` is that in the data after it.
    """

    groups: list[Group]
    baselines: list[Group] | None
    metrics: Mapping[str, float]
    data_position: int


class RolloutRecorder:
    """Writes a recording.

    Args:
        origin: what has to be the same where it is trained on.
        settings: what else it was made with.

    Raises: SpecError RLC0789 if the disk refuses, RLC0787 if there is a recording of another origin already.
    """

    def __init__(self, folder: Path, origin: Origin, settings: Origin) -> None:
        self._folder = folder
        told = {"version": VERSION, "origin": dict(origin), "settings": dict(settings)}
        text = json.dumps(told, indent=1, sort_keys=True) + "\n"
        if (folder / HEADER).exists():
            _check_origin(folder, origin)
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f"{_TEMPORARY}{HEADER}"
            temporary.write_text(text, encoding="utf-8")
            flush(temporary)
            temporary.replace(folder / HEADER)
            flush(folder)
        except OSError as error:
            raise _not_written(folder, error) from error

    def write(self, step: int, recorded: RecordedStep) -> None:
        """Write a step, counted from 1 within its stage.  Raises: SpecError RLC0789 if the disk refuses."""
        # The pools of a buffer are what groups are saved as.
        waiting = saved(
            RolloutBuffer(
                finished=[Kept(group=group) for group in recorded.groups],
                used=[Kept(group=group) for group in recorded.baselines or ()],
            )
        )
        told = {
            "groups": waiting.state,
            "has_baselines": recorded.baselines is not None,
            "metrics": dict(recorded.metrics),
            "data_position": recorded.data_position,
        }
        final, temporary = self._folder / _name(step), self._folder / f"{_TEMPORARY}{_name(step)}"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            save_file(dict(waiting.tensors), temporary / TOKENS)
            told["sha256"] = _digest(temporary / TOKENS)
            (temporary / ROLLOUT).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            flush_tree(temporary)
            if final.exists():
                aside = self._folder / f"{_TEMPORARY}old-{_name(step)}"
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(final, aside)
                os.rename(temporary, final)
                shutil.rmtree(aside)
            else:
                os.rename(temporary, final)
            flush(self._folder)
        except (OSError, SafetensorError) as error:
            raise _not_written(final, error) from error


class RecordedRollouts:
    """Reads a recording.

    Args:
        origin: what training on it needs it to be made with.
        num_steps: steps that it has to hold, from the first of the stage on.

    Raises: SpecError RLC0786 if there is none, RLC0787 if it is of another origin, RLC0788 if steps are missing.
    """

    def __init__(self, folder: Path, origin: Origin, *, num_steps: int) -> None:
        self._folder = folder
        self._settings = _check_origin(folder, origin)
        missing = [step for step in range(1, num_steps + 1) if not (folder / _name(step)).is_dir()]
        if missing:
            raise SpecError(_too_short(folder, missing[0], num_steps))

    def changed(self, settings: Origin) -> list[str]:
        """Return a line for each setting that it was not made with; none of a recording that says no settings."""
        return differences(self._settings, settings) if self._settings else []

    def read(self, step: int) -> RecordedStep:
        """Return a step, counted from 1.  Raises: SpecError RLC0786 if it is damaged."""
        folder = self._folder / _name(step)
        try:
            told: Any = json.loads((folder / ROLLOUT).read_text(encoding="utf-8"))
            if _digest(folder / TOKENS) != told["sha256"]:
                raise _unreadable(folder, f"{TOKENS} has other content than was written: its sha256 differs")
            pools = restored(told["groups"], load_file(folder / TOKENS))
            return RecordedStep(
                groups=[kept.group for kept in pools.finished],
                baselines=[kept.group for kept in pools.used] if told["has_baselines"] else None,
                metrics=told["metrics"],
                data_position=told["data_position"],
            )
        except OSError as error:
            raise _unreadable(folder, f"{Path(error.filename or folder).name}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            raise _unreadable(folder, f"{type(error).__name__}: {error}") from error
        except SpecError as error:
            if error.diagnostics[0].code == "RLC0786":
                raise
            raise _unreadable(folder, error.diagnostics[0].message) from error


def _check_origin(folder: Path, wanted: Origin) -> Origin:
    """Return what else a recording was made with."""
    try:
        told: Any = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        version, recorded, settings = told["version"], dict(told["origin"]), dict(told.get("settings", {}))
    except OSError as error:
        raise _unreadable(folder, f"{HEADER}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(folder, f"{HEADER}: {type(error).__name__}: {error}") from error
    if version != VERSION:
        raise _unreadable(folder, f"it has version {version}, and this rlc reads version {VERSION}")
    found = differences(recorded, wanted)
    if found:
        raise SpecError(
            Diagnostic(
                "RLC0787",
                f"{folder} was recorded by another experiment: {'; '.join(found)}",
                help=(
                    Help("name the recording of this experiment, or set what differs as the recording has it"),
                    Help("or record again, into another run directory"),
                ),
                paths=("debug.replay",),
            )
        )
    return settings


def _name(step: int) -> str:
    return f"step_{step:06d}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unreadable(folder: Path, why: str) -> SpecError:
    way = Help("name a folder rollouts/STAGE that a run with debug.record = true has written")
    fault = Diagnostic("RLC0786", f"{folder} is no whole recording: {why}", help=(way,), paths=("debug.replay",))
    return SpecError(fault)


def _too_short(folder: Path, first_missing: int, wanted: int) -> Diagnostic:
    held = first_missing - 1
    ways = (Help(f"set run.max_steps = {held}"),) if held else ()
    return Diagnostic(
        "RLC0788",
        f"{folder} holds {held:,} step(s) from the first on, and {wanted:,} are to be trained on",
        help=(*ways, Help("record from the first step of the stage on")),
        paths=("run.max_steps", "debug.replay"),
    )


def _not_written(path: Path, error: Exception) -> SpecError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    way = Help("make room on the disk and run again, or set debug.record = false")
    fault = Diagnostic("RLC0789", f"{path} cannot be written: {reason}", help=(way,), paths=("debug.record",))
    return SpecError(fault)
