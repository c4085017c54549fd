"""`rlc ckpt`: look at checkpoints, and write them in another form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from rlc.cli.output import Output
from rlc.cli.table import aligned

if TYPE_CHECKING:
    from rlc.checkpoints import Inspected

_GIB = 2**30


def inspect(
    context: typer.Context,
    path: Path = typer.Argument(help="A run directory, one checkpoint of it, or a Hugging Face model directory."),
    verify: bool = typer.Option(False, "--verify", help="Read every file and compare it with its digest."),
    tensors: bool = typer.Option(False, "--tensors", help="List every tensor, of one checkpoint."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it as JSON."),
) -> int:
    """Say what checkpoints hold; only headers are read, unless all is to be verified."""
    import json

    from rlc.checkpoints import checkpoints_of
    from rlc.checkpoints import inspect as look

    output: Output = context.obj
    found = [look(p, verify=verify) for p in checkpoints_of(path)]
    if as_json:
        output.result(json.dumps([f.to_json(tensors=tensors) for f in found], indent=2, sort_keys=True))
    elif len(found) == 1:
        output.result(_one(found[0], tensors=tensors))
    else:
        output.result(aligned([_HEAD, *map(_row, found)]))
    return 4 if any(f.damage for f in found) else 0


def convert(
    context: typer.Context,
    source: Path = typer.Argument(
        help="A checkpoint, a run directory (its latest), a model directory, or a torch_dist folder of Megatron."
    ),
    target: Path = typer.Argument(help="The Hugging Face model directory to write; it must not be there yet."),
    dtype: Literal["as_is", "float32", "bfloat16", "float16"] = typer.Option("as_is", "--dtype", help="Of weights."),
    shard_gib: float = typer.Option(5.0, "--shard-gib", min=0.001, help="A file holds no more."),
    model: str | None = typer.Option(
        None, "--model", help="Of a folder of Megatron: the model of the library that it is (`//models:NAME`)."
    ),
) -> int:
    """Write a checkpoint as a model directory that any tool of that world reads."""
    from rlc.checkpoints import converted

    output: Output = context.obj
    path, written = converted(source, target, model=model, dtype=dtype, shard_bytes=int(shard_gib * _GIB))
    files = "1 file" if written.files == 1 else f"{written.files:,} files"
    lost = (
        "no number changed" if not written.largest_change else f"numbers change by up to {written.largest_change:.1e}"
    )
    output.result(f"{target}: {written.tensors:,} tensors, {_size(written.num_bytes)} in {files}, from {path}; {lost}")
    return 0


_HEAD = ("checkpoint", "stage", "step", "weights", "parameters", "format", "size", "measured")


def _row(found: Inspected) -> tuple[str, ...]:
    state = found.state or {}
    measured = state.get("measured", {})
    told = [f"{name.removeprefix('eval/')} {measured[name]:.4g}" for name in list(measured) if _is_told(name, measured)]
    return (
        found.path.name,
        str(state.get("stage", "-")),
        str(state.get("step", "-")),
        f"version {state['weights_version']}" if "weights_version" in state else "-",
        f"{found.parameters:,}",
        found.formats(),
        _size(found.num_bytes),
        f"damaged: {found.damage}" if found.damage else ", ".join(told) or "-",
    )


def _is_told(name: str, measured: dict[str, float]) -> bool:
    """Whether it is a measurement, and not its interval or a count."""
    return f"{name}_low" in measured


def _one(found: Inspected, *, tensors: bool) -> str:
    rows = [(title, text) for title, text in zip(_HEAD, _row(found), strict=True) if text != "-"]
    if found.state is not None:
        rows.insert(1, ("plan", str(found.state.get("plan_hash", "-"))[:12]))
        rows.append(("trainer", f"{len(found.trainer):,} tensors beside the weights"))
    if found.damage == "":
        rows.append(("content", "as it was written: every digest fits"))
    lines = [aligned(rows)]
    if tensors:
        listed = [(t.name, t.dtype, " x ".join(map(str, t.shape)) or "scalar", t.file) for t in found.model]
        listed += [(t.name, t.dtype, " x ".join(map(str, t.shape)) or "scalar", t.file) for t in found.trainer]
        lines += ["", aligned([("tensor", "format", "shape", "file"), *listed])]
    return "\n".join(lines)


def _size(num_bytes: int) -> str:
    for unit, size in (("GiB", _GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.2f} {unit}"
    return f"{num_bytes} B"
