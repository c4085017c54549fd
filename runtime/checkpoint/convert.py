"""A checkpoint, or a model directory, written again as a model directory: other number format, other shards.

Tensors are read one after another and written shard by shard, so no more of a model is in memory than one shard.  The
folder appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.checkpoint.contents import HeldTensor, model_tensors
from runtime.checkpoint.manifest import MANIFEST, STATE, TENSORS
from runtime.checkpoint.store import flush, flush_tree

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OWN = (MANIFEST, STATE, TENSORS)  # what only a run needs


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
    if target.exists():
        raise SpecError(_fault(f"{target} exists already", "name a folder that is not there yet"))
    temporary = target.with_name(f".tmp-{target.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        written = _write(source, temporary, held, dtype, shard_bytes)
        for path in sorted(source.iterdir()):
            if path.is_file() and path.suffix != ".safetensors" and path.name not in (*_OWN, _INDEX):
                shutil.copyfile(path, temporary / path.name)
        _tell_format(temporary / "config.json", dtype)
        flush_tree(temporary)
        temporary.rename(target)
        flush(target.absolute().parent)
    except OSError as fault:
        raise SpecError(_fault(f"{target} cannot be written: {fault.strerror or fault}", "make room")) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


_INDEX = "model.safetensors.index.json"


def _write(source: Path, target: Path, held: list[HeldTensor], dtype: str, shard_bytes: int) -> Written:
    shards, total, largest = list(_shards(held, dtype, shard_bytes)), 0, 0.0
    placed: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors: dict[str, Tensor] = {}
        for place in shard:
            tensors[place.name], change = _read(source, place, dtype)
            largest = max(largest, change)
            total += tensors[place.name].nbytes
        save_file(tensors, target / name, metadata={"format": "pt"})
        placed |= dict.fromkeys(tensors, name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))}
        (target / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return Written(tensors=len(held), num_bytes=total, files=len(shards), largest_change=largest)


def _shards(held: list[HeldTensor], dtype: str, most: int) -> Iterator[list[HeldTensor]]:
    shard: list[HeldTensor] = []
    size = 0
    for tensor in held:
        is_cast = dtype in _FORMATS and tensor.dtype in ("F64", "F32", "F16", "BF16")
        nbytes = tensor.numel * _FORMATS[dtype].itemsize if is_cast else tensor.num_bytes
        if shard and size + nbytes > most:
            yield shard
            shard, size = list[HeldTensor](), 0
        shard.append(tensor)
        size += nbytes
    yield shard


def _read(source: Path, place: HeldTensor, dtype: str) -> tuple[Tensor, float]:
    with safe_open(source / place.file, framework="pt") as file:
        tensor: Tensor = file.get_tensor(place.name)
    if dtype not in _FORMATS or place.dtype not in ("F64", "F32", "F16", "BF16"):
        return tensor, 0.0
    cast = tensor.to(_FORMATS[dtype])
    if bool(torch.isinf(cast).any()) and not bool(torch.isinf(tensor).any()):
        fact = f"{place.name} holds {float(tensor.double().abs().max()):.3g}, which {dtype} has no number for"
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
