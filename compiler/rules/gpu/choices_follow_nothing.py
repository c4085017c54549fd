"""What is to be chosen is read by nothing that comes before the choice.

What: a setting of the layout that says "auto" is one that the planner may choose: no other value is computed from it by
`${...}` or a requirement.
Why it matters: such a value is settled before layouts are compared, so the setting would stay at what it is where it is
left out, and the word "auto" would have done nothing.
Example: `placement.gpus_per_engine = "auto"` beside `run.max_steps = "${placement.gpus_per_engine}"`.
Fix: write the setting, or write what is computed from it.
Source: CFG-02; docs/decisions/0062-choosing-a-layout.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.machine import GpuPlacement
from compiler.ir.paths import read
from compiler.ir.subject import Subject, toml_literal
from compiler.planner.chosen import CHOOSABLE, SCHEDULE, is_left_out, paths_of, readers_of, undecided

CODE = "RLC0415"
ID = "CFG-02"
_FOLLOWS = ("dp", "sp")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report each setting that asks for a choice and that something else is computed from."""
    experiment, origins = subject.experiment, subject.origins
    if not origins.asked or not isinstance(experiment.placement, GpuPlacement):
        return
    free = undecided(origins)
    for name in (*CHOOSABLE, SCHEDULE):
        for path in paths_of(name, len(experiment.stages)):
            if path not in origins.asked or name in free or name in _FOLLOWS or not is_left_out(origins, path):
                continue
            reader = next(iter(readers_of(origins, path)), path)
            shown, value = subject.shown(path), toml_literal(read(experiment, path))
            yield Diagnostic(
                CODE,
                f'{shown} = "auto" asks for a choice, but {subject.shown(reader)} is computed from it before',
                subject.labels((path, "to be chosen"), (reader, "computed from it")),
                (Help(f"set {shown} = {value}", ((shown, value),)),),
                rule=ID,
                paths=(path, reader),
            )
