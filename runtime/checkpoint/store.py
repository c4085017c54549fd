"""The checkpoint store: a directory of checkpoints, each written whole or not at all.

    step_000123/  model.safetensors, config.json and the tokenizer (the Hugging Face layout), trainer.safetensors (what
                  the trainer needs beside the weights), state.json (everything else), manifest.json (sizes, digests)

Where there is more than goes into one file, both are several and an index (runtime/weights/file_names.py).

A checkpoint is written to a directory whose name begins with `.tmp-`, everything in it is flushed to the disk, and only
then is it renamed, so a kill at any moment leaves the checkpoints from before or those and one more.  If a step is
saved again with other content, the new one is `step_000123-r2` and takes precedence; the old one goes only after the
new one is on the disk.  Nothing is ever pickled, and nothing damaged is deleted.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.checkpoint.manifest import MANIFEST, MODEL, STATE, TENSORS, damage, flush, same_content, write_manifest
from runtime.checkpoint.parts import Apart, put_together, write_part
from runtime.checkpoint.retention import Retention, not_kept
from runtime.weights.expert_layout import as_computed
from runtime.weights.file_names import FILE_BYTES
from runtime.weights.files import read_tensors, write_tensors
from runtime.weights.prediction_layers import without_copies
from stdlib.samples import JsonValue

TEMPORARY = ".tmp-"
NAME = re.compile(r"step_(\d{6,})(?:-r(\d+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A whole checkpoint.  `path` is also a Hugging Face model directory."""

    path: Path
    step: int
    state: dict[str, JsonValue]

    def weights(self) -> dict[str, Tensor]:
        """Read the model's weights, by the names that models compute with, onto the CPU."""
        return as_computed(without_copies(self.stored()))

    def stored(self) -> dict[str, Tensor]:
        """Read the model's weights by the names that they have in files."""
        return read_tensors(self.path, MODEL)

    def tensors(self) -> dict[str, Tensor]:
        """Read what the trainer saved beside the weights, onto the CPU."""
        return read_tensors(self.path, TENSORS)


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestValid:
    """The newest whole checkpoint, if there is any, and a warning for each damaged one that is newer."""

    checkpoint: Checkpoint | None
    warnings: tuple[Diagnostic, ...]


