"""Recipes that people run, against what the planner chooses for the same job on the same GPUs, by the same clock.

A row becomes a spec with everything of its layout written down; then the same spec is searched with all of it open.
Rows that sample and say their batch and lengths are looked at, of networks that the library has, on GPUs that are
named.  What a row does not say is what `recipe_rows` says of its framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from checks.planner.comparison import Cells, UnreadableError, number
from checks.planner.library import Library
from checks.planner.recipe_rows import FSDP, GPUS
from compiler.compile import compile_spec
from compiler.planner.chosen import CHOOSABLE, OF_STAGES
from compiler.planner.search.choose import choose, timed
from compiler.planner.search.judge import fits
from compiler.planner.search.problem import problem_of
from rlc.catalogue import scan

_PROMPT_TOKENS = 1024


@dataclass(frozen=True)
class RecipeChoice:
    """A recipe, and the choice beside it: whether each fits, and the seconds of a step; None where nothing fits."""

    id: str
    name: str
    fits: bool
    own_s: float
    chosen_s: float | None


def recipe_choices(table: list[dict[str, str]], library: Library, folder: Path) -> Iterator[RecipeChoice]:
    """Yield what is chosen for each recipe that can be read; specs are written to a folder."""
    catalogue = scan()
    for row in table:
        gpu = next((gpu for hint, gpu in GPUS.items() if row["gpu_hint"].startswith(hint)), "")
        if row["usable"] != "1" or row["kind"] != "rl" or not gpu:
            continue
        try:
            text = _spec(row, gpu, library.model(row["model"]).label)
        except UnreadableError:
            continue
        spec = folder / f"{row['id']}.toml"
        spec.write_text(text, encoding="utf-8")
        subject = compile_spec(spec, catalogue).subject
        if subject is None:
            continue
        own = problem_of(subject.experiment, subject.origins, catalogue, frozenset())
        if own is None:
            continue
        free = own._replace(open=frozenset(CHOOSABLE), released=frozenset(OF_STAGES))
        best = choose(free).best
        name = f"{row['framework']} {row['model']}"
        own_s = timed(own, own.base).step_s
        yield RecipeChoice(
            row["id"],
            name,
            fits(own._replace(headroom_frac=0.0), own.base),
            own_s,
            None if best is None else best.step_s,
        )


def _spec(row: Cells, gpu: str, model: str) -> str:
    """The recipe as a spec.  Raises: UnreadableError where a number is missing."""
    axes = {axis: int(number(row, axis, 1)) for axis in ("tp", "pp", "vpp", "cp", "ep", "etp")}
    each = int(number(row, "gpus_per_node"))
    response = int(number(row, "max_response"))
    context = max(int(number(row, "max_seq", response + _PROMPT_TOKENS)), response + 1)
    is_sharded = row["train_backend"] in FSDP
    tokens = number(row, "max_tokens_per_gpu", 0) * (axes["cp"] if row["framework"] == "slime" else 1)
    batch = [f"tokens = {max(int(tokens), context)}"] if tokens else []
    micro = [] if tokens else [f"micro_batch = {int(number(row, 'mbs', 1))}"]
    is_split = row["colocate"] != "True"
    sides = [f"train_gpus = {int(number(row, 'gpus_train'))}"] if is_split else []
    lines = [
        'name = "recipe"',
        'use = ["//recipes:grpo"]',
        "[model]",
        f'name = "{model}"',
        'weights = "checkpoint"',
        "[cluster]",
        'target = "cuda"',
        f"nodes = {max(1, int(number(row, 'gpus_total')) // each)}",
        f'gpus_per_node = "{each}x{gpu}"',
        "[placement]",
        f'mode = "{"split" if is_split else "colocate"}"',
        f"gpus_per_engine = {int(number(row, 'rollout_tp', 1))}",
        *sides,
        "[schedule]",
        f'mode = "{"async" if is_split and row["async"] == "True" else "sync"}"',
        "[parallel]",
        *(f"{axis} = {size}" for axis, size in axes.items()),
        "[rollout]",
        f"prompts_per_step = {int(number(row, 'prompts_per_step'))}",
        f"samples_per_prompt = {int(number(row, 'samples_per_prompt'))}",
        f"max_prompt_tokens = {max(1, context - response)}",
        f"max_response_tokens = {response}",
        "[train]",
        'precision = "bf16"',
        f"global_batch = {int(number(row, 'gbs'))}",
        *micro,
        *(["[train.packing]", *batch] if batch else []),
        "[train.engine]",
        f'name = "{"fsdp2" if is_sharded else "megatron"}"',
        *([] if is_sharded else ["[train.engine.megatron]", *_megatron(row)]),
        "[run]",
        "max_steps = 10",
        "[reward]",
        'name = "math"',
        "[[data.train]]",
        'path = "train.jsonl"',
    ]
    return "\n".join(lines) + "\n"


def _megatron(row: Cells) -> Iterator[str]:
    granularity, _, rest = row["recompute"].partition(":")
    method, _, layers = rest.partition(":")
    if granularity == "full" and layers != "0":
        yield 'recompute_granularity = "full"'
        yield f'recompute_method = "{method or "uniform"}"'
        yield f"recompute_num_layers = {int(layers or 1)}"
    if row["framework"] != "nemo-rl":
        yield "grad_reduce_in_fp32 = true"
    if row["opt_cpu_offload"] == "True":
        yield "optimizer_cpu_offload = true"
        yield "use_precision_aware_optimizer = true"
