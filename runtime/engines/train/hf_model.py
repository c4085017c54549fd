"""A Hugging Face model instance built from plan facts, holding given weights, and adapted to packed batches.

Two things differ from the model as published: attention is the packed one, and norms and gated feed-forward layers are
replaced by modules of the same parameter names and the same values that touch memory less often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Never

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.model import Model
from runtime.engines.architecture import architecture
from runtime.engines.train.hf_config import hf_config
from runtime.engines.train.hf_families import HfFamily, hf_family
from runtime.engines.train.lean_norm import LeanNorm
from runtime.engines.train.lean_swiglu import LeanSwiGlu
from runtime.engines.train.packed_attention import register_packed_attention

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def build_model(model: Model[Never], weights: Mapping[str, Tensor]) -> CausalModel:
    """Return the model in fp32 with exactly these weights, its attention replaced by the packed one.

    A tied model may be given `lm_head.weight` if it equals the embedding table.  Weights with layers that predict
    further tokens are those of a model that has them.

    Raises: SpecError RLC0640 if a name is missing or unknown, or a shape does not fit.
    """
    given = untied(model, weights)
    return _filled(empty_model(model, predicts=holds_prediction(model, given)), given, model)


def build_backbone(model: Model[Never], weights: Mapping[str, Tensor]) -> CausalModel:
    """Return the same without a head over the vocabulary, for what reads hidden states only.

    Raises: SpecError RLC0640 as build_model; a head is an unknown name.
    """
    built: Any = empty_model(model)
    built.lm_head = nn.Identity()
    return _filled(built, weights, model)


def _filled(built: CausalModel, given: Mapping[str, Tensor], model: Model[Never]) -> CausalModel:
    """The model with memory and weights, adapted."""
    check_fit(built, given)
    built.to_empty(device="cpu")
    if not isinstance(built.lm_head, nn.Identity):
        built.tie_weights()
    with torch.no_grad():
        for name, tensor in held_weights(built).items():
            tensor.copy_(given[name])
    restore_rotary_tables(built)
    return adapted(built, model)


def check_fit(built: CausalModel, given: Mapping[str, Tensor]) -> None:
    """Raise SpecError RLC0640 if a name is missing or unknown, or a shape does not fit."""
    expected = {name: tensor.shape for name, tensor in held_weights(built).items()}
    check_names_and_shapes(expected, given, code="RLC0640", what="the weights do not fit the model")


def untied(model: Model[Never], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without the head of a tied model, where they hold it and it equals the embedding table."""
    given = dict(weights)
    if model.tie_embeddings and HEAD in given and EMBEDDING in given and given[HEAD].equal(given[EMBEDDING]):
        del given[HEAD]
    return given


def adapted(built: CausalModel, model: Model[Never]) -> CausalModel:
    """Return the model with its attention and layers replaced."""
    built.set_attn_implementation(register_packed_attention())
    _replace_layers(built, hf_family(model.family))
    return built.train()


def held_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the live weights by name, in the order of the state dict: parameters, and what no gradient reaches.

    The latter are the buffers that checkpoints hold, such as the biases by which a router balances its experts.  A
    tied head is not repeated.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def empty_model(model: Model[Never], *, predicts: bool = False) -> CausalModel:
    """Return the model with shapes and no memory: everything is on the meta device.

    Args:
        predicts: whether it has its layers that predict further tokens.  They stand behind the others, where
            checkpoints have them; the model itself runs the others only.
    """
    family = hf_family(model.family)
    with torch.device("meta"):
        built: CausalModel = family.model(hf_config(model, architecture(model)))
        for at in range(model.num_layers, model.num_layers + model.num_mtp_layers if predicts else 0):
            built.model.layers.append(_prediction_layer(built, family, at))
    return built


def holds_prediction(model: Model[Never], names: Iterable[str]) -> bool:
    """Whether there are weights of layers that predict further tokens."""
    return any(is_of_prediction(model, name) for name in names)


def is_of_prediction(model: Model[Never], name: str) -> bool:
    """Whether a weight is one of the layers that predict further tokens."""
    begins = tuple(f"model.layers.{model.num_layers + at}." for at in range(model.num_mtp_layers))
    return bool(begins) and name.startswith(begins)


def _prediction_layer(built: CausalModel, family: HfFamily, at: int) -> nn.Module:
    """One more block, with what joins a hidden state and an embedding, named as in published checkpoints."""
    layers: Any = built.model.layers
    layer: Any = type(layers[0])(built.config, at)
    width, eps = built.config.hidden_size, built.config.rms_norm_eps
    norm: Any = family.norm
    layer.enorm, layer.hnorm = norm(width, eps=eps), norm(width, eps=eps)
    layer.eh_proj = nn.Linear(2 * width, width, bias=False)
    layer.shared_head = nn.Module()
    layer.shared_head.norm = norm(width, eps=eps)
    return layer


def check_names_and_shapes(
    expected: Mapping[str, torch.Size], given: Mapping[str, Tensor], *, code: str, what: str
) -> None:
    """Raise SpecError with the names that are missing, unknown or of another shape, if any."""
    faults = [f"{name} is missing" for name in expected if name not in given]
    faults += [f"{name} is unknown" for name in given if name not in expected]
    faults += [
        f"{name} has shape {list(given[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in given and given[name].shape != shape
    ]
    if faults:
        raise SpecError(Diagnostic(code, f"{what}: {_enumerate(faults)}", help=(Help("compare [model] with them"),)))


def _enumerate(faults: Iterable[str]) -> str:
    first, *rest = list(faults)
    return "; ".join([first, *rest[:4]]) + (f"; and {len(rest) - 4} more" if len(rest) > 4 else "")


def _replace_layers(model: CausalModel, family: HfFamily) -> None:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            layer: Any = child
            if isinstance(child, family.norm):
                setattr(module, name, LeanNorm(layer.weight, eps=layer.variance_epsilon))
            elif family.swiglu is not None and isinstance(child, family.swiglu):
                setattr(module, name, LeanSwiGlu(layer.gate_proj, layer.up_proj, layer.down_proj))


def restore_rotary_tables(model: CausalModel) -> None:
    """Fill the non-persistent buffers, which a checkpoint does not hold and to_empty() leaves undefined."""
    rotary = model.model.rotary_emb
    kind = rotary.rope_type
    find = rotary.compute_default_rope_parameters if kind == "default" else ROPE_INIT_FUNCTIONS[kind]
    frequencies, _ = find(model.config)
    rotary.inv_freq.copy_(frequencies)
    rotary.original_inv_freq.copy_(frequencies)
