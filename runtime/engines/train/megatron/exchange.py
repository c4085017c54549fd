"""What this process holds of a model, and the whole model by its names of Hugging Face, one tensor at a time.

Everything here is collective: every process does the same in the same order.  A tensor is put together within the
pipeline stage that has it, and sent to the others; so a state has no trace of the layout that it was saved on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Never

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from compiler.ir.model import Model
from runtime.engines.train.hf_model import EMBEDDING, HEAD, empty_model, held_weights
from runtime.engines.train.megatron.layouts import Cut, joined, part
from runtime.engines.train.megatron.names import Piece, pieces
from runtime.engines.train.megatron.network import Chunk

_TIED = "output_layer.weight"

Read = Callable[[str], Tensor]
Write = Callable[[str, Tensor], object]


class Exchange:
    """Names of one model.

    `held` are this process's own tensors, parameters and what no gradient reaches, by names of Megatron in which
    layers are counted over the whole model.

    Args:
        head: what a head of one number is called, where the model has one in the place of the vocabulary.
    """

    def __init__(self, chunks: Sequence[Chunk], model: Model[Never], *, head: str | None = None) -> None:
        self._model = model
        self.held = dict(_named(chunks))
        self.shapes = {name: tensor.shape for name, tensor in held_weights(empty_model(model)).items()}
        if head is not None:
            self.shapes.pop(HEAD, None)
            self.shapes[head] = torch.Size((1, model.hidden_size))
        self._stage = parallel_state.get_pipeline_model_parallel_rank()
        names: list[Any] = [None] * parallel_state.get_pipeline_model_parallel_world_size()
        dist.all_gather_object(names, list(self.held), group=parallel_state.get_pipeline_model_parallel_group())
        self._stage_of = {name: stage for stage in reversed(range(len(names))) for name in names[stage]}
        self.pieces = tuple(pieces(self.shapes, self._stage_of, model.num_layers))

    def wholes(self, piece: Piece, read: Read) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of Hugging Face that a piece is made of, fp32, on every rank.

        Args:
            read: returns this process's part of one of Megatron's tensors, by its name and of its shape.
        """
        stage = self._stage_of[piece.ours[0].format(expert=0)]
        found: list[Tensor] = []
        if stage == self._stage:
            found = self._experts(piece, read) if "{" in piece.ours[0] else self._together(piece, piece.ours[0], read)
        group = parallel_state.get_pipeline_model_parallel_group()
        for at, name in enumerate(piece.theirs):
            mine = next(iter(self.held.values()))
            if stage == self._stage:
                tensor = found[at].detach().to(torch.float32, copy=True).contiguous()
            else:
                tensor = torch.empty(self.shapes[name], dtype=torch.float32, device=mine.device)
            if group.size() > 1:
                dist.broadcast(tensor, src=dist.get_global_rank(group, stage), group=group)
            yield name, tensor

    def place(self, piece: Piece, given: Mapping[str, Tensor], write: Write) -> None:
        """Hand this process its part of a piece.

        Args:
            given: the tensors of Hugging Face, of which only those of what this process holds are read.
            write: takes the part of one of Megatron's tensors, by its name.
        """
        ours = piece.ours[0]
        if "{" in ours:
            for at, name in enumerate(self._experts_of(ours)):
                slices = [given[theirs][self._first_expert(ours) + at] for theirs in piece.theirs]
                write(name, part(slices, self._cut(piece, name), _rank(self._group(piece))))
            return
        tied = [_TIED] if piece.theirs == (EMBEDDING,) and self._model.tie_embeddings else []
        for name in [ours, *tied]:
            if name in self.held:
                tensors = [given[theirs] for theirs in piece.theirs]
                write(name, part(tensors, self._cut(piece, name), _rank(self._group(piece))))

    def _together(self, piece: Piece, name: str, read: Read) -> list[Tensor]:
        cut = self._cut(piece, name)
        own = read(name)
        parts = [own] if cut.dim is None else _gathered(own, self._group(piece))
        return joined(parts, cut, [self.shapes[theirs][0] for theirs in piece.theirs])

    def _experts(self, piece: Piece, read: Read) -> list[Tensor]:
        own = torch.stack([self._together(piece, name, read)[0] for name in self._experts_of(piece.ours[0])])
        return [torch.cat(_gathered(own, parallel_state.get_expert_model_parallel_group()))]

    def _experts_of(self, ours: str) -> list[str]:
        names = [ours.format(expert=at) for at in range(self._experts_each())]
        return [name for name in names if name in self.held]

    def _experts_each(self) -> int:
        moe: Any = self._model.moe
        return int(moe.num_experts) // int(parallel_state.get_expert_model_parallel_world_size())

    def _first_expert(self, _: str) -> int:
        return self._experts_each() * int(parallel_state.get_expert_model_parallel_rank())

    def _group(self, piece: Piece) -> Any:
        is_expert = piece.kind in ("expert", "gated_expert")
        if is_expert:
            return parallel_state.get_expert_tensor_parallel_group()
        return parallel_state.get_tensor_model_parallel_group()

    def _cut(self, piece: Piece, name: str) -> Cut:
        group, tensor = self._group(piece), self.held[name]
        is_split = getattr(tensor, "tensor_model_parallel", False) and group.size() > 1
        return Cut(
            kind=piece.kind,
            dim=int(getattr(tensor, "partition_dim", 0)) if is_split else None,
            num_ranks=group.size(),
            num_kv_heads=self._model.num_kv_heads,
            vocab_size=self._model.vocab_size,
        )


def _named(chunks: Sequence[Chunk]) -> Iterator[tuple[str, Tensor]]:
    for chunk in chunks:
        numbers = [layer.layer_number - 1 for layer in chunk.decoder.layers]
        for name, tensor in chunk.state_dict(keep_vars=True).items():
            if not isinstance(tensor, Tensor) or name.endswith("_extra_state"):
                continue
            before, layers, rest = name.partition("decoder.layers.")
            if not layers:
                yield name, tensor
                continue
            at, _, inner = rest.partition(".")
            yield f"{before}{layers}{numbers[int(at)]}.{inner}", tensor


def _gathered(own: Tensor, group: Any) -> list[Tensor]:
    if group.size() == 1:
        return [own]
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(group.size())]
    dist.all_gather(parts, own.detach().contiguous(), group=group)
    return parts


def _rank(group: Any) -> int:
    return int(group.rank())
