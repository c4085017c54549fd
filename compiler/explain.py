"""Why a field has its value: its origin, what it was derived from, and what was derived from it.

Everything is read from the Provenance that compiling leaves behind; nothing is computed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.page import Page, read_pages, rule_page
from compiler.diagnostics.span import Span
from compiler.ir.equations import EQUATIONS, Equation
from compiler.ir.experiment import Experiment
from compiler.ir.json_text import Json
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.paths import fields_on_the_way, leaves, read
from compiler.ir.provenance import Call, Origin
from compiler.ir.record import Field
from compiler.ir.subject import Subject, shown_path, toml_literal
from compiler.passes.pipeline import PIPELINE
from compiler.rules.catalogue import load_rules

ANYWHERE = "stages."

# How far before a value its name is looked for.
_REACH = 200
# What names the value that follows: `lr = ` or `"lr": `.
_NAMED = re.compile(r"""(?:[A-Za-z_]\w*\s*=|["'][^"'\n]*["']\s*:)\s*$""")


class FieldFacts(NamedTuple):
    """What there is to say about one field.

    `path` is the internal path, `shown` the one that a person writes; `inputs` and `dependents` are internal paths.
    `is_known` is false where the value could not be read, or follows from one that could not; `is_derived` is said of a
    field that a spec cannot set.
    """

    path: str
    shown: str
    value: object
    is_known: bool
    field: Field
    is_derived: bool
    may_change_on_resume: bool
    origin: Origin | None
    inputs: tuple[str, ...]
    dependents: tuple[str, ...]


@cache
def all_pages() -> tuple[Page, ...]:
    """Return the page of every code, rules included, ordered by code."""
    rules = [rule_page(code=r.code, id_=r.id, rule=r.name, docstring=r.page) for r in load_rules()]
    return tuple(sorted((*rules, *read_pages())))


def pages_of(name: str) -> tuple[Page, ...]:
    """Return the page of a code, or those of all rules with an id, in any case of letters."""
    wanted = name.upper()
    return tuple(page for page in all_pages() if wanted in (page.code, page.id))


def nearest_codes(name: str) -> list[str]:
    """Return codes and ids that a person may have meant."""
    names = [known for page in all_pages() for known in (page.code, page.id) if known]
    return nearest_names(name.upper(), names)


class Explainer:
    """The fields of one compiled experiment, with the edges between them in both directions.

    Args:
        broken: paths of fields that could not be read; these, and what was derived from them, are not known.
    """

    def __init__(self, subject: Subject, *, broken: Iterable[str] = ()) -> None:
        self.subject = subject
        self.experiment: Experiment[Auto] = subject.experiment
        # A list of stages that could not be read is empty, and would be a leaf.
        self.paths = tuple(path for path, _ in leaves(self.experiment) if path != "stages")
        self._shown = {path: self.shown(path) for path in self.paths}
        self._dependents: dict[str, list[str]] = {}
        for path, origin in subject.origins.items():
            for source in origin.inputs:
                self._dependents.setdefault(source, []).append(path)
        self._unknown = self._spoilt_by(broken)

    def fields_called(self, name: str) -> tuple[str, ...]:
        """Return the internal paths of a field; a name without a stage means that field of every stage that has it."""
        wanted = _dotted(name)
        exact = tuple(path for path, shown in self._shown.items() if wanted in (path, shown))
        return exact or tuple(path for path in self.paths if wanted == _without_stage(path))

    def fields_of_table(self, name: str) -> tuple[str, ...]:
        """Return the internal paths of all fields of a table, by the same names."""
        table = f"{_dotted(name)}."
        names = {path: (path, shown, _without_stage(path)) for path, shown in self._shown.items()}
        return tuple(path for path, known in names.items() if any(one.startswith(table) for one in known))

    def nearest(self, name: str) -> list[str]:
        """Return names of fields that a person may have meant, as they would be written."""
        names = {n: n for path, shown in self._shown.items() for n in (shown, _without_stage(path))}
        leaf_names = {n.rpartition(".")[2]: n for n in sorted(names, reverse=True)}
        near = nearest_names(name, names)
        return near or [leaf_names[leaf] for leaf in nearest_names(name.rpartition(".")[2], leaf_names)]

    def facts(self, path: str) -> FieldFacts:
        """Return what there is to say about a field.  Raises: KeyError if there is no such field."""
        chain = tuple(fields_on_the_way(self.experiment, path))
        origin = self.subject.origins.get(path)
        return FieldFacts(
            path=path,
            shown=self.shown(path),
            value=read(self.experiment, path),
            is_known=path not in self._unknown,
            field=chain[-1],
            is_derived=any(f.is_derived for f in chain),
            may_change_on_resume=any(f.may_change for f in chain),
            origin=origin,
            inputs=origin.inputs if origin else (),
            dependents=self._depending_on(path),
        )

    def shown(self, path: str) -> str:
        """Return a path as a person writes it; the name of the only stage is not that of the experiment."""
        names = tuple(stage.name for stage in self.experiment.stages)
        shown = shown_path(path, names, has_stage_list=self.subject.has_stage_list)
        is_taken = shown != path and shown in type(self.experiment).fields()
        return shown_path(path, names, has_stage_list=True) if is_taken else shown

    def is_shared(self, paths: Sequence[str]) -> bool:
        """Whether fields of several stages say the same: one value, from one place."""
        first = self.facts(paths[0])
        same = [self.facts(path) for path in paths[1:]]
        return all(f.value == first.value and f.origin == first.origin and not f.inputs for f in same)

    def _spoilt_by(self, broken: Iterable[str]) -> dict[str, None]:
        waiting = list(broken)
        found: dict[str, None] = {}
        for path in waiting:  # grows while it is read
            if path not in found:
                found[path] = None
                waiting += self._dependents.get(path, ())
                waiting += [p for p in self.paths if p.startswith(f"{path}.")]
        return found

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
    """Return where a text stands, as `file:line`; what a command line says has no lines."""
    return span.file.name if span.file.name in ("--set", "--shrink") else f"{span.file.name}:{span.line}"


def exact_place(span: Span) -> str:
    """Return where a text begins, as `file:line:column`."""
    return f"{place(span)}:{_column(span)}"


def is_starlark(span: Span) -> bool:
    """Whether a text stands in a .star file."""
    return span.file.name.endswith(".star")


def source_line(span: Span) -> str:
    """Return the line that a text stands on; of a .star file, where one line holds many values, the argument."""
    if is_starlark(span):
        named = _NAMED.search(span.file.text, max(0, span.start - _REACH), span.start)
        return " ".join(f"{named[0] if named else ''}{span.text}".split())
    return span.file.line(span.line).strip()


def equation_called(name: str) -> Equation | None:
    """Return the equation of a name, or None if it is a pass."""
    return next((equation for equation in EQUATIONS if equation.name == name), None)


def summary_of_pass(name: str) -> str:
    """Return in one line what a pass does, or nothing for what is not one."""
    step = next((step for step in PIPELINE if step.name == name), None)
    return "" if step is None else (step.run.__globals__.get("__doc__") or "").partition("\n")[0]


def _node(explainer: Explainer, facts: FieldFacts) -> Json:
    origin = facts.origin
    value = facts.value
    return {
        "value": _plain(value) if facts.is_known else None,
        "is_known": facts.is_known,
        "unit": facts.field.unit,
        "doc": facts.field.doc,
        "bounds": dict(facts.field.bounds),
        "may_change_on_resume": facts.may_change_on_resume,
        "origin": _origin(origin) if origin is not None else None,
        "inputs": [explainer.shown(path) for path in facts.inputs],
        "dependents": [explainer.shown(path) for path in facts.dependents],
    }


def argument_text(origin: Origin) -> str:
    """Return what a .star file says of a value: the whole of the argument or the entry, on one line."""
    if origin.span is None:
        return ""
    first = origin.key or origin.span
    is_one = first.file is origin.span.file and first.start <= origin.span.start
    text = origin.span.file.text[first.start if is_one else origin.span.start : origin.span.end]
    return " ".join(text.split())


def _origin(origin: Origin) -> Json:
    found: dict[str, Json] = {"kind": origin.kind}
    if origin.span is not None:
        found |= {"file": origin.span.file.name, "line": origin.span.line, "text": source_line(origin.span)}
        if is_starlark(origin.span):
            found |= {"column": _column(origin.key or origin.span), "argument": argument_text(origin)}
            found["calls"] = [_call(call) for call in origin.calls]
    if origin.by:
        found["by"] = origin.by
    if origin.shadowed:
        found["shadowed"] = [_origin(lost) for lost in origin.shadowed]
    return found


def _call(call: Call) -> Json:
    span = call.span
    text = " ".join(span.text.split())
    return {
        "function": call.function,
        "file": span.file.name,
        "line": span.line,
        "column": _column(span),
        "text": text,
    }


def _column(span: Span) -> int:
    return span.file.position(span.start)[1]


def _plain(value: object) -> Json:
    if isinstance(value, tuple):
        return list(value)
    if value is OFF or value is AUTO:
        return repr(value)
    return value if isinstance(value, (bool, int, float, str)) else repr(value)


def _dotted(name: str) -> str:
    """A path with indices as --set writes them (`data.train[0].path`) in the form that internal paths have."""
    return name.replace("[", ".").replace("]", "")


def _without_stage(path: str) -> str:
    return path.split(".", 2)[2] if path.startswith(ANYWHERE) and path.count(".") > 1 else path


def _within(path: str, holders: dict[str, None]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:n]) in holders for n in range(1, len(parts)))
