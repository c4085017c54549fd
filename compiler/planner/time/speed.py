"""What kernels reach of a GPU: products of matrices, attention, and copying, in FLOPs and in bytes a second."""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal
from compiler.ir.catalogue import Gpu
from compiler.planner.time.constants import VENDOR_FRAC, Rates

Format = Literal["fp32", "bf16", "fp8", "fp4"]
_TERA = 1e12
_FP32_OVER_BF16 = 1 / 16  # products in fp32 proper do not use tensor cores


def peak_flops(gpu: Gpu, number: Format) -> float:
    """Return the FLOPs a second that a GPU has on paper; a format that it lacks is computed in the next wider one."""
    if number == "fp32":
        return gpu.bf16_tflops * _FP32_OVER_BF16 * _TERA
    wide = {"fp4": gpu.fp4_tflops or gpu.fp8_tflops, "fp8": gpu.fp8_tflops}.get(number, 0.0)
    return (wide or gpu.bf16_tflops) * _TERA


def product_rate(gpu: Gpu, number: Format, rates: Rates) -> float:
    """Return the FLOPs a second of large products."""
    narrow = rates.eight_bits_frac if number in ("fp8", "fp4") and gpu.fp8_tflops else 1.0
    return peak_flops(gpu, number) * narrow * rates.product_frac * VENDOR_FRAC.get(gpu.vendor, 1.0)


def attention_rate(gpu: Gpu, rates: Rates) -> float:
    """Return the FLOPs a second of fused attention, which is computed in bf16."""
    return gpu.bf16_tflops * rates.attention_frac * VENDOR_FRAC.get(gpu.vendor, 1.0) * _TERA


def memory_rate(gpu: Gpu, rates: Rates) -> float:
    """Return the bytes a second of kernels that only move data."""
    return gpu.memory_tb_per_s * rates.memory_frac * _TERA
