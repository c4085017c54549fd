"""A checkpoint, or a model directory, written again as a model directory: other number format, other shards.

Tensors are read one after another and written shard by shard, so no more of a model is in memory than one shard.  The
folder appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.checkpoint.contents import HeldTensor, model_tensors
from runtime.checkpoint.manifest import MANIFEST, MODEL, STATE, TENSORS, flush
from runtime.checkpoint.store import flush_tree
from runtime.weights.file_names import dealt, file_name, index_of, write_index

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OWN = (MANIFEST, STATE, index_of(TENSORS), index_of(MODEL))  # what only a run needs, or is written anew


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What a conversion wrote, and how much the numbers lost: the largest change of one, relative to it."""

    tensors: int
    num_bytes: int
    files: int
    largest_change: float


def convert(
    source: Path, target: Path, *, dtype: Literal["as_is", "float32", "bfloat16", "float16"], shard_bytes: int
) -> Written:
    """Write a model directory with what another holds.

    Args:
        dtype: of numbers with a fraction; others keep theirs.
        shard_bytes: a file holds no more, unless one tensor alone does.

    Raises: SpecError RLC0699 if there is nothing readable, the target is there already, a number is too large for the
    format, or the disk refuses.
    """
    held = model_tensors(source)
    with new_folder(target) as temporary:
        written = _write(source, temporary, held, dtype, shard_bytes)
        for path in sorted(source.iterdir()):
            if path.is_file() and path.suffix != ".safetensors" and path.name not in _OWN:
                shutil.copyfile(path, temporary / path.name)
        _tell_format(temporary / "config.json", dtype)
    return written


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to write into, which is `target` afterwards if nothing is raised, and else is gone.

    Raises: SpecError RLC0699 if the target is there already, or the disk refuses.
    """
    if target.exists():
        raise SpecError(_fault(f"{target} exists already", "name a folder that is not there yet"))
    temporary = target.with_name(f".tmp-{target.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        flush_tree(temporary)
        temporary.rename(target)
        flush(target.absolute().parent)
    except OSError as fault:
        raise SpecError(_fault(f"{target} cannot be written: {fault.strerror or fault}", "make room")) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(source: Path, target: Path, held: list[HeldTensor], dtype: str, shard_bytes: int) -> Written:
    shards, total, largest = _shards(held, dtype, shard_bytes), 0, 0.0
    placed: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = file_name(MODEL, number, len(shards))
        tensors: dict[str, Tensor] = {}
        for place in shard:
            tensors[place.name], change = _read(source, place, dtype)
            largest = max(largest, change)
            total += tensors[place.name].nbytes
        save_file(tensors, target / name, metadata={"format": "pt"})
        placed |= dict.fromkeys(tensors, name)
    if len(shards) > 1:
        write_index(target, MODEL, placed, num_bytes=total)
    return Written(tensors=len(held), num_bytes=total, files=len(shards), largest_change=largest)


def _shards(held: list[HeldTensor], dtype: str, most: int) -> list[list[HeldTensor]]:
    def num_bytes(tensor: HeldTensor) -> int:
        is_cast = dtype in _FORMATS and tensor.dtype in ("F64", "F32", "F16", "BF16")
        return tensor.numel * _FORMATS[dtype].itemsize if is_cast else tensor.num_bytes

    by_name = {tensor.name: tensor for tensor in held}
    return [[by_name[name] for name in names] for names in dealt(((t.name, num_bytes(t)) for t in held), most)]


def _read(source: Path, place: HeldTensor, dtype: str) -> tuple[Tensor, float]:
    with safe_open(source / place.file, framework="pt") as file:
        tensor: Tensor = file.get_tensor(place.name)
    return cast_to(tensor, dtype, name=place.name)


def cast_to(tensor: Tensor, dtype: str, *, name: str) -> tuple[Tensor, float]:
    """Return a tensor in a number format, and how much its numbers lost; one without fractions, or `as_is`, is kept.

    Raises: SpecError RLC0699 if a number is too large for the format.
    """
    if dtype not in _FORMATS or not tensor.is_floating_point():
        return tensor, 0.0
    cast = tensor.to(_FORMATS[dtype])
    if bool(torch.isinf(cast).any()) and not bool(torch.isinf(tensor).any()):
        fact = f"{name} holds {float(tensor.double().abs().max()):.3g}, which {dtype} has no number for"
        raise SpecError(_fault(fact, "take --dtype bfloat16, which reaches as far as float32"))
    change = (cast.double() - tensor.double()).abs() / tensor.double().abs().clamp_min(1e-30)
    return cast, float(change.nan_to_num().max()) if change.numel() else 0.0


def _tell_format(path: Path, dtype: str) -> None:
    """Say in config.json which number format the weights have; readers load them in it."""
    if dtype not in _FORMATS or not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = dtype
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _fault(message: str, way: str) -> Diagnostic:
    return Diagnostic("RLC0699", message, help=(Help(way),))