class CheckpointStore:
    """The checkpoints of one run, given their names by one process.

    Args:
        file_bytes: of tensors that go into one file.
    """

    def __init__(self, directory: Path, *, file_bytes: int = FILE_BYTES) -> None:
        self._directory, self._file_bytes = directory, file_bytes

    def save(
        self,
        step: int,
        *,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, JsonValue],
        write_model: Callable[[Path], None],
    ) -> Path:
        """Write a checkpoint and return where it is.

        Args:
            step: counts over the whole run; checkpoints of higher steps are newer.
            tensors: what the trainer needs beside the weights.
            state: JSON without NaN or infinity.
            write_model: writes the model into the directory it is given, model.safetensors among its files.

        Raises: SpecError RLC0624 if the disk refuses, ValueError for a state that is not JSON.
        """
        text = _text(state)
        with self._unfinished(step) as temporary:
            write_model(temporary)
            write_tensors(temporary, TENSORS, tensors, most=self._file_bytes)
            return self._finish(temporary, step, text)

    def begin(self, step: int, apart: Apart) -> Path:
        """Have other processes begin to write, and return the folder that they write into.

        Raises: SpecError RLC0624 if the disk refuses, or as they do.
        """
        with self._unfinished(step, is_left=True) as temporary:
            apart.begin(temporary)
            return temporary

    def finish(
        self,
        temporary: Path,
        step: int,
        apart: Apart,
        *,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, JsonValue],
    ) -> Path:
        """Write what is left of a checkpoint that other processes write, and return where it is.

        Args:
            temporary: what `begin` returned.
            tensors: what this process has beside what the others write.

        Raises: as `save`, and as the others do; RLC0628 if what they wrote is not here.
        """
        text = _text(state)
        with self._unfinished(step, temporary) as folder:
            parts = list(apart.end())
            if tensors:
                parts.append(write_part(folder / "trainer-driver.part", "trainer", tensors))
            digests = put_together(folder, parts)
            weights = [part for part in parts if part.kind == "model"]
            apart.write_settings(folder, [name for part in weights for name in part.names], weights[0].dtype)
            return self._finish(folder, step, text, digests)

    def latest_valid(self) -> LatestValid:
        """Return the newest checkpoint that is whole.

        Raises: SpecError RLC0623, with what is wrong with each, if there are checkpoints but none is whole.
        """
        warnings: list[Diagnostic] = []
        for step, _, path in self._all():
            fault = damage(path)
            if not fault:
                state = json.loads((path / STATE).read_text(encoding="utf-8"))
                return LatestValid(checkpoint=Checkpoint(path=path, step=step, state=state), warnings=tuple(warnings))
            warnings.append(
                Diagnostic(
                    code="RLC0622",
                    message=f"{path.name} is damaged and passed over: {fault}",
                    help=(Help("nothing was deleted; restore the file from a backup if you need this checkpoint"),),
                    severity="warning",
                )
            )
        if not warnings:
            return LatestValid(checkpoint=None, warnings=())
        what = "the checkpoint is damaged" if len(warnings) == 1 else f"all {len(warnings)} checkpoints are damaged"
        ways = "restore one from a backup", f"or move {self._directory.name}/ away to start from the beginning"
        none = Diagnostic(code="RLC0623", message=f"the run cannot resume: {what}", help=tuple(map(Help, ways)))
        raise SpecError(none, *warnings)

    def retain(self, rule: Retention) -> None:
        """Remove the checkpoints that a rule does not keep.  What is damaged, or was recorded otherwise, stays."""
        found: list[tuple[Path, dict[str, JsonValue]]] = []
        for _, _, path in self._all():
            try:
                state = json.loads((path / STATE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(state, dict) and (path / MANIFEST).is_file():
                found.append((path, state))
        for at in not_kept([state for _, state in found], rule):
            self._remove(found[at][0])

    @staticmethod
    def at(path: Path) -> Checkpoint:
        """Return the checkpoint in a directory.  Raises: SpecError RLC0691 if there is none, or it is damaged."""
        fault = damage(path) if path.is_dir() else "there is no such directory"
        if fault:
            way = Help("name a folder step_... below checkpoints/ of a run directory, latest, or initial")
            raise SpecError(Diagnostic("RLC0691", f"{path} is no whole checkpoint: {fault}", help=(way,)))
        state: dict[str, JsonValue] = json.loads((path / STATE).read_text(encoding="utf-8"))
        return Checkpoint(
            path=path, step=int(match[1]) if (match := NAME.fullmatch(path.resolve().name)) else 0, state=state
        )

    def discard_unfinished(self) -> None:
        """Remove what killed processes left of checkpoints that they had not finished, or were removing."""
        for path in self._directory.glob(f"{TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, temporary: Path, final: Path) -> None:
        """Give a flushed checkpoint its name: the one moment from which on it exists."""
        temporary.rename(final)
        flush(self._directory)

    @contextmanager
    def _unfinished(self, step: int, temporary: Path | None = None, *, is_left: bool = False) -> Iterator[Path]:
        """Yield a folder that is removed behind, unless it is left to somebody and nothing went wrong."""
        name = f"step_{step:06d}"
        try:
            if not self._directory.is_dir():
                self._directory.mkdir(parents=True)
                flush(self._directory.parent)
            folder = temporary or self._make_temporary(name)
            is_done = False
            try:
                yield folder
                is_done = True
            finally:
                if folder.exists() and not (is_left and is_done):
                    shutil.rmtree(folder, ignore_errors=True)  # others may still be writing
        except OSError as error:
            raise _not_written(name, error.strerror or str(error)) from error
        except SafetensorError as error:
            raise _not_written(name, str(error)) from error

    def _finish(self, temporary: Path, step: int, state: str, digests: Mapping[str, str] | None = None) -> Path:
        (temporary / STATE).write_text(state, encoding="utf-8")
        write_manifest(temporary, digests)
        flush_tree(temporary)
        return self._put(temporary, step)

    def _put(self, temporary: Path, step: int) -> Path:
        before = [(revision, path) for found, revision, path in self._all() if found == step]
        if not before:
            final = self._directory / f"step_{step:06d}"
            self.publish(temporary, final)
            return final
        newest_revision, newest = before[0]
        whole = [path for _, path in before if not damage(path)]
        if newest in whole and same_content(temporary, newest):
            return newest
        final = self._directory / f"step_{step:06d}-r{newest_revision + 1}"
        self.publish(temporary, final)
        for path in whole:
            self._remove(path)
        return final

    def _remove(self, path: Path) -> None:
        # Renamed first, so that a kill in between does not leave half a checkpoint under a real name.
        aside = self._make_temporary(path.name)
        path.rename(aside)
        shutil.rmtree(aside)

    def _make_temporary(self, name: str) -> Path:
        for number in itertools.count():
            path = self._directory / f"{TEMPORARY}{name}-{number}"
            try:
                path.mkdir()
            except FileExistsError:
                # Left over from a run that was killed.
                continue
            return path
        raise AssertionError("numbers do not end")

    def _all(self) -> Iterator[tuple[int, int, Path]]:
        """Yield (step, revision, path), newest first."""
        if not self._directory.is_dir():
            return
        found: list[tuple[int, int, Path]] = []
        for path in self._directory.iterdir():
            match = NAME.fullmatch(path.name)
            if match is not None and path.is_dir():
                found.append((int(match[1]), int(match[2] or 1), path))
        yield from sorted(found, reverse=True)


def flush_tree(directory: Path) -> None:
    """Flush every file and directory below a directory, and itself, to the disk."""
    for path in directory.rglob("*"):
        flush(path)
    flush(directory)


def _text(state: Mapping[str, JsonValue]) -> str:
    return json.dumps(state, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _not_written(name: str, reason: str) -> SpecError:
    return SpecError(
        Diagnostic(
            code="RLC0624",
            message=f"checkpoint {name} cannot be written: {reason}",
            help=(Help("make room on the disk and run again: the run resumes from the checkpoint before"),),
        )
    )
