"""Why a field has its value: its origin, what it was derived from, and what was derived from it.

Everything is read from the Provenance that compiling leaves behind; nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.page import Page, read_pages, rule_page
from compiler.diagnostics.span import Span
from compiler.ir.canonical import Json
from compiler.ir.equations import EQUATIONS
from compiler.ir.experiment import Experiment
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.paths import leaves, read
from compiler.ir.provenance import Origin
from compiler.ir.record import Field, Record
from compiler.ir.subject import Subject, shown_path, toml_literal
from compiler.passes.pipeline import PIPELINE
from compiler.rules.catalogue import load_rules

ANYWHERE = "stages."


class FieldFacts(NamedTuple):
    """What there is to say about one field.

    `path` is the internal path, `shown` the one that a person writes; `inputs` and `dependents` are internal paths.
    """

    path: str
    shown: str
    value: object
    field: Field
    may_change_on_resume: bool
    origin: Origin | None
    inputs: tuple[str, ...]
    dependents: tuple[str, ...]


@cache
def all_pages() -> tuple[Page, ...]:
    """Return the page of every code, rules included, ordered by code."""
    rules = [rule_page(code=r.code, id_=r.id, rule=r.name, docstring=r.page) for r in load_rules()]
    return tuple(sorted((*rules, *read_pages())))


def page_of(name: str) -> Page | None:
    """Return the page of a code or of a rule's id, in any case of letters."""
    wanted = name.upper()
    return next((page for page in all_pages() if wanted in (page.code, page.id)), None)


def nearest_codes(name: str) -> list[str]:
    """Return codes and ids that a person may have meant."""
    names = [known for page in all_pages() for known in (page.code, page.id) if known]
    return nearest_names(name.upper(), names)


