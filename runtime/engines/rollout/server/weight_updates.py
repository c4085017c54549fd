"""New weights over HTTP, in safetensors only: from a directory, or as tensors in buckets; and the weights in use, read.

SGLang's own /update_weights_from_tensor takes pickles, which are refused here (RLC0723).  With
`load_format = "safetensors"` each entry of `serialized_named_tensors` is a safetensors file in base64.  As in SGLang,
buckets stand between /begin_weight_update and /end_weight_update; here the engine takes them over at the end, all at
once, and draws with the weights that it has until then.  Weights that do not fit leave those in use as they are.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Never

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.model import Model
from runtime.engines.rollout.native.checks import misshapen_weight, missing_weights, unknown_weight, untied_head
from runtime.engines.rollout.server.fields import Fields
from runtime.engines.rollout.server.refusals import RefusalError, malformed, not_now, not_served, pickled
from runtime.engines.rollout.server.stepped import SteppedEngine
from runtime.engines.rollout.server.under_way import UnderWay
from runtime.weights.initial import initial_weights

SAFETENSORS: Final = "safetensors"
# What of a directory of weights is opened.
_READ: Final = (".safetensors", ".json")
_EMBEDDING: Final = "model.embed_tokens.weight"
_HEAD: Final = "lm_head.weight"

_OF_DISK: Final = ("model_path", "load_format", "abort_all_requests", "weight_version", "flush_cache")
# They say how memory of a GPU is treated, or are read by nobody.
_OF_NO_EFFECT: Final = ("torch_empty_cache", "recapture_cuda_graph", "token_step", "is_async", "selector")
_OF_TENSORS: Final = (
    "serialized_named_tensors",
    "load_format",
    "flush_cache",
    "abort_all_requests",
    "weight_version",
)


class WeightUpdates:
    """Takes weights for an engine, and shows those that it has."""

    def __init__(
        self,
        engine: SteppedEngine,
        under_way: UnderWay,
        model: Model[Never],
        *,
        root: Path,
        folders: Sequence[Path] = (),
    ) -> None:
        """Take weights from `root` and these folders, and from below them."""
        self._engine, self._under_way, self._model, self._root = engine, under_way, model, root
        self._folders = [os.path.realpath(folder) for folder in (root, *folders)]
        self._buckets: dict[str, Tensor] | None = None
        self._label: str | None = None

    def from_disk(self, given: object) -> str:
        """Load a Hugging Face directory; relative ones are below the root of the plan.

        Raises: SpecError RLC0617 to RLC0620 for what is no such directory or does not fit, RefusalError RLC0739 outside
        of the folders that weights are read from.
        """
        fields = Fields(given, "the body of /update_weights_from_disk", (*_OF_DISK, *_OF_NO_EFFECT, "keep_pause"))
        fields.only(("load_format",), ("auto", SAFETENSORS), 'leave it out: weights are read as "safetensors"')
        fields.only(("keep_pause", "is_async"), (False,), "leave it out")
        path, label, aborts = (
            fields.text("model_path"),
            _label(fields),
            fields.flag("abort_all_requests", default=False),
        )
        if not path:
            fields.wrong("model_path", "the path of a directory")
        fields.close()
        # Absolute: `random` is the name of a directory here.
        directory = (self._root / path).absolute()
        try:
            self._check_place(directory)
            tensors = initial_weights(self._model.replacing(weights=str(directory)), root=self._root, seed=0)
        except (OSError, ValueError) as fault:
            fact = f"{str(directory)!r:.200} cannot be read: {fault}"
            way = Help("name a directory that the server may read")
            raise RefusalError(400, Diagnostic("RLC0617", fact, help=(way,))) from fault
        self._take(tensors, label, aborts=aborts)
        return f"Succeeded to update model weights from {path}."

    def _check_place(self, directory: Path) -> None:
        """Raise RefusalError RLC0739 unless a directory and all files of it that may be read lie where they are to."""
        places = [directory]
        if self._is_inside(directory) and directory.is_dir():
            places += [file for file in directory.iterdir() if file.suffix in _READ]
        outside = next((place for place in places if not self._is_inside(place)), None)
        if outside is not None:
            fact = f"{str(outside)!r:.200} lies outside of the folders that this server reads weights from"
            way = Help("put the weights below the folder of the plan, or start the server with --weights-from FOLDER")
            raise RefusalError(403, Diagnostic("RLC0739", fact, help=(way,)))

    def _is_inside(self, place: Path) -> bool:
        real = os.path.realpath(place)
        return any(os.path.commonpath((real, folder)) == folder for folder in self._folders)

    def begin(self) -> None:
        """Open an update.  One that was not ended before is forgotten: its sender broke off."""
        self._buckets, self._label = dict[str, Tensor](), None

    def add(self, given: object) -> int:
        """Take a bucket of tensors, and return how many they are.

        Raises: RefusalError RLC0723 for pickles, RLC0726 outside of an update, RLC0728 for what is no safetensors file.
        """
        fields = Fields(given, "the body of /update_weights_from_tensor", (*_OF_TENSORS, *_OF_NO_EFFECT))
        if fields.raw("load_format") != SAFETENSORS:
            raise RefusalError(400, pickled(fields.raw("load_format")))
        files, label = fields.raw("serialized_named_tensors"), _label(fields)
        if not isinstance(files, list) or not all(isinstance(f, str) for f in files):
            fields.wrong("serialized_named_tensors", "a list of safetensors files in base64")
        aborts = fields.flag("abort_all_requests", default=False)
        fields.close()
        if self._buckets is None:
            raise not_now("no weight update is open", "send /begin_weight_update first, and /end_weight_update last")
        found: dict[str, Tensor] = {}
        for number, file in enumerate(files):
            found |= _tensors(file, number)
        self.take(found, label, aborts=aborts)
        return len(found)

    def take(self, tensors: Mapping[str, Tensor], label: str | None, *, aborts: bool) -> None:
        """Add tensors to the update that is open; where none is they are all weights, and are used from now on.

        Raises: SpecError RLC0633 to RLC0636 for weights that do not fit.
        """
        if self._buckets is None:
            self._take(tensors, label, aborts=aborts)
            return
        if aborts:
            self._under_way.abort_all()
        self._buckets |= tensors
        self._label = self._label if label is None else label

    def end(self) -> None:
        """Take over what the buckets held.

        Raises: RefusalError RLC0726 outside of an update, SpecError RLC0633 to RLC0636 for weights that do not fit.
        """
        if self._buckets is None:
            raise not_now("no weight update is open", "send /begin_weight_update first")
        tensors, self._buckets = self._buckets, None
        self._take(tensors, self._label, aborts=False)

    def named(self, names: list[str]) -> dict[str, Tensor]:
        """Return weights in use.  Raises: SpecError RLC0633 for a name that there is not."""
        wanted = dict.fromkeys(names)
        held = {name: tensor for name, tensor in self._engine.weights() if name in wanted}
        missing = [name for name in names if name not in held]
        if missing:
            raise RefusalError(400, unknown_weight(missing[0][:200], self.sizes()))
        return {name: held[name] for name in names}

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each weight, by name."""
        return {name: tensor.numel() * tensor.element_size() for name, tensor in self._engine.weights()}

    def _take(self, tensors: Mapping[str, Tensor], label: str | None, *, aborts: bool) -> None:
        self._check(tensors)
        if aborts:
            self._under_way.abort_all()
        self._under_way.load(iter(tensors.items()), label)

    def _check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise what the engine would say of weights that do not fit, before it lets go of those that it has."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self._engine.weights()}
        found: list[Diagnostic] = []
        for name, tensor in tensors.items():
            if name == _HEAD and name not in shapes:
                continue
            if name not in shapes:
                found.append(unknown_weight(name[:200], shapes))
            elif not tensor.is_floating_point():
                fact = f"weight {name} is of {str(tensor.dtype).removeprefix('torch.')}, not of floating-point numbers"
                found.append(malformed(fact))
            elif tuple(tensor.shape) != shapes[name]:
                found.append(misshapen_weight(name, tuple(tensor.shape), shapes[name]))
        missing = [name for name in shapes if name not in tensors]
        if missing:
            found.append(missing_weights(missing))
        elif _HEAD in tensors and _HEAD not in shapes and not torch.equal(tensors[_HEAD], tensors[_EMBEDDING]):
            found.append(untied_head(_HEAD, _EMBEDDING))
        if found:
            raise SpecError(*found)


def in_one_file(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as a safetensors file."""
    return save({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()})


def shown(tensor: Tensor, most: int) -> list[Any]:
    """Return the first rows of a weight as SGLang shows it.  Raises: RefusalError RLC0722 for what JSON cannot hold."""
    rows = tensor[:most].float()
    if not torch.isfinite(rows).all():
        raise RefusalError(
            400, not_served("truncate_size", most, 'the weight is not finite: ask format = "safetensors"')
        )
    return rows.tolist()


def _label(fields: Fields) -> str | None:
    return fields.text("weight_version") if "weight_version" in fields else None


def _tensors(file: str, number: int) -> dict[str, Tensor]:
    try:
        return load(base64.b64decode(file, validate=True))
    except (binascii.Error, ValueError, SafetensorError) as fault:
        way = Help("write them with safetensors.torch.save, and encode its bytes in base64")
        fact = f"serialized_named_tensors[{number}] is no safetensors file in base64: {fault}"
        raise RefusalError(400, Diagnostic("RLC0728", fact[:300], help=(way,))) from fault
