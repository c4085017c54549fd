"""How tensors are dealt to files of a folder, and what the files are called, as Hugging Face does it.

Few enough for one file are in `model.safetensors`; else they are in `model-00001-of-00003.safetensors` and so on, and
`model.safetensors.index.json` says which is where.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

FILE_BYTES: Final = 5 * 2**30  # of tensors in one file, as Hugging Face has it


def index_of(name: str) -> str:
    """Return what the index is called where `name` is in several files."""
    return f"{name}.index.json"


def file_name(name: str, number: int, count: int) -> str:
    """Return what the file with a number from 1 on is called, of so many that `name` is in."""
    return name if count == 1 else f"{name.removesuffix('.safetensors')}-{number:05}-of-{count:05}.safetensors"


def dealt(sizes: Iterable[tuple[str, int]], most: int) -> list[list[str]]:
    """Return the names for each file, in their order; there is at least one file.

    Args:
        sizes: names and bytes of tensors.
        most: bytes of a file, unless one tensor alone has more.
    """
    files: list[list[str]] = [[]]
    held = 0
    for name, nbytes in sizes:
        if files[-1] and held + nbytes > most:
            files.append([])
            held = 0
        files[-1].append(name)
        held += nbytes
    return files


def write_index(folder: Path, name: str, placed: Mapping[str, str], *, num_bytes: int) -> None:
    """Write in which file each tensor is."""
    index = {"metadata": {"total_size": num_bytes}, "weight_map": dict(sorted(placed.items()))}
    (folder / index_of(name)).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def placed_in(index: Path) -> dict[str, str]:
    """Return of each tensor the file beside the index that it is in.

    Raises: OSError, and ValueError if it is no index or names what is no file beside it.
    """
    parsed: Any = json.loads(index.read_text(encoding="utf-8"))
    placed: Any = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
        raise ValueError("it has no weight_map from names to files")
    for name in placed.values():
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"it names {name!r}, which is no safetensors file beside it")
    return placed


def files_of(folder: Path, name: str) -> list[Path]:
    """Return the files that `name` is in; those of an index, where there is one.  Raises: as `placed_in`."""
    index = folder / index_of(name)
    return [folder / file for file in sorted(set(placed_in(index).values()))] if index.is_file() else [folder / name]
