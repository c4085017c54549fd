"""Families have their facts.

What: the model has the norms, biases, gates, experts and kinds of attention that its architecture has, and no others.
Why it matters: engines compute what the architecture is, whatever a plan says beside it: a plan that says otherwise has
the wrong parameter count, and describes a network that nobody trains.
Example: `model.family = "qwen3"` with `model.qk_norm = "none"`.
Fix: take the architecture's own fact, or the architecture that has this one; the message names both.
Source: transformers' modeling files of each architecture.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.model import Model
from compiler.ir.openness import Auto, Off
from compiler.ir.paths import read
from compiler.ir.record import Record
from compiler.ir.subject import Subject, toml_literal
from compiler.rules._family_facts import FAMILIES, ON, Facts, is_of

CODE = "RLC0233"
ID = "PAR-02"
_FAMILY = "model.family"
_MOST = 2

Wrong = list[tuple[str, object, "tuple[object, ...]"]]


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report facts that the model's architecture does not have."""
    model = subject.experiment.model
    wrong = _wrong(model, FAMILIES[model.family])
    if not wrong:
        return
    paths = tuple(f"model.{path}" for path, _, _ in wrong)
    said = "; ".join(_said(path, value, allowed) for path, value, allowed in wrong)
    texts = ((_place(subject, path, value), f"{_shown(value)} here") for path, value, _ in wrong)
    yield Diagnostic(
        CODE,
        f"{model.family} {said}",
        subject.labels((_FAMILY, "this architecture"), *texts),
        alternatives(*_ways(subject, model, wrong)),
        rule=ID,
        paths=(_FAMILY, *paths),
    )


def _wrong(model: Model[Auto], facts: Facts) -> Wrong:
    found: Wrong = []
    for path, allowed in facts.items():
        try:
            value = read(model, path)
        except KeyError:
            continue  # below a table that is not there, which is a fact of its own
        if not is_of(value, allowed):
            found.append((path, value, allowed))
    return found


def _place(subject: Subject, path: str, value: object) -> str:
    """Where a fact is written; a table is where the first of its keys is."""
    below = f"model.{path}."
    if isinstance(value, Record):
        return next((key for key, origin in subject.origins.items() if key.startswith(below) and origin.span), below)
    return f"model.{path}"


def _said(path: str, value: object, allowed: tuple[object, ...]) -> str:
    if isinstance(value, Record):
        return f"has no {path}"
    if ON in allowed:
        return f"needs {path}"
    return f"has {path} = {' or '.join(map(_shown, allowed))}, not {_shown(value)}"


def _ways(subject: Subject, model: Model[Auto], wrong: Wrong) -> Iterator[Help]:
    yield _own_facts(wrong)
    if subject.written(_FAMILY):
        fitting = [name for name, facts in FAMILIES.items() if not _wrong(model, facts)]
        for name in fitting[:_MOST]:
            literal = toml_literal(name)
            yield Help(f"set {_FAMILY} = {literal}", ((_FAMILY, literal),))


def _own_facts(wrong: Wrong) -> Help:
    """What makes the model one of its family; a tool can do it where no table has to come or to go."""
    steps: list[str] = []
    sets: list[tuple[str, str]] = []
    for path, value, allowed in wrong:
        if isinstance(value, Record):
            steps.append(f"leave [model.{path}] out")
        elif ON in allowed:
            steps.append(f"write {_missing(path)}")
        else:
            sets.append((f"model.{path}", _shown(allowed[0])))
            steps.append(" = ".join(sets[-1]))
    if len(sets) == len(wrong):
        return Help(f"set {' and '.join(steps)}", tuple(sets))
    return Help(", and ".join(steps))


def _missing(path: str) -> str:
    records = Model.fields()[path].kind.records if path in Model.fields() else ()
    needed = [name for record in records for name, field in record.fields().items() if field.is_required]
    return f"[model.{path}] with {', '.join(needed)}" if needed else f"model.{path}"


def _shown(value: object) -> str:
    if isinstance(value, Record):
        return "a table"
    return '"off"' if isinstance(value, Off) else toml_literal(value)
