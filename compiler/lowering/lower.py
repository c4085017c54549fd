"""The whole of a merged Value becomes an Experiment: shared tables, stages, and a list of what nothing read."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.loader import Loaded
from compiler.frontend.value import Entry, Leaf, List, Table, node_at
from compiler.ir.catalogue import AlgorithmEntry, Catalogue
from compiler.ir.data import (
    Data,
    DemonstrationData,
    PairEval,
    PreferenceData,
    PreferenceEval,
    RankedData,
    ScoredData,
    ScoredEval,
)
from compiler.ir.debug import Debug
from compiler.ir.experiment import IMPLICIT_STAGE, Experiment, Stage
from compiler.ir.machine import Cluster, GpuPlacement, Parallel, Placement
from compiler.ir.model import Model
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.provenance import Origin, Provenance
from compiler.ir.record import Record
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.subject import Subject, toml_literal
from compiler.ir.timeouts import Timeouts
from compiler.ir.training import PolicyTrain, Train
from compiler.lowering.bind_algorithm import bind_algorithm
from compiler.lowering.bind_data import bind_data
from compiler.lowering.bind_environment import bind_environment
from compiler.lowering.bind_reward import bind_reward
from compiler.lowering.bind_rollout import bind_rollout
from compiler.lowering.checkpoint_facts import FACTS, with_checkpoint_facts
from compiler.lowering.code_reference import Code, CodeRoots
from compiler.lowering.engine_options import EngineOptions
from compiler.lowering.model_library import check_overrides
from compiler.lowering.names import check_names
from compiler.lowering.overlay import overlaid
from compiler.lowering.path_resolver import path_resolver
from compiler.lowering.reader import Reader, has_misspelt, key_id, origin_of
from compiler.lowering.teacher import expect_teacher, with_teacher_weights
from compiler.lowering.unread import find_unread, misspelt_fields
from compiler.lowering.until import read_until

if TYPE_CHECKING:
    from compiler.lowering.references import Reference

SHARED = ("rlc", "name", "model", "cluster", "placement", "parallel", "timeouts", "run", "log", "launch", "allow")


Lost = list[tuple[Entry, Entry]]


class Lowered(NamedTuple):
    """An experiment as written, the fields that stand-ins had to fill, and those whose values are references."""

    subject: Subject
    broken: frozenset[str]
    references: tuple[Reference, ...] = ()


class StageTable(NamedTuple):
    """One stage: the tables that it sets itself, and the same laid over the shared ones."""

    own: Table | None
    whole: Table
    name: str


def lower(loaded: Loaded, catalogue: Catalogue, reporter: Reporter) -> Lowered:
    """Return the experiment that a Value means.

    It has no stages where one of them names no algorithm: what the others would say depends on their place.
    """
    origins = Provenance()
    reader = Reader(reporter, origins, path_resolver(loaded))
    folder = posixpath.join(
        posixpath.dirname(loaded.name), os.path.relpath(loaded.root, loaded.folders[loaded.sources[0]])
    )
    check_overrides(loaded.value, reader)
    root = with_checkpoint_facts(loaded.value, reader, loaded.root, folder=folder)
    if "teacher" in root.entries:
        root = with_checkpoint_facts(root, reader, loaded.root, folder=folder, of="teacher")
    _check_target(root, catalogue, reader)
    if "cluster.target" in reader.broken:  # which of these keys are read follows from it
        for name in root.entries.keys() & {"placement", "parallel", "timeouts"}:
            reader.pass_over(root.entries[name].node)
    _check_model(root, reader)
    lost: Lost = []
    tables = _stage_tables(root, reader, lost)
    if "stages" in root.entries:
        reader.stage_names = tuple(table.name for table in tables)
    stages: list[Record] = []
    for index, table in enumerate(tables):
        if table.own is not None:
            reader.enter_stage(table.own)
        entry = _algorithm(table, f"stages.{index}", catalogue, reader)
        if entry is not None:
            stages.append(_stage(reader, table, f"stages.{index}", entry))
    shared = Table({k: e for k, e in root.entries.items() if k in SHARED}, root.span, root.priority)
    experiment = reader.record(Experiment, shared, "", {"stages": None, **_machine_choice(root, catalogue)})
    if not isinstance(experiment, Experiment):
        raise InternalError("lower: the root of the schema is an Experiment")
    has_all_stages = len(stages) == len(tables) > 0
    known_stages = tuple(s for s in stages if isinstance(s, Stage)) if has_all_stages else ()
    experiment = experiment.replacing(stages=known_stages)
    if "cluster.target" in reader.broken:
        cluster = experiment.cluster.replacing(target=catalogue.targets[0])
        experiment = experiment.replacing(cluster=cluster)
    _weights_follow_hf(experiment, reader)
    experiment = _follow_weights(experiment, origins)
    target = None if "cluster.target" in reader.broken else catalogue.load_target(experiment.cluster.target)
    options = EngineOptions(reader, catalogue, target)
    with_options = (options.stage(s, tables[i].whole, f"stages.{i}") for i, s in enumerate(experiment.stages))
    experiment = experiment.replacing(stages=tuple(with_options))
    check_names(experiment, reader)
    code_roots = CodeRoots(Code(loaded.root, folder), loaded.roots)
    experiment = bind_reward(experiment, reader, catalogue, code_roots)
    experiment = bind_rollout(experiment, reader, catalogue, code_roots)
    experiment = bind_environment(experiment, reader, catalogue, code_roots)
    experiment = bind_algorithm(experiment, reader, code_roots)
    experiment = bind_data(experiment, reader, code_roots)
    for loser, winner in lost:
        if key_id(winner.key_span) in reader.read:
            _consume_all(reader, loser)
    has_list = "stages" in root.entries
    found = find_unread(root, [t.own for t in tables if t.own is not None], reader, catalogue)
    reader.broken |= misspelt_fields(found, origins) if found else set()
    # Without its algorithm nobody knows what a stage would have read.
    unread = tuple(
        key
        for key in found
        if key_id(key.key) not in reader.unreadable and (has_all_stages or key.why in ("unknown", "derived"))
    )
    written = tuple(w for w in reader.written if has_all_stages or not w.path.startswith("stages."))
    shared = _shared(reader, origins) if has_list else frozenset()
    subject = Subject(experiment, origins, catalogue, unread, written, has_list, shared)
    references = tuple(r for r in reader.references if known_stages or not r.path.startswith("stages."))
    return Lowered(subject, frozenset(reader.broken), references)


def _shared(reader: Reader, origins: Provenance) -> frozenset[str]:
    """The fields of stages whose values stand outside of the stage's own table."""
    return frozenset(
        path
        for path, origin in origins.items()
        if path.startswith("stages.") and origin.key is not None and key_id(origin.key) not in reader.own
    )


