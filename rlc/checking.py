"""What a file of a repository of experiments is, and whether it is right as that: a spec, or what specs use.

A recipe, a model, a policy or a library has no plan of its own.  A recipe is read as a spec that uses it would read it,
and every key and value is judged that needs no other; a model gives its facts; a policy states requirements that are
expressions over known fields; whatever else a .star file is, it runs to its end.  Whether an experiment that uses them
holds together is judged with that experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from compiler.compile import Compiled, compile_all, compile_spec
from compiler.constraints.policy import policies_of, required_by
from compiler.constraints.statements import Setting, read_statements
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile
from compiler.frontend.choice import choose
from compiler.frontend.loader import load
from compiler.frontend.requirements import read_requirements
from compiler.frontend.roots import MARKER, Place, models_in
from compiler.frontend.session import Session
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.value import RECIPE, node_at
from compiler.ir.catalogue import Catalogue
from rlc.models import read_facts
from rlc.templates import Choices, toml_experiment

Kind = Literal["spec", "recipe", "model", "policy", "library", "marker"]

# Keys of a whole experiment, which no recipe has a reason to hold.
_OF_A_SPEC = ("rlc", "name", "stages")
_NO_EXPERIMENT = "RLC0156"
_STAND_IN = ".rlc-check.toml"
# What is said of an experiment that is not complete, or of values that only fit others of one experiment.
_OF_A_WHOLE = frozenset({"RLC0202", "RLC0205", "RLC0213", "RLC0232"})
_OF_A_PART = ("RLC00", "RLC01", "RLC02", "RLC04")


class Checked(NamedTuple):
    """A file, or one experiment of it, as what it is; `name` is what it is called on the command line."""

    kind: Kind
    name: str
    diagnostics: tuple[Diagnostic, ...]
    compiled: Compiled | None = None

    @property
    def has_errors(self) -> bool:
        """Whether anything is wrong with it."""
        return any(d.severity == "error" for d in self.diagnostics)


def check_file(
    file: Path, catalogue: Catalogue, *, overrides: Sequence[str] = (), shrink: bool = False
) -> list[Checked]:
    """Return what is to be said of a file; of a spec with several experiments for each of them.

    Args:
        overrides: as given to --set, for specs.
        shrink: whether specs are to be made small as well.
    """
    session = Session(catalogue.stdlib, catalogue.cache)
    kind = kind_of(file, session)
    if kind == "spec":
        found = compile_all(file, catalogue, overrides=overrides, shrink=shrink, session=session)
        return [Checked(kind, f"{file}:{n}" if n else str(file), c.diagnostics, c) for n, c in found]
    return [Checked(kind, str(file), check_part(file, kind, session, catalogue))]


def check_part(file: Path, kind: Kind, session: Session, catalogue: Catalogue) -> tuple[Diagnostic, ...]:
    """Return what is to be said of a file that is no spec, as `kind_of` has found."""
    reporter = Reporter()
    place = session.place(file, reporter)
    assert place is not None, "a file that is no spec was read"
    checks = {"recipe": _recipe, "model": _model, "policy": _policy, "library": _library, "marker": _marker}
    try:
        checks[kind](place, session, catalogue, reporter)
    except SpecError as fault:
        for diagnostic in fault.diagnostics:
            reporter.add(diagnostic)
    return tuple(dict.fromkeys(reporter.diagnostics))


def kind_of(file: Path, session: Session) -> Kind:
    """Return what a file is; what cannot be read is a spec, which says why."""
    path, name = choose(file)
    place = None if name is not None else session.place(path, Reporter())
    if path.name == MARKER:
        return "marker"
    if place is None or place.path.suffix not in (".toml", ".star") or not place.path.is_file():
        return "spec"
    if place.path.suffix == ".star":
        return _kind_of_star(place, session)
    said = Reporter()
    trees = session.trees(place, named_at=None, reporter=said)
    keys = () if trees is None else tuple(trees.table(RECIPE).entries)
    if trees is None or any(key in keys for key in _OF_A_SPEC):
        return "spec"
    if place.path.parent.name == "models":
        return "model"
    return "spec" if "cluster" in keys and place.path.parent.name != "recipes" else "recipe"


def _kind_of_star(place: Place, session: Session) -> Kind:
    if any(place.path == policy.path for policy in policies_of(place, session, Reporter())):
        return "policy"
    said = Reporter()
    if session.spec(place, reporter=said) is not None:
        return "spec"
    if [d.code for d in said.diagnostics] != [_NO_EXPERIMENT]:
        return "spec"
    source = session.source(place, named_at=None, reporter=said)
    if source is None:
        return "spec"
    if place.path.parent.name in ("recipes", "models"):
        return "recipe" if place.path.parent.name == "recipes" else "model"
    stated = session.modules.requirements(place, source).table(RECIPE)
    if read_requirements((stated,), Reporter()):
        return "policy"
    return "library" if _functions(parse_file(source, session.cache)) else "spec"


def _functions(tree: Node) -> list[str]:
    return [str(node[3][3]) for node in tree[3:] if node[0] in ("def", "assign", "load")]


def _recipe(place: Place, session: Session, catalogue: Catalogue, reporter: Reporter) -> None:
    """Judge a recipe as a spec beside it would use it, by what is about its own keys and values."""
    text = f'rlc = 1\nname = "check"\nuse = ["{place.path.name}"]\ncluster.target = "cpu"\n'
    spec = _beside(place, _STAND_IN)
    alone = Session(session.stdlib, session.cache)
    alone.hold(spec, SourceFile(spec.name, text))
    loaded = load(Path(spec.name), (), alone, Reporter())
    if loaded is not None and node_at(loaded.value, "algo", "name") is None:
        text += 'algo.name = "grpo"\n'  # which one decides what is read of the tables of a stage
    _as_part(spec, text, session, catalogue, reporter)


def _model(place: Place, session: Session, catalogue: Catalogue, reporter: Reporter) -> None:
    """Read the facts of a model, of a family those of each; then hold its keys against the schema, as a spec would."""
    if place.path.suffix == ".toml":
        read_facts(place, "", session)
        _recipe(place, session, catalogue, reporter)
        return
    _library(place, session, catalogue, reporter)
    source = session.source(place, named_at=None, reporter=reporter)
    for name in () if source is None else models_in(source.text):
        try:
            read_facts(place, name, session)
        except SpecError as fault:
            for diagnostic in fault.diagnostics:
                reporter.add(diagnostic)
        made = f'model = {name}(), cluster = dict(target = "cpu"), algo = dict(name = "grpo")'
        text = f'load("{place.path.name}", "{name}")\nexperiment(name = "check", {made})\n'
        _as_part(_beside(place, f".rlc-check-{name}.star"), text, session, catalogue, reporter)


def _beside(place: Place, name: str) -> Place:
    return Place(place.path.parent / name, str(Path(place.name).parent / name), place.root, place.roots)


def _as_part(spec: Place, text: str, session: Session, catalogue: Catalogue, reporter: Reporter) -> None:
    """Compile a stand-in for a spec, and report what is not about the stand-in, nor about what it leaves out."""
    source = SourceFile(spec.name, text)
    session.hold(spec, source)
    for diagnostic in compile_spec(Path(spec.name), catalogue, session=session).diagnostics:
        primary = next((label for label in diagnostic.labels if label.is_primary), None)
        is_of_it = diagnostic.code.startswith(_OF_A_PART) and diagnostic.code not in _OF_A_WHOLE
        if is_of_it and (primary is None or primary.span.file != source or diagnostic.code == "RLC0155"):
            labels = tuple(label for label in diagnostic.labels if label.span.file != source)
            reporter.add(diagnostic._replace(labels=labels))


def _policy(place: Place, session: Session, catalogue: Catalogue, reporter: Reporter) -> None:
    """Run a policy, and read what it requires in the terms of an experiment that has nothing unusual."""
    required = required_by(place, session, reporter)
    # Below no root of anybody's: no policy is held against it.
    spec = Place(catalogue.stdlib / _STAND_IN, _STAND_IN, catalogue.stdlib)
    choices = Choices("check", "//recipes:grpo", "//models:tiny_qwen3", "cpu", "", samples=True)
    stand_in = Session(catalogue.stdlib, catalogue.cache)
    stand_in.hold(spec, SourceFile(spec.name, toml_experiment(choices)))
    compiled = compile_spec(spec.path, catalogue._replace(policies=()), overrides=("optim.lr=1e-6",), session=stand_in)
    assert compiled.subject is not None, "the template of a new experiment has a plan"
    assert compiled.plan is not None, compiled.diagnostics
    experiment, forecast = compiled.subject.experiment, compiled.plan.forecast
    # A stage that is named may be one of somebody's experiment.
    of_any = [requirement for requirement in required if "stages." not in requirement.text]
    read_statements(of_any, experiment, Setting(catalogue, has_stage_list=False), reporter, forecast)


def _library(place: Place, session: Session, catalogue: Catalogue, reporter: Reporter) -> None:
    del catalogue
    said = Reporter()
    session.spec(place, reporter=said)
    for diagnostic in said.diagnostics:
        if diagnostic.code != _NO_EXPERIMENT:
            reporter.add(diagnostic)


def _marker(place: Place, session: Session, catalogue: Catalogue, reporter: Reporter) -> None:
    """A marker is read with its place; the policies that it names are judged as such."""
    for policy in policies_of(place, session, reporter):
        _policy(policy, session, catalogue, reporter)
