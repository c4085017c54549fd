"""Number formats are those of the GPU.

What: an engine that trains is asked for FP8 or FP4 only on a GPU that multiplies in it; for one that generates it is a
warning, since some keep weights in a format that they compute nothing in.
Why it matters: the trainer's library refuses the format when the first layer is made; an engine falls back to unpacking
weights, which is slower than what it replaces, or fails on the first prompt.
Example: `train.engine.megatron.fp8 = "hybrid"` on A100.
Fix: leave the format out, or take a GPU that has it: `rlc hardware NAME` prints its rates.
Source: ENV-02; stdlib/hardware; Transformer Engine needs compute capability 8.9 for FP8 and 10.0 for MXFP8 and NVFP4;
sglang#12887, vllm PR#5975.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.catalogue import Gpu
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.number_formats import NumberFormat, formats_of

CODE = "RLC0522"
ID = "ENV-02"
_GPU = "cluster.gpus_per_node"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report formats that the named GPU does not multiply in."""
    name = subject.experiment.cluster.gpu
    gpu = subject.catalogue.load_hardware().get(name) if isinstance(name, str) else None
    if gpu is None:
        return
    seen: set[tuple[str, str]] = set()
    for stage in subject.stages():
        for asked in formats_of(stage):
            # Whoever scales blocks in hardware multiplies FP4 as well.
            has_it = gpu.fp4_tflops if asked.is_scaled else gpu.fp8_tflops
            if not has_it and (asked.path, asked.value) not in seen:
                seen.add((asked.path, asked.value))
                yield _diagnostic(stage, asked, gpu)


def _diagnostic(stage: StageSubject, asked: NumberFormat, gpu: Gpu) -> Diagnostic:
    above = tuple(label._replace(is_primary=False) for label in stage.subject.labels((_GPU, "this GPU")))
    what = f"{'block-scaled ' if asked.is_scaled else ''}{asked.bits}-bit floating-point numbers"
    return Diagnostic(
        CODE,
        f"{gpu.name} does not multiply {what}, and {stage.shown(asked.path)} asks for them",
        (*above, *stage.labels((asked.path, what))),
        (Help(f"leave {stage.shown(asked.path)} out", unsets=(stage.shown(asked.path),)),),
        rule=ID,
        severity="error" if asked.role == "train" else "warning",
        paths=(_GPU, stage.path(asked.path)),
    )