def _machine_choice(root: Table, catalogue: Catalogue) -> dict[str, type[Record] | None]:
    """Return which record each table about devices is read into: a machine without GPUs has nothing to spread."""
    node = node_at(root, "cluster", "target")
    named = node.value if isinstance(node, Leaf) else None
    has_gpus = isinstance(named, str) and named in catalogue.targets and bool(catalogue.load_target(named).vendor)
    if has_gpus:
        return {"placement": GpuPlacement, "parallel": Parallel, "timeouts": Timeouts}
    return {"placement": Placement, "parallel": None, "timeouts": None}


def stage_choice(entry: AlgorithmEntry, table: Table) -> dict[str, type[Record] | None]:
    """Return which record each table of a stage is read into, given what its algorithm does and what it is told."""
    found: dict[str, type[Record] | None] = {"algorithm": entry.params, "data": Data, "debug": None}
    measured = table.get("eval")
    samples = isinstance(measured, Table)
    if entry.kind in ("policy", "distillation"):
        judges = entry.kind == "policy" or samples or isinstance(table.get("reward"), Table)
        return {**found, "rollout": Rollout, "reward": Reward if judges else None, "train": PolicyTrain, "debug": Debug}
    evaluation: type[Record] | None = None
    if entry.kind == "preference":
        samples = isinstance(measured, Table) and "sets" in measured.entries
        found["data"], evaluation = PreferenceData, PreferenceEval if samples else PairEval
    elif entry.kind == "reward":
        samples, kind = False, node_at(table, "loss", "kind")
        learns_scores = isinstance(kind, Leaf) and kind.value == "regression"
        found["data"], evaluation = (ScoredData, ScoredEval) if learns_scores else (RankedData, PairEval)
    else:
        found["data"] = DemonstrationData
    if evaluation is not None and isinstance(measured, Table):
        found["eval"] = evaluation
    if not samples:
        found["environment"] = None
    return {**found, "rollout": Generation if samples else None, "reward": Reward if samples else None, "train": Train}


