"""`rlc ckpt` around the runtime: what a path names, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.checkpoint.contents import HeldTensor, held_as, model_tensors

if TYPE_CHECKING:
    from runtime.checkpoint.convert import Written

_STEPS = "step_*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """One checkpoint, or one model directory, which has no `state`.

    `damage` says what is wrong with the content of its files; it is empty for a whole one, and None if nothing says
    what the content should be, as in a model directory.
    """

    path: Path
    state: dict[str, Any] | None
    model: tuple[HeldTensor, ...]
    trainer: tuple[HeldTensor, ...]
    damage: str | None

    @property
    def parameters(self) -> int:
        """Numbers of the model."""
        return sum(tensor.numel for tensor in self.model)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.num_bytes for tensor in (*self.model, *self.trainer))

    def formats(self) -> str:
        """Return the number formats of the model, the most frequent first."""
        counted: dict[str, int] = {}
        for tensor in self.model:
            counted[tensor.dtype] = counted.get(tensor.dtype, 0) + tensor.numel
        return ", ".join(sorted(counted, key=lambda name: -counted[name]))

    def to_json(self, *, tensors: bool) -> dict[str, object]:
        """Return all that is known, for programs."""
        told: dict[str, object] = {
            "path": str(self.path),
            "state": self.state,
            "damage": self.damage,
            "parameters": self.parameters,
            "bytes": self.num_bytes,
            "formats": self.formats().split(", "),
        }
        if tensors:
            told["tensors"] = {
                part: {t.name: {"dtype": t.dtype, "shape": t.shape, "file": t.file} for t in held}
                for part, held in (("model", self.model), ("trainer", self.trainer))
            }
        return told


def checkpoints_of(path: Path) -> list[Path]:
    """Return the checkpoints that a path names, the oldest first: those of a run directory, or the one that it is.

    Raises: SpecError RLC0691 if there is none.
    """
    for folder in (path / "checkpoints", path):
        found = sorted(p for p in folder.glob(_STEPS) if p.is_dir()) if folder.is_dir() else []
        if found:
            return found
    if path.is_dir() and any(path.glob("*.safetensors")):
        return [path]
    what = "holds no checkpoint and no weights" if path.is_dir() else "is not a directory"
    ways = (Help("name a run directory, a folder step_... below its checkpoints/, or a Hugging Face model directory"),)
    raise SpecError(Diagnostic("RLC0691", f"{path} {what}", help=ways))


def converted(
    source: Path,
    target: Path,
    *,
    model: str | None,
    dtype: Literal["as_is", "float32", "bfloat16", "float16"],
    shard_bytes: int,
) -> tuple[Path, Written]:
    """Write what a path names, the newest of several, as a model directory; return which, and what was written.

    Args:
        model: of the library, by name or label, which a folder of Megatron is; None for what says so itself.

    Raises: SpecError RLC0691 if there is nothing, RLC0031 for an unknown model, RLC0629 for a folder of Megatron that
    is not of the model, or whose model is not said, and RLC0699 if it cannot be written.
    """
    from runtime.checkpoint.convert import convert
    from runtime.checkpoint.torch_dist import dist_folder

    folder = dist_folder(source)
    if folder is None:
        if model is not None:
            fact = f"{source} is no torch_dist folder of Megatron, and --model is for one"
            raise SpecError(Diagnostic("RLC0629", fact, help=(Help("leave --model out, or name a folder iter_..."),)))
        path = checkpoints_of(source)[-1]
        return path, convert(path, target, dtype=dtype, shard_bytes=shard_bytes)
    if model is None:
        way = Help("name its model: --model //models:NAME; `rlc models` lists them")
        raise SpecError(Diagnostic("RLC0629", f"{folder} does not say which model it is of", help=(way,)))
    from rlc.catalogue import scan
    from rlc.models import read_model
    from runtime.checkpoint.from_megatron import convert_from_megatron

    facts: Any = read_model(model, scan()).facts
    return folder, convert_from_megatron(folder, target, facts, dtype=dtype, shard_bytes=shard_bytes)


def inspect(path: Path, *, verify: bool) -> Inspected:
    """Return what lies in one checkpoint.

    Args:
        verify: whether the content of every file is read and compared with what was written.

    Raises: SpecError RLC0699 if its files cannot be read.
    """
    from runtime.checkpoint.manifest import STATE, TENSORS, damage

    is_own = (path / STATE).is_file()
    state = _state(path / STATE) if is_own else None
    return Inspected(
        path=path,
        state=state,
        model=tuple(model_tensors(path)),
        trainer=tuple(held_as(path, TENSORS)) if is_own else (),
        damage=damage(path) if is_own and verify else None,
    )


def _state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as fault:
        raise SpecError(Diagnostic("RLC0699", f"{path} cannot be read: {fault}")) from fault
    return state
