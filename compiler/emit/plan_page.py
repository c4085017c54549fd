"""A plan as a page for people: what will happen, who sits where, the arithmetic, and what it takes.

A pure function of a Plan and of the origins that compiling left behind.  Every field of a plan is on the page, or is
waived with a reason by the test; values carry a mark unless the spec itself says them.
"""

from __future__ import annotations

from compiler.emit._plan_stage import write_stage
from compiler.emit._plan_text import (
    WIDTH,
    Sheet,
    Values,
    boxed,
    byte_size,
    counted,
    cut,
    padded,
    said,
    sentence,
    shown,
    text_width,
    wrapped,
)
from compiler.ir.experiment import Stage
from compiler.ir.machine import Role
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from compiler.ir.subject import Subject

HASH_DIGITS = 12
_LONGEST_ALPHABET = 40
_WIDEST_CELL = 28


def plan_page(plan: Plan, subject: Subject | None, *, source: str, ascii_only: bool, color: bool) -> str:
    """Return the page.

    Args:
        subject: the origins of the values; None for a saved plan, which has none.
        source: the file that the plan comes from, as the user named it.
        ascii_only: draw with ASCII characters only.
        color: whether to write ANSI colours.
    """
    sheet = Sheet(ascii_only=ascii_only, color=color)
    values = Values(plan.experiment, subject)
    sheet.title(values("name"), f"plan {plan.hash[:HASH_DIGITS]}, language version {values('rlc')}")
    sheet.lines += wrapped(said(source), WIDTH)
    sheet.section("Model")
    _model(sheet, values.below("model"), plan.forecast.parameters)
    sheet.section("Machine")
    _machine(sheet, values, plan)
    stages = plan.experiment.stages
    for index, stage in enumerate(stages):
        of = f"Stage {index + 1} of {len(stages)}" if len(stages) > 1 else "Stage"
        sheet.section(f"{of}: {said(stage.name)}{values.mark(f'stages.{index}.name')}")
        write_stage(sheet, values.below(f"stages.{index}"))
    sheet.section("Memory, forecast")
    _memory(sheet, plan)
    sheet.legend()
    return sheet.text()


def _model(sheet: Sheet, model: Values, parameters: int) -> None:
    names = [f"{key} {model(key)}" for key in ("name", "hf") if model.is_on(key)]
    sheet.row("from", sentence(*names))
    sheet.row(
        "architecture",
        f"{model('family')}: {model.count('num_layers', 'layers')} of {model.count('hidden_size', 'channels')}, "
        f"feed-forward {model('intermediate_size')}, {model('num_heads')} query heads and "
        f"{model('num_kv_heads')} key/value heads of {model.count('head_dim', 'channels')}",
        f"positions up to {model.count('max_position_tokens', 'tokens')}, rotary base {model('rope_base')}, "
        f"norm epsilon {model('norm_eps')}",
        f"{model.count('vocab_size', 'tokens')} in the vocabulary, output head tied to the embeddings: "
        f"{model('tie_embeddings')}",
    )
    sheet.row("parameters", shown(parameters))
    weights = model("weights")
    if model.raw("weights") == "random":
        weights += f", standard deviation {model('init_std')}"
    sheet.row("weights", weights)
    tokenizer = model("tokenizer.kind")
    if model.raw("tokenizer.kind") == "characters":
        tokenizer += f": {_alphabet(model)}"
    sheet.row("tokenizer", tokenizer)


def _alphabet(model: Values) -> str:
    alphabet = model.raw("tokenizer.alphabet")
    if not isinstance(alphabet, str):
        return f"alphabet {model('tokenizer.alphabet')}"
    excerpt = cut(said(alphabet), _LONGEST_ALPHABET)
    return sentence(f"{counted(len(alphabet), 'characters')}{model.mark('tokenizer.alphabet')}", excerpt)


def _machine(sheet: Sheet, values: Values, plan: Plan) -> None:
    cluster = values.below("cluster")
    sheet.row(
        "cluster",
        f"target {cluster('target')}, {cluster.count('nodes', 'nodes')}, "
        f"{cluster.count('cpu_threads', 'threads')} a process, executor {values('run.executor')}",
    )
    sheet.row("placement", values("placement.mode"))
    sheet.drawing(["", *_picture(plan), ""])
    environment = plan.experiment.cluster.environment
    variables = (said(f"{variable.name}={variable.value}") for variable in environment)
    sheet.row("environment", "  ".join(variables) + cluster.mark("environment"))
    sheet.row("seed", values("run.seed", str(values.raw("run.seed"))))
    events = values("log.tensorboard", "TensorBoard events" if values.raw("log.tensorboard") else "no TensorBoard")
    sheet.row("log", f"{events}, {values.count('log.transcripts_per_step', 'transcripts')} of each step")


def _picture(plan: Plan) -> list[str]:
    """Who sits on which device: a box for each node, in it one for each device, in it a line for each actor."""
    experiment = plan.experiment
    roles = experiment.placement.roles
    columns = zip(*(_cells(role, plan) for role in roles), strict=True)
    widths = [max(text_width(cell) for cell in column) for column in columns]
    lines: list[str] = []
    for node in range(max(experiment.cluster.nodes, *(role.node + 1 for role in roles))):
        here = [role for role in roles if role.node == node]
        inside: list[str] = []
        for device in dict.fromkeys(role.device for role in here):
            rows = [_cells(role, plan) for role in here if role.device == device]
            inside += boxed(
                cut(said(device), 2 * _WIDEST_CELL), ["  ".join(map(padded, row, widths)).rstrip() for row in rows]
            )
        lines += boxed(f"node {node}", inside or ["nobody"])
    return lines


def _cells(role: Role, plan: Plan) -> tuple[str, str, str, str]:
    stages = [stage.name for stage in plan.experiment.stages if _works_in(role, stage)]
    all_of_them = len(stages) == len(plan.experiment.stages)
    when = "every stage" if all_of_them else ", ".join(said(name) for name in stages)
    when = cut(when, _WIDEST_CELL) if len(plan.experiment.stages) > 1 else ""
    return f"process {role.process}", role.role, cut(said(role.engine), _WIDEST_CELL), when


def _works_in(role: Role, stage: Stage[object]) -> bool:
    if role.role == "rollout":
        return not isinstance(stage.rollout, Off) and stage.rollout.engine.name == role.engine
    if role.role == "reward":
        return not isinstance(stage.reward, Off) and stage.reward.name == role.engine
    if role.role == "reference" and isinstance(stage.reference, Off):
        return False
    return stage.train.engine.name == role.engine


def _memory(sheet: Sheet, plan: Plan) -> None:
    forecast = plan.forecast
    caches = [stage.kv_cache_bytes for stage in forecast.stages]
    parts = (
        ("weights", forecast.weight_bytes),
        ("gradients", forecast.gradient_bytes),
        ("optimizer state", forecast.optimizer_bytes),
        ("reference model", forecast.reference_bytes),
        ("rollout engine's weights", forecast.engine_weight_bytes),
    )
    sheet.row("model", sentence(*(f"{name} {byte_size(size)}" for name, size in parts if size)))
    keys = [f"{said(stage.stage)} {byte_size(stage.kv_cache_bytes)}" for stage in forecast.stages]
    sheet.row("KV cache", sentence(*keys))
    total = sum(size for _, size in parts) + max(caches, default=0)
    sheet.row("together", f"{byte_size(total)} at most; activations and the memory of kernels are not counted")