def _stage(reader: Reader, table: StageTable, path: str, entry: AlgorithmEntry) -> Record:
    choice = stage_choice(entry, table.whole)
    if "teacher" in entry.params.fields():
        expect_teacher(table.whole, reader, path)
    sets = node_at(table.whole, "eval", "sets")
    if sets is not None and entry.kind != "policy":
        tables = ("reward",) if entry.kind == "distillation" else ("reward", "rollout")
        reader.needed.update((f"{path}.{name}.", Label(sets.span, "measuring these needs it", True)) for name in tables)
    until = table.whole.entries.get("until")
    entries = {k: e for k, e in table.whole.entries.items() if k not in (*SHARED, "until") or k in ("name", "run")}
    stage = reader.record(Stage, Table(entries, table.whole.span, table.whole.priority), path, choice)
    if f"{path}.eval" in reader.broken:
        stage = stage.replacing(eval=OFF)
        reader.broken.add(f"{path}.until")
    if until is not None and f"{path}.until" in reader.broken:
        reader.consume(until)
    elif until is not None and isinstance(stage, Stage):
        reader.consume(until)
        reader.origins.record(f"{path}.until", origin_of(until))
        parsed = read_until(until.node, stage, reader, f"{path}.until")
        if not isinstance(parsed, type(OFF)):
            for name in type(parsed).fields():
                reader.origins.record(f"{path}.until.{name}", origin_of(until))
        stage = stage.replacing(until=parsed)
    return with_teacher_weights(stage, reader, path)


def _stage_tables(root: Table, reader: Reader, lost: Lost) -> list[StageTable]:
    of_stages = {k: e for k, e in root.entries.items() if k not in ("stages", *SHARED) or k == "run"}
    shared = Table(of_stages, root.span, root.priority)
    listed = root.entries.get("stages")
    if listed is None:
        return [StageTable(None, shared, IMPLICIT_STAGE)]
    reader.consume(listed)
    items = listed.node.items if isinstance(listed.node, List) else ()
    tables = [item for item in items if isinstance(item, Table)]
    if not tables or len(tables) != len(items):
        reader.report(
            "stages",
            Diagnostic(
                "RLC0203",
                "stages is a list of tables",
                (Label(listed.node.span, "write [[stages]] for each", True),),
            ),
        )
        reader.pass_over(listed.node)
        return []
    named: list[StageTable] = []
    seen: dict[str, Entry] = {}
    for index, own in enumerate(tables):
        entry = own.entries.get("name")
        name = entry.node.value if entry and isinstance(entry.node, Leaf) else f"stage{index}"
        if entry is None:
            fault = Diagnostic(
                "RLC0205",
                "every stage has a name",
                (Label(own.span, "no name", True),),
                (Help('write name = "sft"; metrics and checkpoints are called by it'),),
            )
            reader.report(f"stages.{index}.name", fault)
        elif isinstance(name, str) and name in seen:
            _report_twice(reader, seen[name], entry, index, name)
        elif isinstance(name, str):
            seen[name] = entry
        named.append(StageTable(own, overlaid(shared, own, lost), str(name)))
    return named


def _consume_all(reader: Reader, entry: Entry) -> None:
    """A key that lost to a stronger one was not ignored: its field is read."""
    reader.consume(entry)
    for table in entry.node.items if isinstance(entry.node, List) else (entry.node,):
        if isinstance(table, Table):
            for inner in table.entries.values():
                _consume_all(reader, inner)


def _report_twice(reader: Reader, first: Entry, second: Entry, index: int, name: str) -> None:
    labels = (Label(first.node.span, "the first"), Label(second.node.span, "the same name again", True))
    helps = (Help(f'give it a name of its own, such as "{name}_{index + 1}"'),)
    reader.report(f"stages.{index}.name", Diagnostic("RLC0211", f"two stages are called {name}", labels, helps))


def _algorithm(table: StageTable, path: str, catalogue: Catalogue, reader: Reader) -> AlgorithmEntry | None:
    node = node_at(table.whole, "algo", "name")
    known = ", ".join(catalogue.algorithms)
    algo = table.whole.get("algo")
    if algo is not None and not isinstance(algo, Table):
        label = Label(algo.span, "this is no table", True)
        helps = (Help(f"write [algo] name = one of {known}"),)
        if isinstance(algo, Leaf) and algo.value in catalogue.algorithms:
            literal = f"{{ name = {toml_literal(algo.value)} }}"
            helps = (Help(f"write {literal}", ((reader.shown(f"{path}.algo", algo.span), literal),)),)
        reader.report(f"{path}.algo.name", Diagnostic("RLC0203", "algo takes a table", (label,), helps))
        return None
    if node is None:
        span = (table.own or table.whole).span
        where = "nothing here names an algorithm" if table.own is None else "this stage names no algorithm"
        helps = (Help('write use = ["//recipes:grpo"]'), Help(f"or [algo] name = one of {known}"))
        labels = (Label(span, where, True),) if span.file.text else ()
        shown = reader.shown(f"{path}.algo.name", span)
        reader.report(f"{path}.algo.name", Diagnostic("RLC0205", f"{shown} is required", labels, helps))
        return None
    if isinstance(node, Leaf) and isinstance(node.value, str) and node.value in catalogue.algorithms:
        return catalogue.load_algorithm(node.value)
    wanted = node.value if isinstance(node, Leaf) else ""
    near = nearest_names(str(wanted), catalogue.algorithms)
    shown = reader.shown(f"{path}.algo.name", node.span)
    helps = tuple(_meant(n, shown, near) for n in near) or (Help(f"there are: {known}"),)
    label = Label(node.span, "no algorithm has this name", True)
    reader.report(f"{path}.algo.name", Diagnostic("RLC0206", f"{shown} names no algorithm", (label,), helps))
    return None