class Explainer:
    """The fields of one compiled experiment, with the edges between them in both directions."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.experiment: Experiment[Auto] = subject.experiment
        self.paths = tuple(path for path, _ in leaves(self.experiment))
        self._shown = {path: self.shown(path) for path in self.paths}
        self._dependents: dict[str, list[str]] = {}
        for path, origin in subject.origins.items():
            for source in origin.inputs:
                self._dependents.setdefault(source, []).append(path)

    def find(self, name: str) -> tuple[str, ...]:
        """Return the internal paths that a name means: a field, that of several stages, or all of a table.

        A name without a stage, such as `train.global_batch`, means that field of every stage that has it.
        """
        exact = [path for path, shown in self._shown.items() if name in (path, shown, _without_stage(path))]
        if exact:
            return tuple(exact)
        table = f"{name}."
        return tuple(
            path
            for path, shown in self._shown.items()
            if any(known.startswith(table) for known in (path, shown, _without_stage(path)))
        )

    def nearest(self, name: str) -> list[str]:
        """Return names of fields that a person may have meant, as they would be written."""
        names = {n: n for path, shown in self._shown.items() for n in (shown, _without_stage(path))}
        leaf_names = {n.rpartition(".")[2]: n for n in sorted(names, reverse=True)}
        near = nearest_names(name, names)
        return near or [leaf_names[leaf] for leaf in nearest_names(name.rpartition(".")[2], leaf_names)]

    def facts(self, path: str) -> FieldFacts:
        """Return what there is to say about a field.  Raises: KeyError if there is no such field."""
        chain = tuple(_fields_on_the_way(self.experiment, path))
        origin = self.subject.origins.get(path)
        return FieldFacts(
            path=path,
            shown=self.shown(path),
            value=read(self.experiment, path),
            field=chain[-1],
            may_change_on_resume=any(f.on_resume == "may_change" or not f.in_hash for f in chain),
            origin=origin,
            inputs=origin.inputs if origin else (),
            dependents=self._depending_on(path),
        )

    def shown(self, path: str) -> str:
        """Return a path as a person writes it."""
        return shown_path(
            path, tuple(stage.name for stage in self.experiment.stages), has_stage_list=self.subject.has_stage_list
        )

    def is_shared(self, paths: Sequence[str]) -> bool:
        """Whether fields of several stages say the same: one value, from one place."""
        first = self.facts(paths[0])
        same = [self.facts(path) for path in paths[1:]]
        return all(f.value == first.value and f.origin == first.origin and not f.inputs for f in same)

    def _depending_on(self, path: str) -> tuple[str, ...]:
        """Fields that were derived from this one; a record that was derived as a whole stands for its own fields."""
        found = dict.fromkeys(self._dependents.get(path, ()))
        return tuple(p for p in found if p.rpartition(".")[0] not in found and not _within(p, found))


def to_json(explainer: Explainer, paths: Sequence[str]) -> Json:
    """Return the derivation graph of some fields: nodes by the path that a person writes, and all that they lead to."""
    nodes: dict[str, Json] = {}
    waiting = list(paths)
    for path in waiting:  # grows while it is read
        name = explainer.shown(path)
        if name in nodes or path not in explainer.paths:
            continue
        facts = explainer.facts(path)
        nodes[name] = _node(explainer, facts)
        waiting += facts.inputs
    return {"asked": [explainer.shown(path) for path in paths], "fields": nodes}


def literal(value: object) -> str:
    """Return a value as a spec would write it."""
    return '"off"' if value is OFF else '"auto"' if value is AUTO else toml_literal(value)


def place(span: Span) -> str:
    """Return where a text stands, as `file:line`; `--set` has no lines."""
    return span.file.name if span.file.name == "--set" else f"{span.file.name}:{span.line}"


def meaning_of(by: str) -> str:
    """Return in words what a pass or an equation does."""
    for equation in EQUATIONS:
        if equation.name == by:
            return f"the {by}: {equation}"
    for step in PIPELINE:
        if step.name == by:
            module = (step.run.__globals__.get("__doc__") or "").partition("\n")[0]
            return f"{by}: {module}"
    return "the reader of the spec"


def _node(explainer: Explainer, facts: FieldFacts) -> Json:
    origin = facts.origin
    value = facts.value
    return {
        "value": list(value) if isinstance(value, tuple) else "auto" if value is AUTO else _plain(value),
        "unit": facts.field.unit,
        "doc": facts.field.doc,
        "bounds": dict(facts.field.bounds),
        "may_change_on_resume": facts.may_change_on_resume,
        "origin": _origin(origin) if origin is not None else None,
        "inputs": [explainer.shown(path) for path in facts.inputs],
        "dependents": [explainer.shown(path) for path in facts.dependents],
    }


def _origin(origin: Origin) -> Json:
    found: dict[str, Json] = {"kind": origin.kind}
    if origin.span is not None:
        found |= {"file": origin.span.file.name, "line": origin.span.line, "text": _line(origin.span)}
    if origin.by:
        found["by"] = origin.by
    if origin.shadowed:
        found["shadowed"] = [_origin(lost) for lost in origin.shadowed]
    return found


def _plain(value: object) -> Json:
    return "off" if value is OFF else value if isinstance(value, (bool, int, float, str)) else repr(value)


def _line(span: Span) -> str:
    return span.file.line(span.line).strip()


def _without_stage(path: str) -> str:
    return path.split(".", 2)[2] if path.startswith(ANYWHERE) and path.count(".") > 1 else path


def _within(path: str, holders: dict[str, None]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:n]) in holders for n in range(1, len(parts)))


def _fields_on_the_way(record: Record, path: str) -> Iterator[Field]:
    at: object = record
    for part in path.split("."):
        if isinstance(at, tuple):
            at = at[int(part)]
            continue
        if not isinstance(at, Record):
            raise KeyError(path)
        if part not in at.__dict__:
            spread = [n for n, f in type(at).fields().items() if f.spread and part in at.__dict__[n].__dict__]
            if not spread:
                raise KeyError(path)
            at = at.__dict__[spread[0]]
        fields = type(at).fields() if isinstance(at, Record) else {}
        yield fields[part]
        at = at.__dict__[part]
