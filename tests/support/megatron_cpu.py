"""Megatron-core on CPUs over gloo: what tests import before anything of megatron, where there is no GPU.

Megatron asks torch.cuda for its device wherever it makes a tensor.  Here the answer is "cpu"; streams and events do
nothing, since a CPU does one thing after another; and the generator of the GPU is that of the CPU.  What needs a GPU's
libraries is replaced: attention over packed sequences, which the kernels of TransformerEngine compute there.  Nothing
of Megatron's files is changed, and with a GPU this module does nothing.

A process that should find Megatron like that imports this module first; that is all there is to do.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist

_CPU = torch.device("cpu")
_MAKERS = ("tensor", "zeros", "ones", "empty", "full", "arange", "rand", "randn", "randint", "as_tensor")
_MAKERS += ("zeros_like", "ones_like", "empty_like", "full_like", "empty_strided")


def _always(value: Any) -> Callable[..., Any]:
    """Return a function that returns this, whatever it is asked."""

    def answer(*_: Any, **__: Any) -> Any:
        return value

    return answer


def _itself(found: Any, *_: Any, **__: Any) -> Any:
    return found


class _Ordered:
    """A stream or an event: whatever it is asked for has happened."""

    cuda_stream = 0

    def __init__(self, *_: object, **__: object) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _always({"query": True, "record_event": self}.get(name))


def _of_megatron(depth: int = 2) -> bool:
    return "megatron/core" in sys._getframe(depth).f_code.co_filename


def _on_cpu(device: Any) -> Any:
    is_cuda = getattr(device, "type", None) == "cuda" or (isinstance(device, str) and device.startswith("cuda"))
    return _CPU if is_cuda else device


def _answer_for_cuda() -> None:
    cuda: Any = torch.cuda
    answers: dict[str, Any] = {
        "current_device": _CPU,
        "set_device": None,
        "synchronize": None,
        "empty_cache": None,
        "current_stream": _Ordered(),
        "default_stream": _Ordered(),
        "stream": nullcontext(),
        "is_current_stream_capturing": False,
        "get_device_capability": (8, 0),
        "get_device_properties": SimpleNamespace(name="cpu", major=8, minor=0, total_memory=2**34),
        "manual_seed_all": None,
    }
    answers |= {f"{peak}memory_{kind}": 0 for peak in ("", "max_") for kind in ("allocated", "reserved")}
    for name, value in answers.items():
        setattr(cuda, name, _always(value))
    cuda.manual_seed = _seed
    for module in (cuda, cuda.random):
        module.get_rng_state, module.set_rng_state = _generator_state, _set_generator_state
    cuda.Stream = cuda.Event = _Ordered
    cuda.nvtx.range_push = cuda.nvtx.range_pop = _always(None)


def _seed(seed: int) -> None:
    torch.default_generator.manual_seed(int(seed))


def _generator_state(*_: Any, **__: Any) -> torch.Tensor:
    return torch.get_rng_state()


def _set_generator_state(state: torch.Tensor, *_: Any, **__: Any) -> None:
    torch.set_rng_state(state)


def _make_on_cpu(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = _on_cpu(kwargs["device"])
        kwargs.pop("pin_memory", None)
        return make(*args, **kwargs)

    return made


def _keep_tensors_on_cpu() -> None:
    for name in _MAKERS:
        setattr(torch, name, _make_on_cpu(getattr(torch, name)))
    tensor: Any = torch.Tensor
    module: Any = torch.nn.Module
    tensor.cuda = module.cuda = tensor.pin_memory = _itself
    tensor.record_stream = _always(None)
    own_to, own_type = tensor.to, tensor.type

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = _on_cpu(kwargs["device"])
        return own_to(self, *(_on_cpu(arg) for arg in args), **kwargs)

    def type_(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Its optimizers tell tensors of a GPU by the name of their type."""
        found = own_type(self, *args, **kwargs)
        return found.replace("torch.", "torch.cuda.", 1) if isinstance(found, str) and _of_megatron() else found

    tensor.to, tensor.type = to, type_


