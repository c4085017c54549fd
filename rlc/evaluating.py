"""`rlc eval` around the runtime: which plan, which weights, whether they belong together, and where the result goes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from compiler.ir.paths import fields_on_the_way, leaves
from compiler.ir.plan import Plan
from rlc import environ
from rlc.catalogue import scan
from rlc.running import Job, check_installed, read_saved_plan, replace_file

if TYPE_CHECKING:
    from compiler.ir.data import EvalSet
    from runtime.checkpoint.store import Checkpoint
    from runtime.evaluate_plan import Evaluated

LATEST, INITIAL = "latest", "initial"

# What an evaluation may have otherwise than the run whose weights it measures: how they are measured.
_OF_MEASURING = frozenset(
    {"eval", "until", "reward", "rollout", "log", "launch", "allow", "name", "placement", "cluster", "budget"}
)


class Result(NamedTuple):
    """Rows of a table for a person, what is worth a warning, and the file that was written."""

    rows: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]
    file: Path


class Asked(NamedTuple):
    """What the command line chooses of an evaluation, as `runtime.evaluate_plan.Choice` says it."""

    stage: str = ""
    sets: tuple[str, ...] = ()
    samples: int | None = None
    prompts: int | None = None


def evaluate(job: Job, checkpoint: str, asked: Asked, *, file: Path | None) -> Result:
    """Evaluate what `checkpoint` names (`latest`, `initial` or a path) and write the result as JSON.

    Raises: SpecError RLC0691 without such a checkpoint, RLC0695 if it is of another experiment, RLC0022 if the file
    cannot be written, and what the runtime raises.
    """
    variables = job.plan.experiment.cluster.environment
    environ.apply((variable.name, variable.value) for variable in variables)
    check_installed(job.plan.experiment.cluster.target)
    from runtime.evaluate_plan import Choice, evaluate_plan

    found = None if checkpoint == INITIAL else find_checkpoint(job, checkpoint)
    if found is not None:
        check_is_of(job.plan, found)
    choice = Choice(stage=asked.stage, sets=asked.sets, samples=asked.samples, prompts=asked.prompts)
    result = evaluate_plan(job.plan, found, choice, root=job.root)
    path = file or job.run_dir / "eval.json"
    _write(path, _record(job.plan, found, result, asked))
    return Result(_rows(result), result.warnings, path)


def find_checkpoint(job: Job, checkpoint: str) -> Checkpoint:
    """Return the checkpoint of a path, or the latest of the run.  Raises: SpecError RLC0691 without one."""
    from runtime.checkpoint.store import CheckpointStore

    if checkpoint != LATEST:
        return CheckpointStore.at(Path(checkpoint))
    latest = CheckpointStore(job.run_dir / "checkpoints").latest_valid().checkpoint
    if latest is None:
        ways = (
            Help("name the run by --run-dir, or a checkpoint by --checkpoint PATH"),
            Help("or take the weights that a run would start from: --checkpoint initial"),
        )
        raise SpecError(Diagnostic("RLC0691", f"{job.run_dir} holds no checkpoint", help=ways))
    return latest


def check_is_of(plan: Plan, checkpoint: Checkpoint) -> None:
    """Refuse weights of an experiment that differs in more than how it is measured, and what may change on resume."""
    if checkpoint.state.get("plan_hash") == plan.hash:
        return
    saved = checkpoint.path.absolute().parent.parent / "plan.json"
    way = Help("evaluate it with the plan of its own run: rlc eval RUN_DIR/plan.json --checkpoint PATH")
    if not saved.is_file():
        message = (
            f"{checkpoint.path} is of plan {str(checkpoint.state.get('plan_hash'))[:12]}, this is {plan.hash[:12]}"
        )
        raise SpecError(Diagnostic("RLC0695", message, help=(way,)))
    before = read_saved_plan(saved, scan())
    old, new = dict(leaves(before.experiment)), dict(leaves(plan.experiment))
    differing = [p for p in {**old, **new} if old.get(p) != new.get(p) and not _may_differ(plan, before, p)]
    if differing:
        shown = ", ".join(differing[:4]) + (f" and {len(differing) - 4} more" if len(differing) > 4 else "")
        message = f"{checkpoint.path} is of another experiment: {shown} differ"
        raise SpecError(Diagnostic("RLC0695", message, help=(way,), paths=tuple(differing)))


def _may_differ(new: Plan, old: Plan, path: str) -> bool:
    parts = path.split(".")
    if parts[0] == "stages" and len(parts) > 2:
        parts = parts[2:]
    return parts[0] in _OF_MEASURING or any(_may_change(plan, path) for plan in (new, old))


def _may_change(plan: Plan, path: str) -> bool:
    try:
        return any(field.may_change for field in fields_on_the_way(plan.experiment, path))
    except (KeyError, IndexError):
        return False


def _record(plan: Plan, checkpoint: Checkpoint | None, result: Evaluated, asked: Asked) -> dict[str, object]:
    return {
        "experiment": plan.experiment.name,
        "plan": plan.hash,
        "checkpoint": INITIAL if checkpoint is None else checkpoint.path.name,
        "checkpoint_plan": None if checkpoint is None else checkpoint.state.get("plan_hash"),
        "stage": result.stage,
        "step": result.stage_step,
        "global_step": result.global_step,
        "confidence": result.confidence,
        "asked": {"sets": list(asked.sets), "samples": asked.samples, "prompts": asked.prompts},
        "sets": {s.name: {**_settings(s), "metrics": _of_set(result, s.name)} for s in result.sets}
        | {name: {"metrics": _of_set(result, name)} for name in result.other_sets},
        "warnings": list(result.warnings),
    }


def _settings(measured: EvalSet[Never]) -> dict[str, object]:
    """How a set was measured, as the plan says it."""
    most = measured.max_prompts
    return {
        "samples_per_prompt": measured.samples_per_prompt,
        "max_response_tokens": measured.max_response_tokens,
        "max_prompts": None if isinstance(most, Off) else most,
        "temperature": measured.sampling.temperature,
        "top_p": measured.sampling.top_p,
        "top_k": None if isinstance(measured.sampling.top_k, Off) else measured.sampling.top_k,
    }


def _of_set(result: Evaluated, name: str) -> dict[str, float]:
    start = f"eval/{name}/"
    return {key.removeprefix(start): value for key, value in result.metrics.items() if key.startswith(start)}


def _rows(result: Evaluated) -> tuple[tuple[str, ...], ...]:
    rows = [("set", "metric", "value", f"{result.confidence:.4g} interval", "rows", "samples")]
    samples_of = {measured.name: measured.samples_per_prompt for measured in result.sets}
    for name in (*samples_of, *result.other_sets):
        metrics = _of_set(result, name)
        counts = ("num_prompts", "num_pairs", "num_rows")
        count = next(f"{metrics[key]:,.0f}" for key in counts if key in metrics)
        for kind, value in metrics.items():
            if f"{kind}_low" not in metrics:
                continue
            bounds = f"{metrics[f'{kind}_low']:.4f} to {metrics[f'{kind}_high']:.4f}"
            samples = "1" if kind == "greedy" else f"{samples_of[name]:,}" if name in samples_of else "-"
            rows.append((name, kind, f"{value:.4f}", bounds, count, samples))
    return tuple(rows)


def _write(path: Path, record: dict[str, object]) -> None:
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        os.makedirs(path.parent, exist_ok=True)
        replace_file(path, text)
    except OSError as fault:
        message = f"{path} cannot be written: {fault.strerror or fault}"
        raise SpecError(Diagnostic("RLC0022", message, help=(Help("name another file: -o FILE"),))) from fault
