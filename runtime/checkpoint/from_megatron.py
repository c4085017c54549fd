"""A model that Megatron has saved in its format `torch_dist`, written as a Hugging Face directory.

Such a checkpoint knows no layout of ranks: what is split over them is one tensor.  Layers of one kind are the first
dimension of a tensor, and experts the next one.  Optimizer state, and layers that predict further tokens, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.model import Model
from runtime.checkpoint.convert import Written, cast_to, new_folder
from runtime.checkpoint.parts import Part, put_together, write_part
from runtime.checkpoint.torch_dist import DistCheckpoint, DistTensor, unreadable
from runtime.engines.train.megatron.layouts import Cut, joined
from runtime.engines.train.megatron.names import Piece, pieces
from runtime.weights.expert_layout import as_stored
from runtime.weights.huggingface import write_config
from runtime.weights.initial import weight_shapes

_OWN = ("embedding.", "decoder.", "output_layer.")
_LAYERS = re.compile(r"decoder\.layers\.(?!\d)(.+)")
_EXPERTS = re.compile(r"(.*)mlp\.experts\.experts\.(.+)")

Places = Mapping[str, tuple[str, tuple[int, ...]]]


def convert_from_megatron(
    source: Path,
    target: Path,
    model: Model[Never],
    *,
    dtype: Literal["as_is", "float32", "bfloat16", "float16"],
    shard_bytes: int,
) -> Written:
    """Write a Hugging Face directory: weights and config.json; such a checkpoint has no tokenizer.

    Args:
        source: a folder with `.metadata`.
        model: the facts, which the checkpoint does not say.
        shard_bytes: a file holds no more, unless one tensor alone does.

    Raises: SpecError RLC0629 if it cannot be read, or is not of that model; RLC0699 as `convert`.
    """
    checkpoint = DistCheckpoint(source)
    shapes = weight_shapes(model)
    places = _places(checkpoint)
    with new_folder(target) as folder:
        parts: list[Part] = []
        waiting: dict[str, Tensor] = {}
        largest, size = 0.0, 0

        def write() -> None:
            parts.append(write_part(folder / f"model-{len(parts)}.part", "model", waiting))
            waiting.clear()

        for theirs, whole in _weights(checkpoint, places, shapes, model):
            for name, tensor in as_stored({theirs: whole}):
                cast, change = cast_to(tensor, dtype, name=name)
                largest = max(largest, change)
                if waiting and size + cast.nbytes > shard_bytes:
                    write()
                    size = 0
                waiting[name] = cast
                size += cast.nbytes
        write()
        put_together(folder, parts)
        names = [name for part in parts for name in part.names]
        write_config(folder, names, model=model, dtype=parts[0].dtype)
    num_bytes = sum(part.num_bytes for part in parts)
    return Written(tensors=len(names), num_bytes=num_bytes, files=len(parts), largest_change=largest)


def _places(checkpoint: DistCheckpoint) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return for each of Megatron's names, of one layer and one expert, the tensor and the place in it."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for key, tensor in checkpoint.tensors.items():
        bare = re.sub(r"^(?:(?:model|module)\.)+", "", key)
        if bare.startswith(_OWN) and not bare.endswith("_extra_state"):
            found |= {name: (key, at) for name, at in _spread(bare, tensor)}
    return found


def _spread(name: str, tensor: DistTensor) -> Iterator[tuple[str, tuple[int, ...]]]:
    stacked = _LAYERS.fullmatch(name)
    layers = [(name, ())] if stacked is None else _numbered("decoder.layers.{}." + stacked[1], tensor.shape[0])
    for layer, at in layers:
        expert = _EXPERTS.fullmatch(layer)
        if expert is None:
            yield layer, at
            continue
        names = _numbered(expert[1] + "mlp.experts.local_experts.{}." + expert[2], tensor.shape[len(at)])
        yield from ((one, (*at, *number)) for one, number in names)


def _numbered(name: str, count: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(name.format(number), (number,)) for number in range(count)]


def _weights(
    checkpoint: DistCheckpoint, places: Places, shapes: Mapping[str, torch.Size], model: Model[Never]
) -> Iterator[tuple[str, Tensor]]:
    try:
        made_of = list(pieces(shapes, places, model.num_layers))
    except InternalError as fault:
        fact = f"the checkpoint is not of a {model.family} model of {model.num_layers} layers: {fault}"
        raise SpecError(unreadable(fact)) from fault
    for piece in made_of:
        yield from zip(piece.theirs, _wholes(checkpoint, places, piece, shapes, model), strict=True)


def _wholes(
    checkpoint: DistCheckpoint, places: Places, piece: Piece, shapes: Mapping[str, torch.Size], model: Model[Never]
) -> list[Tensor]:
    wanted = [shapes[name] for name in piece.theirs]
    cut = Cut(piece.kind, None, 1, model.num_kv_heads, model.vocab_size)

    def read(ours: str) -> list[Tensor]:
        key, at = places[ours]
        return joined([checkpoint.read(key, at)], cut, [shape[0] for shape in wanted])

    ours = piece.ours[0]
    try:
        if "{" in ours:
            names = [name for at in range(len(places)) if (name := ours.format(expert=at)) in places]
            found = [torch.stack([read(name)[0] for name in names])]
        else:
            found = read(ours)
    except RuntimeError as fault:
        raise SpecError(unreadable(f"{ours} does not fit {piece.theirs[0]}: {fault}")) from fault
    for name, tensor, shape in zip(piece.theirs, found, wanted, strict=True):
        if tensor.shape != shape:
            fact = f"{name} would be {list(tensor.shape)}, and the model needs {list(shape)}"
            raise SpecError(unreadable(fact))
    return found