def _adapt_megatron() -> None:
    """What answers of torch do not reach."""
    random: Any = import_module("megatron.core.tensor_parallel.random")
    random._get_cuda_rng_state, random._set_cuda_rng_state = _generator_state, _set_generator_state
    logging.getLogger(random.__name__).setLevel(logging.ERROR)  # both generators are one: it says so at every use
    dispatcher: Any = import_module("megatron.core.transformer.moe.token_dispatcher")
    own_move = dispatcher.maybe_move_tensor_to_cpu

    def move(tensor: Any, as_numpy: bool = False, **kwargs: Any) -> Any:
        is_here = as_numpy and torch.is_tensor(tensor)
        return tensor.numpy() if is_here else own_move(tensor, as_numpy=as_numpy, **kwargs)

    dispatcher.maybe_move_tensor_to_cpu = move
    experts: Any = import_module("megatron.core.transformer.moe.moe_utils")
    experts.te_general_gemm = None
    _latent_attention()
    _norms_under_sequence_parallelism()
    _gather_unevenly()
    _attention()


def _latent_attention() -> None:
    """It asks what is one of TransformerEngine's layers, and has two projections that every rank holds whole."""
    latent: Any = import_module("megatron.core.transformer.multi_latent_attention")
    specs: Any = import_module("megatron.core.models.gpt.gpt_layer_specs")
    whole: Any = import_module("tests.support.megatron_attention").WholeLinear
    latent.TELinear = whole
    for name in ("TEColumnParallelLinear", "Linear"):
        if not isinstance(getattr(latent, name, None), type):
            setattr(latent, name, type(f"No{name}", (), {}))  # compared with, and nothing is one
    own = specs.MLASelfAttentionSubmodules

    def submodules(**kwargs: Any) -> Any:
        return own(**{**kwargs, "linear_q_down_proj": whole, "linear_kv_down_proj": whole})

    specs.MLASelfAttentionSubmodules = submodules


def _norms_under_sequence_parallelism() -> None:
    """torch's norms are refused there, since nobody tells that their gradients are parts; here they are told."""
    norms: Any = import_module("megatron.core.transformer.torch_norm").WrappedTorchNorm
    own_new = norms.__new__

    def new(cls: Any, config: Any, hidden_size: int, eps: float = 1e-5, **_: Any) -> Any:
        is_split, config.sequence_parallel = config.sequence_parallel, False
        try:
            made = own_new(cls, config, hidden_size, eps)
        finally:
            config.sequence_parallel = is_split
        for parameter in made.parameters():
            parameter.sequence_parallel = is_split
        return made

    norms.__new__ = new


def _gather_unevenly() -> None:
    """Gloo refuses to gather tensors of several lengths into each other's place; they are filled up and cut."""
    distributed: Any = dist
    gather: Any = dist.all_gather

    def all_gather(tensors: list[Any], tensor: Any, group: Any = None, async_op: bool = False) -> Any:
        lengths = [part.shape[0] if part.dim() else 1 for part in tensors]
        if len(set(lengths)) == 1:
            return gather(tensors, tensor, group=group, async_op=async_op)
        filled = tensor.new_zeros(max(lengths), *tensor.shape[1:])
        filled[: tensor.shape[0]] = tensor
        found = [torch.empty_like(filled) for _ in lengths]
        gather(found, filled, group=group)
        for part, whole in zip(tensors, found, strict=True):
            part.copy_(whole[: part.shape[0]])
        return None

    distributed.all_gather = all_gather


def _attention() -> None:
    backends: Any = import_module("megatron.core.models.backends")
    found: Any = import_module("tests.support.megatron_attention").PackedAttention
    backends.LocalSpecProvider.core_attention = _always(found)


def install() -> None:
    """Make Megatron work without a GPU; with one, or a second time, do nothing."""
    marked: Any = torch
    if torch.cuda.is_available() or getattr(torch, "_rlc_megatron_cpu", False):
        return
    marked._rlc_megatron_cpu = True
    warnings.filterwarnings("ignore", module=r"megatron\..*")
    _answer_for_cuda()
    _keep_tensors_on_cpu()
    import_module("megatron.core.jit").disable_jit_fuser()
    _adapt_megatron()


install()
