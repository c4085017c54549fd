"""The whole of a merged Value becomes an Experiment: shared tables, stages, and a list of what nothing read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile
from compiler.frontend.loader import Loaded
from compiler.frontend.value import Entry, Leaf, List, Table, node_at
from compiler.ir.catalogue import AlgorithmEntry, Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.provenance import Origin, Provenance
from compiler.ir.record import Record
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.subject import Subject
from compiler.ir.training import PolicyTrain, Train
from compiler.lowering.checkpoint_facts import with_checkpoint_facts
from compiler.lowering.custom_code import bind_reward
from compiler.lowering.overlay import overlaid
from compiler.lowering.reader import Reader, key_id, origin_of
from compiler.lowering.unread import find_unread
from compiler.lowering.until import read_until

SHARED = ("rlc", "name", "model", "cluster", "placement", "run", "log")


Lost = list[tuple[Entry, Entry]]


class Lowered(NamedTuple):
    """An experiment as written, and the fields that stand-ins had to fill."""

    subject: Subject
    broken: frozenset[str]


class StageTable(NamedTuple):
    """One stage: the tables that it sets itself, and the same laid over the shared ones."""

    own: Table | None
    whole: Table
    name: str


def lower(loaded: Loaded, catalogue: Catalogue, reporter: Reporter) -> Lowered | None:
    """Return the experiment that a Value means, or None where so much is missing that nothing else can be said."""
    origins = Provenance()
    reader = Reader(reporter, origins, _path_resolver(loaded))
    root = with_checkpoint_facts(loaded.value, reader, loaded.root)
    target_is_known = _check_target(root, catalogue, reporter)
    lost: Lost = []
    tables = _stage_tables(root, reader, lost)
    stages: list[Record] = []
    for index, table in enumerate(tables):
        entry = _algorithm(table, catalogue, reporter)
        if entry is not None:
            stages.append(_stage(reader, table, f"stages.{index}", entry))
    shared = Table({k: e for k, e in root.entries.items() if k in SHARED}, root.span, root.priority)
    experiment = reader.record(Experiment, shared, "", {"stages": None})
    if len(stages) != len(tables) or not target_is_known or not isinstance(experiment, Experiment):
        return None
    experiment = experiment.replacing(stages=tuple(s for s in stages if isinstance(s, Stage)))
    _weights_follow_hf(experiment, reader)
    experiment = _follow_weights(experiment, origins)
    experiment = bind_reward(experiment, reader, catalogue, loaded.root)
    for loser, winner in lost:
        if key_id(winner.key_span) in reader.read:
            _consume_all(reader, loser)
    has_list = "stages" in root.entries
    unread = find_unread(root, [t.own for t in tables if t.own is not None], reader, catalogue)
    subject = Subject(experiment, origins, catalogue, unread, tuple(reader.written), has_list)
    return Lowered(subject, frozenset(reader.broken))


def stage_choice(entry: AlgorithmEntry, *, evaluates: bool) -> dict[str, type[Record] | None]:
    """Return which record each table of a stage is read into, given what its algorithm does."""
    if entry.kind == "policy":
        return {"algorithm": entry.params, "rollout": Rollout, "reward": Reward, "train": PolicyTrain}
    sampled = Generation if evaluates else None
    return {"algorithm": entry.params, "rollout": sampled, "reward": Reward if evaluates else None, "train": Train}


def _stage(reader: Reader, table: StageTable, path: str, entry: AlgorithmEntry) -> Record:
    evaluates = isinstance(table.whole.get("eval"), Table)
    choice = stage_choice(entry, evaluates=evaluates)
    until = table.whole.entries.get("until")
    entries = {k: e for k, e in table.whole.entries.items() if k not in (*SHARED, "until") or k in ("name", "run")}
    stage = reader.record(Stage, Table(entries, table.whole.span, table.whole.priority), path, choice)
    if until is not None and isinstance(stage, Stage):
        reader.consume(until)
        reader.origins.record(f"{path}.until", origin_of(until))
        parsed = read_until(until.node, stage, reader, f"{path}.until")
        if not isinstance(parsed, type(OFF)):
            for name in type(parsed).fields():
                reader.origins.record(f"{path}.until.{name}", origin_of(until))
        stage = stage.replacing(until=parsed)
    return stage


def _stage_tables(root: Table, reader: Reader, lost: Lost) -> list[StageTable]:
    shared = Table({k: e for k, e in root.entries.items() if k not in ("stages", "name")}, root.span, root.priority)
    listed = root.entries.get("stages")
    if listed is None:
        return [StageTable(None, shared, "main")]
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
    if isinstance(entry.node, Table):
        for inner in entry.node.entries.values():
            _consume_all(reader, inner)


def _report_twice(reader: Reader, first: Entry, second: Entry, index: int, name: str) -> None:
    labels = (Label(first.node.span, "the first"), Label(second.node.span, "the same name again", True))
    reader.report(f"stages.{index}.name", Diagnostic("RLC0211", f"two stages are called {name}", labels))


def _algorithm(table: StageTable, catalogue: Catalogue, reporter: Reporter) -> AlgorithmEntry | None:
    node = node_at(table.whole, "algo", "name")
    known = ", ".join(catalogue.algorithms)
    if node is None:
        span = (table.own or table.whole).span
        helps = (Help('write use = ["//recipes:grpo"]'), Help(f"or [algo] name = one of {known}"))
        labels = (Label(span, "no algorithm", True),) if span.file.text else ()
        reporter.add(Diagnostic("RLC0205", "algo.name is required", labels, helps, paths=("algo.name",)))
        return None
    if isinstance(node, Leaf) and isinstance(node.value, str) and node.value in catalogue.algorithms:
        return catalogue.load_algorithm(node.value)
    wanted = node.value if isinstance(node, Leaf) else ""
    near = nearest_names(str(wanted), catalogue.algorithms)
    helps = tuple(Help(f'did you mean "{n}"?') for n in near) or (Help(f"there are: {known}"),)
    label = Label(node.span, "not an algorithm of stdlib/algorithms", True)
    reporter.add(Diagnostic("RLC0206", "algo.name names no algorithm", (label,), helps, paths=("algo.name",)))
    return None


def _check_target(root: Table, catalogue: Catalogue, reporter: Reporter) -> bool:
    node = node_at(root, "cluster", "target")
    if node is None:
        return _no_target(root, catalogue, reporter)
    if isinstance(node, Leaf) and isinstance(node.value, str) and node.value in catalogue.targets:
        return True
    wanted = str(node.value) if isinstance(node, Leaf) else ""
    near = nearest_names(wanted, catalogue.targets) or catalogue.targets
    label = Label(node.span, "not a folder of targets/", True)
    helps = tuple(Help(f'set cluster.target = "{n}"') for n in near)
    reporter.add(Diagnostic("RLC0206", "cluster.target names no target", (label,), helps, paths=("cluster.target",)))
    return False


def _no_target(root: Table, catalogue: Catalogue, reporter: Reporter) -> bool:
    cluster = root.get("cluster")
    span = root.span if cluster is None else cluster.span
    helps = tuple(Help(f'write [cluster] target = "{n}"') for n in catalogue.targets)
    labels = (Label(span, "no target: the machine is always named, never guessed", True),) if span.file.text else ()
    reporter.add(Diagnostic("RLC0205", "cluster.target is required", labels, helps, paths=("cluster.target",)))
    return False


def _weights_follow_hf(experiment: Experiment[Auto], reader: Reader) -> None:
    model = experiment.model
    if model.weights is AUTO and model.hf is OFF:
        fault = Diagnostic(
            "RLC0205",
            "model.weights is required",
            reader_labels(reader, "model.name", "these are facts; where are the weights?"),
            (Help('set model.weights = "random"'), Help('or set model.weights = "PATH" of a Hugging Face directory')),
        )
        reader.report("model.weights", fault)


def reader_labels(reader: Reader, path: str, text: str) -> tuple[Label, ...]:
    """Return a label for a field if it is written somewhere."""
    origin = reader.origins.get(path)
    return (Label(origin.span, text, True),) if origin is not None and origin.span is not None else ()


def _follow_weights(experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto]:
    model = experiment.model
    if model.weights is AUTO and model.hf is not OFF:
        origins.record("model.weights", Origin("derived", by="lower", inputs=("model.hf",)))
        return experiment.replacing(model=model.replacing(weights=model.hf))
    return experiment


def _path_resolver(loaded: Loaded) -> Callable[[Leaf], str | Diagnostic]:
    """Return what turns a path of a spec into one relative to the experiment's root."""

    def resolve(leaf: Leaf) -> str | Diagnostic:
        text = str(leaf.value)
        if not text or "\0" in text:
            return Diagnostic("RLC0011", "the path is empty", (Label(leaf.span, "no path", True),))
        source: SourceFile = leaf.span.file
        joined = posixpath.normpath(posixpath.join(loaded.folder_of(source).as_posix(), text))
        root = posixpath.normpath(loaded.root.as_posix())
        relative = posixpath.relpath(joined, root) if Path(joined).is_absolute() else joined
        if relative == ".." or relative.startswith("../"):
            label = Label(leaf.span, "leads out of it", True)
            helps = (Help("move it below, or put an rlc.toml into a folder above both: that is then the root"),)
            return Diagnostic("RLC0011", "a path may not leave the experiment's root", (label,), helps)
        return relative

    return resolve
