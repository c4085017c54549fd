"""The weights that a run starts from: drawn from the plan's seed, or read from a Hugging Face directory.

Only safetensors files are read: pickled files can run code.  All weights are float32, by their Hugging Face names; a
model with tied embeddings has no `lm_head.weight`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.model import Model
from runtime.engines.train.hf_model import EMBEDDING, HEAD, empty_model, held_weights
from runtime.weights.expert_layout import as_computed
from runtime.weights.file_names import index_of, placed_in
from runtime.weights.huggingface import SCORE_HEAD
from runtime.weights.prediction_layers import without_copies

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MAX_NAMES_SHOWN = 5


def initial_weights(
    model: Model[Never], *, root: Path, seed: int, is_reward_model: bool = False, predicts: bool = False
) -> dict[str, Tensor]:
    """Return the float32 weights by name, in the order of the architecture; directories are relative to `root`.

    Layers that predict further tokens, of which the plan says how many there are, are read if `predicts` says so.

    For a reward model the directory may be one as well: it needs no head over the vocabulary, and its head is kept.

    Raises: SpecError RLC0617 without a readable directory, RLC0618 for missing or unknown tensors, RLC0619 for shapes
    that the plan's facts do not give, RLC0620 if there are only pickled files.
    """
    shapes = weight_shapes(model, predicts=predicts)
    if model.weights == "random":
        return {name: _draw(name, shape, seed=seed, std=model.init_std) for name, shape in shapes.items()}
    optional = {HEAD: shapes.pop(HEAD, None), SCORE_HEAD: torch.Size([1, model.hidden_size])} if is_reward_model else {}
    unread = () if predicts else tuple(f"model.layers.{model.num_layers + at}." for at in range(model.num_mtp_layers))
    wanted = {name: shape for name, shape in optional.items() if shape is not None}
    return _read_directory(root / model.weights, shapes, wanted, unread)


def weight_shapes(model: Model[Never], *, predicts: bool = False) -> dict[str, torch.Size]:
    """Return the shape of every weight that the facts ask for, of layers for further tokens if the model `predicts`."""
    return {name: tensor.shape for name, tensor in held_weights(empty_model(model, predicts=predicts)).items()}


def _draw(name: str, shape: torch.Size, *, seed: int, std: float) -> Tensor:
    # A stream for each name: adding a layer does not change the layers before it, nor does the order matter.
    if len(shape) == 1:
        return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    digest = hashlib.blake2b(f"weights {seed} {name}".encode(), digest_size=8).digest()
    stream = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.empty(shape).normal_(0.0, std, generator=stream)


def _read_directory(
    directory: Path, shapes: Mapping[str, torch.Size], optional: Mapping[str, torch.Size], unread: tuple[str, ...]
) -> dict[str, Tensor]:
    """Read what the shapes name; `unread` begins the names of layers that predict further tokens, which stay there."""
    found: dict[str, Tensor] = {}
    for path in _weight_files(directory):
        try:
            with safe_open(path, framework="pt") as file:
                found |= _all_tensors(file, unread)
        except (SafetensorError, OSError) as error:
            raise _unreadable(f"{path} cannot be read: {error}") from error
    found = as_computed(without_copies(found))
    if (
        HEAD not in (*shapes, *optional)
        and HEAD in found
        and EMBEDDING in found
        and torch.equal(found[HEAD], found[EMBEDDING])
    ):
        # Some writers store the tied table twice.
        del found[HEAD]
    shapes = {**shapes, **{name: shape for name, shape in optional.items() if name in found}}
    _check_names(directory, shapes, found)
    _check_shapes(directory, shapes, found)
    return {name: found[name].to(torch.float32) for name in shapes}


def _all_tensors(file: Any, unread: tuple[str, ...]) -> dict[str, Tensor]:
    names: list[str] = file.keys()
    return {name: file.get_tensor(name) for name in names if not name.startswith(unread)}


def _weight_files(directory: Path) -> list[Path]:
    if not os.path.isdir(directory):
        raise _unreadable(f"{directory} is not a directory, so no weights can be read from it")
    index = directory / index_of("model.safetensors")
    if index.is_file():
        return [directory / name for name in _indexed(index)]
    single = directory / "model.safetensors"
    paths = [single] if single.is_file() else sorted(directory.glob("*.safetensors"))
    if paths:
        return paths
    pickled = sorted(p.name for p in directory.iterdir() if p.suffix in PICKLED)
    if pickled:
        raise SpecError(
            Diagnostic(
                code="RLC0620",
                message=f"{directory} has only pickled weights ({pickled[0]}), and unpickling can run any code",
                help=(Help("convert them to model.safetensors where you trust their origin"),),
                paths=("model.weights", "model.hf"),
            )
        )
    raise _unreadable(f"{directory} holds no *.safetensors file")


def _indexed(index: Path) -> list[str]:
    try:
        names = sorted(set(placed_in(index).values()))
    except (OSError, ValueError) as error:
        raise _unreadable(f"{index} is not an index of weights: {error}") from error
    missing = [n for n in names if not (index.parent / n).is_file()]
    if missing:
        raise _unreadable(f"{index} names {missing[0]}, which is not there")
    return names


def _check_names(directory: Path, shapes: Mapping[str, torch.Size], found: Mapping[str, Tensor]) -> None:
    missing, unknown = [n for n in shapes if n not in found], [n for n in found if n not in shapes]
    faults = []
    if missing:
        faults.append(f"{directory} lacks {_list(missing)}, which the model has")
    if unknown:
        faults.append(f"{directory} has {_list(unknown)}, which the model lacks")
    ways: list[Help] = []
    for name in unknown[:1]:
        ways += [Help(f"did you mean {near}?") for near in nearest_names(name, missing, most=1)]
    if HEAD in missing:
        ways.append(Help("set model.tie_embeddings = true if the output head is the embedding table"))
    elif HEAD in unknown:
        ways.append(Help("set model.tie_embeddings = false if the output head is a table of its own"))
    elif faults:
        ways.append(Help("compare model.num_layers and model.family with the config.json beside the weights"))
    _raise("RLC0618", faults, ways)


def _check_shapes(directory: Path, shapes: Mapping[str, torch.Size], found: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} of {directory} is {list(found[name].shape)}, but the model needs {list(shape)}"
        for name, shape in shapes.items()
        if found[name].shape != shape
    ]
    more = [f"and {len(wrong) - MAX_NAMES_SHOWN} more shapes differ"] if len(wrong) > MAX_NAMES_SHOWN else []
    way = Help("compare the sizes in [model] with the config.json beside the weights")
    _raise("RLC0619", wrong[:MAX_NAMES_SHOWN] + more, [way])


def _raise(code: str, faults: list[str], ways: list[Help]) -> None:
    if faults:
        paths = ("model.weights", "model.hf")
        raise SpecError(Diagnostic(code=code, message="; ".join(faults), help=tuple(ways), paths=paths))


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def _unreadable(message: str) -> SpecError:
    way = Help('set model.weights to a Hugging Face directory with safetensors files, or to "random"')
    return SpecError(Diagnostic(code="RLC0617", message=message, help=(way,), paths=("model.weights", "model.hf")))
