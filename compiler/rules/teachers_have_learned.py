"""A teacher has learned something.

What: `teacher.weights` names a checkpoint; with `"random"` there is a warning.
Why it matters: a student of random weights learns noise, and its loss falls all the same, so no metric shows it.  To
try out an experiment without a checkpoint it is good enough, which is why the plan is made.
Example: `[teacher]` with `name = "//models:tiny_qwen3"` and `weights = "random"`.
Fix: `teacher.weights = "PATH"` of a Hugging Face directory, or `teacher.hf`.
Source: DISTILL-01.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import TaughtParams
from compiler.ir.subject import Subject

CODE = "RLC0397"
ID = "DISTILL-01"

_WEIGHTS = "teacher.weights"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report teachers with random weights."""
    for stage in subject.stages():
        params = stage.stage.algorithm
        if isinstance(params, TaughtParams) and params.teacher.weights == "random":
            yield Diagnostic(
                CODE,
                "the teacher has random weights, and the student learns noise",
                stage.labels((_WEIGHTS, "no checkpoint")),
                (Help('write teacher.weights = "PATH" of a Hugging Face directory'),),
                rule=ID,
                severity="warning",
                paths=(stage.path(_WEIGHTS),),
            )
