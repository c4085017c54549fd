"""In which format a rollout engine keeps the matrices of its layers: the bits of a number, its scales, its products.

Told from the name of a quantisation, which both engines mostly share.  Weights of four bits save memory and reading;
products are computed in what they are multiplied with.  Weight-only formats (AWQ, GPTQ, AutoRound, NF4) multiply in
bf16, W4A8 in eight bits, and of MXFP4 and NVFP4 it depends on the GPU: where it lacks products of four bits, kernels
widen the weights to bf16 (Marlin, Petit).  A name that says nothing of its bits, as that of a container of formats, is
taken for bf16, which is the most that it can take.

Sources: vLLM's and SGLang's lists of quantisations; OCP Microscaling Formats 1.0 (a scale of 8 bits for 32 values);
NVFP4 (of 8 bits for 16); AWQ and GPTQ with groups of 128, a scale of 16 bits and a zero of 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu


class WeightFormat(NamedTuple):
    """A format of matrices.

    Args:
        bits: of a number.
        values: that share a scale.
        scale_bits: of a scale, with its zero point.
        products: what products are computed in; "own" stands for the format itself where the GPU has it.
    """

    bits: int = 16
    values: int = 1
    scale_bits: int = 0
    products: Literal["bf16", "fp8", "own"] = "bf16"

    @property
    def bytes(self) -> float:
        """Of a number, with its part of a scale."""
        return (self.bits + self.scale_bits / self.values) / 8

    def number(self, gpu: Gpu) -> Literal["bf16", "fp8", "fp4"]:
        """Return what a GPU multiplies in."""
        if self.products == "own":
            return "fp4" if gpu.fp4_tflops else "bf16"
        return self.products if gpu.fp8_tflops else "bf16"


PLAIN = WeightFormat()
_FP8 = WeightFormat(8, 128 * 128, 32, "fp8")
_INT8 = WeightFormat(8, 128 * 128, 32, "fp8")  # GPUs multiply integers of eight bits as quickly
_INT4 = WeightFormat(4, 128, 20)
_MXFP4, _NVFP4 = WeightFormat(4, 32, 8, "own"), WeightFormat(4, 16, 8, "own")
_FORMATS: Mapping[str, WeightFormat] = MappingProxyType(
    {
        **dict.fromkeys(("fp8", "fp8_per_tensor", "fp8_per_block", "w8a8_fp8", "modelopt", "modelopt_fp8"), _FP8),
        **dict.fromkeys(("fbgemm_fp8", "ptpc_fp8"), _FP8),
        **dict.fromkeys(("w8a8_int8", "experts_int8", "auto-round-int8"), _INT8),
        "mxfp8": WeightFormat(8, 32, 8, "fp8"),
        **dict.fromkeys(("awq", "awq_marlin", "gptq", "gptq_marlin", "auto-round", "moe_wna16"), _INT4),
        "bitsandbytes": WeightFormat(4, 64, 16),
        **dict.fromkeys(("mxfp4", "quark_mxfp4"), _MXFP4),
        **dict.fromkeys(("nvfp4", "nvfp4_online", "modelopt_fp4"), _NVFP4),
        "petit_nvfp4": WeightFormat(4, 16, 8),
        "w4afp8": WeightFormat(4, 128, 16, "fp8"),
        "mxfp_w4a8": WeightFormat(4, 32, 8, "fp8"),
        "quark_int4fp8_moe": WeightFormat(4, 128, 16, "fp8"),
    }
)


def weight_format(quantisation: object) -> WeightFormat:
    """Return the format that an engine is asked for by name; what is not known is taken for bf16."""
    return _FORMATS.get(quantisation, PLAIN) if isinstance(quantisation, str) else PLAIN
