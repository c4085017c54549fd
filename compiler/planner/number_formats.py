"""Number formats below 16 bits that an engine is asked for: how wide their blocks are, and which GPUs compute in them.

Sources: Transformer Engine's user guide, low-precision training (a scale for 128 values blockwise, 32 in MXFP8, 16 in
NVFP4; plain FP8 products need multiples of 16); OCP Microscaling Formats 1.0 (32 values); vLLM's and SGLang's lists of
quantisations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject
from compiler.planner.engine_settings import path_of, setting_of
from compiler.planner.splits import split_widths


class NumberFormat(NamedTuple):
    """A format that an engine is asked for: the setting, its value, bits of a number, and values of one block."""

    role: str
    path: str
    value: str
    bits: int
    block: int

    @property
    def is_scaled(self) -> bool:
        """Whether the GPU itself has to scale blocks: MXFP8, MXFP4, NVFP4."""
        return self.block in _SCALED_IN_HARDWARE and self.value not in _RECIPES_OF_A_TENSOR


_SCALED_IN_HARDWARE = (16, 32)
_RECIPES_OF_A_TENSOR = ("delayed", "tensorwise")
_RECIPES: Mapping[str, int] = MappingProxyType({"delayed": 16, "tensorwise": 16, "blockwise": 128, "mxfp8": 32})
# Bits, and values of a block; one scale for a tensor, a channel or a token has no block.
_QUANTISATIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "fp8": (8, 1),
        "fp8_per_tensor": (8, 1),
        "fp8_per_block": (8, 128),
        "w8a8_fp8": (8, 1),
        "mxfp8": (8, 32),
        "mxfp4": (4, 32),
        "nvfp4": (4, 16),
        "modelopt_fp8": (8, 1),
        "modelopt_fp4": (4, 16),
    }
)


def formats_of(stage: StageSubject) -> Iterator[NumberFormat]:
    """Yield the formats that the engines of a stage are asked for."""
    asked = setting_of(stage, "rollout", "quantization")
    if isinstance(asked, str) and asked in _QUANTISATIONS:
        bits, block = _QUANTISATIONS[asked]
        yield NumberFormat("rollout", path_of(stage, "rollout", "quantization"), asked, bits, block)
    if isinstance(setting_of(stage, "train", "fp8"), str):
        recipe = setting_of(stage, "train", "fp8_recipe")
        key, value = ("fp8", "delayed") if recipe is None else ("fp8_recipe", str(recipe))
        if value in _RECIPES:
            yield NumberFormat("train", path_of(stage, "train", key), value, 8, _RECIPES[value])
    if isinstance(setting_of(stage, "train", "fp4"), str):
        yield NumberFormat("train", path_of(stage, "train", "fp4"), "nvfp4", 4, 16)


def block_widths(model: Model[object], ways: int, expert_ways: int) -> list[tuple[str, str, int, int]]:
    """Return the widths whose blocks a format scales, as (fact, what it is, its size, over so many GPUs)."""
    found = [("model.hidden_size", "channels between layers", model.hidden_size, 1)]
    if isinstance(model.mla, Off):
        found.append(("model.num_heads", "channels of all heads", model.num_heads * model.head_dim, ways))
    split = split_widths(model, ways, expert_ways)
    return [*found, *(row for row in split if not row[0].startswith("model.linear_attention."))]
