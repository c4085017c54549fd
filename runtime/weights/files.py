"""Tensors in one or several safetensors files of a folder: written file by file, and read as they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from runtime.weights.file_names import dealt, file_name, files_of, write_index


def write_tensors(folder: Path, name: str, tensors: Mapping[str, Tensor], *, most: int) -> None:
    """Write tensors as `name`, or as several files of at most so many bytes each and an index."""
    files = dealt(((key, tensor.nbytes) for key, tensor in tensors.items()), most)
    placed: dict[str, str] = {}
    for number, names in enumerate(files, 1):
        file = file_name(name, number, len(files))
        save_file(ready({key: tensors[key] for key in names}), folder / file, metadata={"format": "pt"})
        placed |= dict.fromkeys(names, file)
    if len(files) > 1:
        write_index(folder, name, placed, num_bytes=sum(tensor.nbytes for tensor in tensors.values()))


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Return what was written as `name`.

    Files are mapped into memory: of a tensor only what somebody reads of it comes from the disk.

    Raises: OSError, SafetensorError, and ValueError for an index that is none.
    """
    return {key: tensor for path in files_of(folder, name) for key, tensor in load_file(path).items()}


def ready(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as the format takes them: contiguous, each with memory of its own."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        is_own = place not in taken and whole.untyped_storage().nbytes() == whole.numel() * whole.element_size()
        found[name] = whole if is_own else whole.clone()
        taken.add(place)
    return found
