"""What lies in a folder of weights, read from the headers of its safetensors files alone.

A folder is a checkpoint of rlc, or a Hugging Face model directory.  Nothing is loaded, so a checkpoint of any size is
looked at in the time that its headers take.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.weights.file_names import index_of, placed_in

_LARGEST_HEADER = 100_000_000  # bytes, as the format itself allows


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldTensor:
    """A tensor in a file: its name, its number format as the file says it (F32, BF16, I64), shape and bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int
    file: str

    @property
    def numel(self) -> int:
        """Its numbers."""
        return math.prod(self.shape)


def tensors_of(path: Path) -> list[HeldTensor]:
    """Return the tensors of a safetensors file, by name.  Raises: SpecError RLC0699 if it is none."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _LARGEST_HEADER:
                raise ValueError(f"its header would have {size:,} bytes")
            header: dict[str, Any] = json.loads(file.read(size))
        found = [
            HeldTensor(
                name=name,
                dtype=str(entry["dtype"]),
                shape=tuple(int(n) for n in entry["shape"]),
                num_bytes=int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]),
                file=path.name,
            )
            for name, entry in header.items()
            if name != "__metadata__"
        ]
        end = 8 + size + sum(t.num_bytes for t in found)
        if path.stat().st_size != end:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, and its header says {end:,}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise SpecError(_unreadable(f"{path} is no safetensors file: {why}")) from fault
    return sorted(found, key=lambda tensor: tensor.name)


def model_tensors(folder: Path) -> list[HeldTensor]:
    """Return the tensors of a model directory.  Raises: as `held_as`."""
    return held_as(folder, "model.safetensors")


def held_as(folder: Path, name: str) -> list[HeldTensor]:
    """Return the tensors of one file, or of several with an index.

    Raises: SpecError RLC0699 without a readable one, or if the index and its shards disagree.
    """
    index = folder / index_of(name)
    if index.is_file():
        return _of_shards(folder, index)
    single = folder / name
    if not single.is_file():
        raise SpecError(_unreadable(f"{folder} holds no {name} and no index of shards"))
    return tensors_of(single)


def _of_shards(folder: Path, index: Path) -> list[HeldTensor]:
    try:
        placed = placed_in(index)
    except (OSError, ValueError) as fault:
        raise SpecError(_unreadable(f"{index} is not an index of weights: {fault}")) from fault
    files = sorted(set(placed.values()))
    found = [tensor for name in files for tensor in tensors_of(folder / name)]
    held = {tensor.name: tensor.file for tensor in found}
    for name, file in placed.items():
        if held.get(name) != file:
            raise SpecError(_unreadable(f"{index} says that {name} is in {file}, and it is not"))
    return sorted(found, key=lambda tensor: tensor.name)


def _unreadable(message: str) -> Diagnostic:
    way = Help("name a folder step_... below checkpoints/ of a run directory, or a Hugging Face model directory")
    return Diagnostic("RLC0699", message, help=(way,))
