"""[teacher] of a stage: there is one, it has weights, and what could not be read of it is said once."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.frontend.value import Table
from compiler.ir.algorithm import TaughtParams, Teacher
from compiler.ir.experiment import Stage
from compiler.ir.openness import AUTO, OFF
from compiler.ir.provenance import Origin
from compiler.ir.record import Record
from compiler.lowering.checkpoint_facts import FACTS
from compiler.lowering.reader import Reader

TABLE = "teacher"


def expect_teacher(stage: Table, reader: Reader, path: str) -> None:
    """Report a stage without a teacher once (RLC0205), instead of each fact that it would have brought."""
    table = stage.get(TABLE)
    reader.broken.update(f"{path}.{fault}" for fault in tuple(reader.broken) if fault.startswith(f"{TABLE}."))
    if isinstance(table, Table) and any(name in table.entries for name in (*FACTS, "hf")):
        return
    if isinstance(table, Table) and "name" in table.entries:
        labels = (Label(table.span, "a teacher of one stage", True),) if table.span.file.text else ()
        helps = (Help("move it to [teacher], at the top of the spec: the stages that learn from one share it"),)
        fault = Diagnostic("RLC0205", "teacher.name is looked up at the top of the spec only", labels, helps)
        reader.report(f"{path}.{TABLE}.name", fault)
    elif table is None or isinstance(table, Table):
        span = stage.span if table is None else table.span
        labels = (Label(span, "nobody to learn from", True),) if span.file.text else ()
        helps = (
            Help('write [teacher] hf = "PATH", a Hugging Face model directory, at the top of the spec'),
            Help('or [teacher] name = "//models:NAME", with weights = "PATH"'),
        )
        fault = Diagnostic("RLC0205", "teacher.name or teacher.hf is required", labels, helps)
        reader.report(f"{path}.{TABLE}.name", fault)
    reader.broken.update(f"{path}.{TABLE}.{name}" for name in Teacher.fields())


def with_teacher_weights(stage: Record, reader: Reader, path: str) -> Record:
    """Return the stage with teacher.weights as teacher.hf says, or RLC0205 reported where neither is there."""
    params = stage.algorithm if isinstance(stage, Stage) else None
    if not isinstance(stage, Stage) or not isinstance(params, TaughtParams) or params.teacher.weights is not AUTO:
        return stage
    teacher, at = params.teacher, f"{path}.{TABLE}.weights"
    if teacher.hf is not OFF:
        reader.origins.record(at, Origin("derived", by="lower", inputs=(f"{path}.{TABLE}.hf",)))
        taught = params.replacing(teacher=teacher.replacing(weights=teacher.hf))
        return stage.replacing(algorithm=taught)
    if f"{path}.{TABLE}.hf" in reader.broken:
        reader.broken.add(at)  # it would have said where the weights are
    if at not in reader.broken:
        origin = reader.origins.get(f"{path}.{TABLE}.name") or reader.origins.get(f"{path}.{TABLE}.family")
        span = None if origin is None else origin.span
        labels = () if span is None else (Label(span, "these are facts; where are the weights?", True),)
        helps = (Help('write teacher.weights = "PATH" of a Hugging Face directory'),)
        reader.report(at, Diagnostic("RLC0205", "teacher.weights is required", labels, helps))
    return stage
