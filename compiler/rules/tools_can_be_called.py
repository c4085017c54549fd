"""An environment of tools has some, each under a name of its own.

What: with `environment.name = "tools"` there is at least one [[environment.tools]], and no two are called by the same
name: that of the function, or of the file of the standard library.
Why it matters: without a tool every first turn is the answer, which is what a stage without [environment] does; of two
tools of one name the model reaches only one.
Example: `tools = [{ name = "a.py:search" }, { name = "b.py:search" }]`.
Fix: name a tool, or rename one of the functions.
Source: EPI-03.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.environment import TOOLS
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0382"
ID = "EPI-03"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report environments without tools, and tools that hide each other."""
    for stage in subject.stages():
        environment = stage.stage.environment
        if isinstance(environment, Off) or environment.name != TOOLS:
            continue
        field = "environment.tools"
        if not environment.tools:
            yield Diagnostic(
                CODE,
                "the environment is made of tools, and there is none",
                stage.labels(("environment.name", "calls tools")),
                (Help(f'set {stage.shown(field)} = [{{ name = "calculator" }}]'),),
                rule=ID,
                paths=(stage.path(field),),
            )
        called = [tool.name.rpartition(":")[2] for tool in environment.tools]
        for index, name in enumerate(called):
            if name in called[:index]:
                first = called.index(name)
                yield Diagnostic(
                    CODE,
                    f"two tools are called {name}, and the model could reach only one of them",
                    stage.labels((f"{field}.{first}.name", "the first"), (f"{field}.{index}.name", "the same again")),
                    (Help("rename one of the functions"),),
                    rule=ID,
                    paths=(stage.path(f"{field}.{index}.name"),),
                )
