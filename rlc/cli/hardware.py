"""`rlc hardware`: the GPUs that a cluster may have, or one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rlc.cli.completion import complete_gpu
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.ir.catalogue import Gpu
    from compiler.ir.json_text import Json


def hardware(
    context: typer.Context,
    name: str | None = typer.Argument(
        None,
        autocompletion=complete_gpu,
        help="A GPU, such as H100-80-SXM: prints all that is known of it; or how several begin, such as h100.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> int:
    """List GPUs, or print all figures of one.

    They are those that cluster.gpus_per_node takes.
    """
    from compiler.ir.canonical import dump
    from rlc.catalogue import load_hardware
    from rlc.cli.table import aligned

    output: Output = context.obj
    known = load_hardware()
    found = list(known.values()) if name is None else _named(name, known)
    if as_json:
        output.result(dump([_json(gpu) for gpu in found]))
    elif name is None or len(found) > 1:
        output.result(aligned([_HEAD, *map(_row, sorted(found, key=lambda gpu: (gpu.vendor, gpu.name)))]))
    else:
        output.result(aligned(_facts(found[0])))
    return 0


_HEAD = ("name", "vendor", "GiB", "TB/s", "bf16", "fp8", "fp4", "links")


def _named(name: str, known: dict[str, Gpu]) -> list[Gpu]:
    """Return the GPU of a name, or those whose names begin with it; case makes no difference.

    Raises: SpecError, RLC0031, if no name begins so.
    """
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
    from compiler.diagnostics.nearest import nearest_names

    wanted = name.lower()
    begun = [gpu for gpu in known.values() if gpu.name.lower().startswith(wanted)]
    exact = [gpu for gpu in begun if gpu.name.lower() == wanted]
    if not begun:
        way = Help(f"did you mean {' or '.join(nearest_names(name, known) or known)}?")
        raise SpecError(Diagnostic("RLC0031", f"there is no GPU {name}", help=(way,)))
    return exact or begun


def _row(gpu: Gpu) -> tuple[str, ...]:
    rates = (_number(gpu.bf16_tflops), _number(gpu.fp8_tflops), _number(gpu.fp4_tflops))
    links = f"{_number(gpu.scaleup_gb_per_s)} GB/s to {gpu.scaleup_gpus} GPUs, {_number(gpu.nic_gbit_per_s)} Gbit/s"
    return (gpu.name, gpu.vendor, _number(gpu.memory_gib), _number(gpu.memory_tb_per_s), *rates, links)


def _facts(gpu: Gpu) -> list[tuple[str, str]]:
    rates = (("bf16", gpu.bf16_tflops), ("fp8", gpu.fp8_tflops), ("fp4", gpu.fp4_tflops))
    return [
        ("name", gpu.name),
        ("vendor", gpu.vendor),
        ("memory", f"{_number(gpu.memory_gib)} GiB at {_number(gpu.memory_tb_per_s)} TB/s"),
        *((name, f"{_number(rate)} TFLOP/s, dense" if rate else "none") for name, rate in rates),
        ("scale-up", f"{_number(gpu.scaleup_gb_per_s)} GB/s in each direction, to {gpu.scaleup_gpus} GPUs"),
        ("network", f"{_number(gpu.nic_gbit_per_s)} Gbit/s for each GPU"),
        ("usual machine", f"{gpu.gpus_per_node} GPUs"),
        ("write", f'cluster.gpus_per_node = "{gpu.gpus_per_node}x{gpu.name}"'),
        ("source", gpu.source),
    ]


def _json(gpu: Gpu) -> dict[str, Json]:
    return {
        "name": gpu.name,
        "vendor": gpu.vendor,
        "memory_gib": gpu.memory_gib,
        "memory_tb_per_s": gpu.memory_tb_per_s,
        "bf16_tflops": gpu.bf16_tflops,
        "fp8_tflops": gpu.fp8_tflops,
        "fp4_tflops": gpu.fp4_tflops,
        "scaleup_gb_per_s": gpu.scaleup_gb_per_s,
        "scaleup_gpus": gpu.scaleup_gpus,
        "gpus_per_node": gpu.gpus_per_node,
        "nic_gbit_per_s": gpu.nic_gbit_per_s,
        "source": gpu.source,
    }


def _number(value: float) -> str:
    return f"{value:,g}" if value else "-"
