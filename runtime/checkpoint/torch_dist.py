"""Checkpoints of torch.distributed.checkpoint, which Megatron writes as `torch_dist`, read without running any of them.

`.metadata` is a pickle.  It is read by a reader that knows the few classes which are of such a file, each as a plain
record of ours, and refuses everything else; tensors are read by torch's own reader of weights alone.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

METADATA: Final = ".metadata"

_LARGEST: Final = 2**30  # bytes of metadata
_LATEST: Final = "latest_checkpointed_iteration.txt"
_FAULTS: Final = (
    pickle.UnpicklingError,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RecursionError,
    RuntimeError,
    struct.error,
)


class Chunk(NamedTuple):
    """A part of a tensor: where it begins, its shape, and the bytes of a file that it is in."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DistTensor:
    """A tensor of a checkpoint, whose parts lie in files."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    chunks: tuple[Chunk, ...]


class DistCheckpoint:
    """The tensors of a checkpoint by name; only `read` reads any of them.

    Raises: SpecError RLC0629 if the folder is no such checkpoint, or holds what is not known.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / METADATA
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"it has {path.stat().st_size:,} bytes")
            with path.open("rb") as file:
                self.tensors = {tensor.name: tensor for tensor in _tensors(_Reader(file).load())}
        except _FAULTS as fault:
            why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
            raise SpecError(unreadable(f"{path} cannot be read: {why}")) from fault

    def read(self, name: str, at: tuple[int, ...] = ()) -> Tensor:
        """Return a tensor, or what its first dimensions have at some place.

        Raises: SpecError RLC0629 if a file is damaged, or something of the tensor is in none.
        """
        tensor = self.tensors[name]
        found = torch.empty(tensor.shape[len(at) :], dtype=tensor.dtype)
        num_read = 0
        for chunk in tensor.chunks:
            place = [i - offset for i, offset in zip(at, chunk.offsets, strict=False)]
            if not all(0 <= i < size for i, size in zip(place, chunk.sizes, strict=False)):
                continue
            part = self._part(chunk, tensor)[tuple(place)]
            rest = zip(chunk.offsets[len(at) :], chunk.sizes[len(at) :], strict=True)
            found[tuple(slice(offset, offset + size) for offset, size in rest)] = part
            num_read += part.numel()
        if num_read != found.numel():
            fact = f"of {name} in {self._folder}, {num_read:,} of {found.numel():,} numbers are there"
            raise SpecError(unreadable(fact))
        return found

    def _part(self, chunk: Chunk, tensor: DistTensor) -> Tensor:
        path = self._folder / chunk.file
        try:
            with path.open("rb") as file:
                file.seek(chunk.start)
                part: Any = torch.load(io.BytesIO(file.read(chunk.length)), map_location="cpu", weights_only=True)
            if not isinstance(part, Tensor) or tuple(part.shape) != chunk.sizes or part.dtype != tensor.dtype:
                raise ValueError(f"what it has of {tensor.name} is not what {METADATA} says")
        except _FAULTS as fault:
            raise SpecError(unreadable(f"{path} cannot be read: {fault}")) from fault
        return part.detach()


def dist_folder(path: Path) -> Path | None:
    """Return the folder of such a checkpoint: the path, or the newest below it as Megatron names it; None for none."""
    if (path / METADATA).is_file():
        return path
    latest = path / _LATEST
    word = latest.read_text(encoding="utf-8", errors="replace").strip() if latest.is_file() else ""
    below = path / (f"iter_{int(word):07}" if re.fullmatch(r"\d{1,9}", word) else "release")
    return below if word and (below / METADATA).is_file() else None


class _Record:
    """What stands for an object of any known class: its arguments, and the attributes that it had."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)
        elif isinstance(state, tuple):
            self.arguments = state


class _Tensor(_Record):
    """Of a tensor."""


class _Bytes(_Record):
    """Of anything but a tensor."""


def _size(numbers: Any = ()) -> tuple[int, ...]:
    found = tuple(numbers)
    if not all(isinstance(n, int) and n >= 0 for n in found):
        raise ValueError("a size that is none")
    return found


_STATE = "torch.distributed.checkpoint.metadata"
_KNOWN: Final[dict[tuple[str, str], Any]] = {
    **{
        (_STATE, name): _Record
        for name in (
            "Metadata",
            "MetadataIndex",
            "ChunkStorageMetadata",
            "TensorProperties",
            "StorageMeta",
            "_MEM_FORMAT_ENCODING",
        )
    },
    **{  # of a plan of who writes what, which Megatron keeps beside
        ("torch.distributed.checkpoint.planner", name): _Record
        for name in ("SavePlan", "WriteItem", "WriteItemType", "TensorWriteData", "BytesIOWriteData")
    },
    (_STATE, "TensorStorageMetadata"): _Tensor,
    (_STATE, "BytesStorageMetadata"): _Bytes,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): _Record,
    ("torch.serialization", "_get_layout"): _Record,
    ("torch", "Size"): _size,
    **{("pathlib", name): _Record for name in ("PosixPath", "Path", "PurePosixPath")},
    ("collections", "OrderedDict"): dict,
}


class _Reader(pickle.Unpickler):
    """Makes nothing but records."""

    @override
    def find_class(self, module: str, name: str, /) -> Any:
        """Return what stands for a class.  Raises: UnpicklingError if it is not known."""
        found = _KNOWN.get((module, name))
        if found is None and module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if found is None:
            raise pickle.UnpicklingError(f"it would make {module}.{name}, which is nothing of a checkpoint")
        return found


def _tensors(metadata: Any) -> Iterator[DistTensor]:
    places: dict[tuple[str, tuple[int, ...]], Any] = {}
    for index, stored in metadata.storage_data.items():
        places[index.fqn, _size(getattr(index, "offset", None) or ())] = stored
    for name, held in metadata.state_dict_metadata.items():
        if not isinstance(held, _Tensor):
            continue
        whole: Any = held
        shape, dtype = _size(whole.size), _dtype(whole.properties)
        chunks: list[Chunk] = []
        for part in whole.chunks:
            offsets, sizes = _size(part.offsets), _size(part.sizes)
            ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
            if any(end > most for end, most in zip(ends, shape, strict=True)):
                raise ValueError(f"a part of {name} is outside of it")
            chunks.append(_chunk(offsets, sizes, places[name, offsets]))
        yield DistTensor(name=str(name), shape=shape, dtype=dtype, chunks=tuple(chunks))


def _chunk(offsets: tuple[int, ...], sizes: tuple[int, ...], stored: Any) -> Chunk:
    file, start, length = stored.relative_path, stored.offset, stored.length
    if not isinstance(file, str) or Path(file).name != file:
        raise ValueError(f"it names {file!r}, which is no file beside it")
    if getattr(stored, "transform_descriptors", None):
        raise ValueError(f"{file} is compressed")
    return Chunk(offsets, sizes, file, *_size((start, length)))


def _dtype(properties: Any) -> torch.dtype:
    found = properties.arguments[0] if properties.arguments else getattr(properties, "dtype", None)
    if not isinstance(found, torch.dtype):
        raise ValueError("a tensor without a number format")
    return found


def unreadable(fact: str) -> Diagnostic:
    """Return the diagnostic RLC0629."""
    ways = (Help("name a folder iter_... of Megatron's torch_dist format, with its .metadata and all .distcp files"),)
    return Diagnostic("RLC0629", fact, help=ways)