def _meant(name: str, path: str, near: Sequence[str]) -> Help:
    """A name that was probably meant; a tool may write it if there is no other."""
    literal = toml_literal(name)
    return Help(f"did you mean {literal}?", ((path, literal),) if len(near) == 1 else ())


def _check_target(root: Table, catalogue: Catalogue, reader: Reader) -> None:
    node = node_at(root, "cluster", "target")
    if node is None:
        _no_target(root, catalogue, reader)
    elif not isinstance(node, Leaf) or not isinstance(node.value, str) or node.value not in catalogue.targets:
        wanted = str(node.value) if isinstance(node, Leaf) else ""
        near = nearest_names(wanted, catalogue.targets)
        label = Label(node.span, "no target has this name", True)
        helps = tuple(_naming_target(n, catalogue, is_meant=bool(near)) for n in near or _offered(catalogue))
        reader.report("cluster.target", Diagnostic("RLC0206", "cluster.target names no target", (label,), helps))


def _no_target(root: Table, catalogue: Catalogue, reader: Reader) -> None:
    cluster = root.get("cluster")
    is_said = cluster is not None and not isinstance(cluster, Table)  # what stands there instead, as the table is read
    if is_said or (isinstance(cluster, Table) and has_misspelt(cluster, "target", Cluster.fields())):
        reader.broken.add("cluster.target")
        return
    span = root.span if cluster is None else cluster.span
    helps = tuple(_naming_target(n, catalogue, is_meant=False) for n in _offered(catalogue))
    labels = (Label(span, "no target: the machine is always named, never guessed", True),) if span.file.text else ()
    reader.report("cluster.target", Diagnostic("RLC0205", "cluster.target is required", labels, helps))


def _offered(catalogue: Catalogue) -> list[str]:
    """What somebody who names no target may want: of clusters only those with GPUs."""
    return [name for name in catalogue.targets if catalogue.load_target(name).vendor != "cpu"]


def _naming_target(name: str, catalogue: Catalogue, *, is_meant: bool) -> Help:
    """A machine is named, never guessed: no tool fills in more than what a misspelt name meant."""
    if not catalogue.load_target(name).vendor:
        return _setting("cluster.target", name) if is_meant else Help(f'write cluster.target = "{name}"')
    return Help(f'or cluster.target = "{name}", with cluster.gpus_per_node = "8xNAME"; rlc hardware lists the names')


def _check_model(root: Table, reader: Reader) -> None:
    """Report once that there is no model, instead of each fact that it would have brought."""
    model = root.get("model")
    if isinstance(model, Table) and any(name in model.entries for name in (*FACTS, "hf")):
        return
    if model is not None and not isinstance(model, Table):
        reader.broken.update(f"model.{name}" for name in Model.fields())
        return
    span = root.span if model is None else model.span
    labels = (Label(span, "no model", True),) if span.file.text else ()
    helps = (
        Help('write [model] name = "//models:NAME", a model of the standard library'),
        Help('or [model] hf = "PATH", a Hugging Face model directory'),
    )
    reader.report("model.name", Diagnostic("RLC0205", "model.name or model.hf is required", labels, helps))
    reader.broken.update(f"model.{name}" for name in Model.fields())


def _setting(path: str, value: str) -> Help:
    literal = toml_literal(value)
    return Help(f"set {path} = {literal}", ((path, literal),))


def _weights_follow_hf(experiment: Experiment[Auto], reader: Reader) -> None:
    model = experiment.model
    if "model.hf" in reader.broken:
        reader.broken.add("model.weights")  # it would have said where the weights are
    if model.weights is AUTO and model.hf is OFF and "model.weights" not in reader.broken:
        fault = Diagnostic(
            "RLC0205",
            "model.weights is required",
            _weights_labels(reader),
            (_setting("model.weights", "random"), Help('or model.weights = "PATH" of a Hugging Face directory')),
        )
        reader.report("model.weights", fault)


def _weights_labels(reader: Reader) -> tuple[Label, ...]:
    for path in ("model.name", "model.family"):
        origin = reader.origins.get(path)
        if origin is not None and origin.span is not None:
            return (Label(origin.span, "these are facts; where are the weights?", True),)
    return ()


def _follow_weights(experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto]:
    model = experiment.model
    if model.weights is AUTO and model.hf is not OFF:
        origins.record("model.weights", Origin("derived", by="lower", inputs=("model.hf",)))
        return experiment.replacing(model=model.replacing(weights=model.hf))
    return experiment
