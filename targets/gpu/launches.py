"""How a plan becomes launches of engines: an interpreter of the tables in `targets/launch/`.

Which field of a plan becomes which setting of an engine is data, so no name of a setting stands here.  What a setting
can be made of is a fixed set of a few steps, `_STEPS`; a table that needs another one is a table that says too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from compiler.diagnostics.annotations import Any, Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.catalogue import LoweredLaunch
from compiler.ir.conditions import holds
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import ConfigRecord, EnvironmentVariable, GpuPlacement, RoleLaunch
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.options import Options, given
from compiler.ir.paths import read
from compiler.ir.record import Record
from compiler.ir.sides import has_engine, placed_judges, trains

LaunchRole = Literal["rollout", "prefill", "decode", "trainer", "critic", "teacher", "router", "judge"]

_OF_STAGES = ("train", "rollout", "optim", "algo", "loss")
# Roles whose engine is the target's choice, and a field of their table.
_OWNED = {"router": "placement.router.port", "judge": "placement.judge.gpus"}
_ENGINE_KINDS = ("rollout", "prefill", "decode")


class EngineTables(NamedTuple):
    """What is known of an engine: how a plan is lowered to it, and how it takes its settings."""

    launch: Mapping[str, Any]
    argv: Mapping[str, Any]
    records: Mapping[str, Sequence[str]]
    extends: Mapping[str, str]
    version: str = ""


class Container(NamedTuple):
    """What the container of an engine is given, which differs by target."""

    shm_gib: float
    ipc: Literal["host", "private"]


class _Nothing:
    """What a record holds nothing in."""


_NOTHING = _Nothing()

_PLAIN = frozenset((str, int, float, bool, type(None)))


class _Made(NamedTuple):
    """A launch, and all that it was made of."""

    tables: EngineTables
    others: tuple[object, ...]
    own: Mapping[str, object]
    known: Mapping[str, tuple[object, tuple[str, ...]]]
    lowered: LoweredLaunch


def lower_launches(
    experiment: Experiment[Auto],
    tables_of: Callable[[str], EngineTables | None],
    container: Container,
    others: Mapping[str, str],
) -> tuple[LoweredLaunch, ...]:
    """Return how the processes of each role are started; stages that start them alike share one launch.

    Args:
        tables_of: what is known of an engine, by its name; None for one of another role or of nobody.
        others: the engines of roles that no stage names one for: router and judge.
    """
    found: list[LoweredLaunch] = []
    for index, stage in enumerate(experiment.stages):
        for role, facts in _roles(experiment, index, stage):
            engine = others.get(role, "") or facts.text(f"{_side(role)}.engine.name")
            tables = tables_of(engine)
            if tables is not None:
                _merge(found, _lowered(role, stage.name, engine, facts, tables, container))
    return tuple(found)


def _side(role: LaunchRole) -> str:
    return "rollout" if role in _ENGINE_KINDS else "train"


def _merge(found: list[LoweredLaunch], new: LoweredLaunch) -> None:
    for at, old in enumerate(found):
        if old.launch.replacing(stages=()) == new.launch.replacing(stages=()):
            launch = old.launch.replacing(stages=(*old.launch.stages, *new.launch.stages))
            inputs = {part: tuple(dict.fromkeys((*paths, *new.inputs[part]))) for part, paths in old.inputs.items()}
            found[at] = LoweredLaunch(launch, inputs)
            return
    found.append(new)


class _Facts:
    """The fields of a plan by the names that tables have for them, and which of them were asked for."""

    def __init__(
        self, experiment: Experiment[Auto], index: int, role: LaunchRole, moved: Mapping[str, str] | None = None
    ) -> None:
        self._experiment = experiment
        self._role = role
        self._stage = f"stages.{index}."
        self._moved = moved or {}
        self._known: dict[str, tuple[object, tuple[str, ...]]] = {}
        self.asked: list[str] = []

    def __call__(self, name: str) -> object:
        """Return a field, or None where the plan has none of that name or it is off."""
        value, paths = self.known(name)
        self.asked += paths
        return value

    def known(self, name: str) -> tuple[object, tuple[str, ...]]:
        """Return a field, and the paths that say it."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._of_launch(name) if name.startswith("launch.") else self._read(name)
        return known

    def all_known(self) -> Mapping[str, tuple[object, tuple[str, ...]]]:
        """Return all that was asked for."""
        return self._known

    def _read(self, name: str) -> tuple[object, tuple[str, ...]]:
        """A field, and the paths that say it; a table says nothing by itself."""
        path = self.path(name)
        try:
            value = read(self._experiment, path)
        except KeyError:
            return None, ()
        if isinstance(value, Auto):
            return None, ()
        return None if isinstance(value, Off) else value, () if isinstance(value, Record) else (path,)

    def text(self, name: str) -> str:
        """Return a field that is a text."""
        return str(self(name) or "")

    def path(self, name: str) -> str:
        """Return where in the plan a field is."""
        for start, elsewhere in self._moved.items():
            if name.startswith(start):
                return self._stage + elsewhere + name[len(start) :]
        return self._stage + name if name.partition(".")[0] in _OF_STAGES else name

    def agrees_with(self, known: Mapping[str, tuple[object, tuple[str, ...]]]) -> bool:
        """Whether all of these fields are the same here, by value and by path."""
        return all(_is_same(self.known(name), said) for name, said in known.items())

    def given(self, role: str, engine: str) -> Mapping[str, object]:
        """Return what the spec itself hands to an engine."""
        value = read(self._experiment, f"{self._stage}{role}.engine").__dict__.get(engine)
        return value.__dict__ if isinstance(value, Options) else {}

    def _judging(self) -> Stage[Auto]:
        return self._experiment.stages[int(self._stage.split(".")[1])]

    def _of_launch(self, name: str) -> tuple[object, tuple[str, ...]]:
        """What no field says by itself: the role, the GPUs of one engine of it, and over how many machines they are."""
        if name == "launch.judged_as":
            path, judge = next(iter(placed_judges(self._judging())))
            return judge.model, (f"{self._stage}{path}.model",)
        if name == "launch.role":
            pairs = "placement.disaggregation.prefill_engines"
            return self._role, (pairs,) if self._role in ("prefill", "decode") else ()
        table = {"prefill": "disaggregation.prefill_", "judge": "judge."}.get(self._role, "")
        each = f"placement.{table}gpus_per_engine"
        gpus = self._read(each)[0]
        if name == "launch.engine_gpus":
            return gpus, (each,)
        on_a_node = "cluster.gpus_per_node"
        named = gpus_per_node(self._read(on_a_node)[0])
        number = -(-gpus // named.count) if named is not None and isinstance(gpus, int) else 1
        return number, (on_a_node, each)


def _roles(experiment: Experiment[Auto], index: int, stage: Stage[Auto]) -> Iterator[tuple[LaunchRole, _Facts]]:
    """The roles of a stage that have a launch, each with the fields as it has them."""
    placement = experiment.placement
    if has_engine(stage) and isinstance(placement, GpuPlacement):
        is_pair = not isinstance(placement.disaggregation, Off)
        kinds: tuple[LaunchRole, ...] = ("prefill", "decode") if is_pair else ("rollout",)
        for kind in (*kinds, "router") if not isinstance(placement.router, Off) else kinds:
            yield kind, _Facts(experiment, index, kind)
        if not isinstance(placement.judge, Off) and any(True for _ in placed_judges(stage)):
            yield "judge", _Facts(experiment, index, "judge")
    yield "trainer", _Facts(experiment, index, "trainer")
    if trains(stage) and isinstance(stage.algorithm, ActorCriticParams):
        yield "critic", _Facts(experiment, index, "critic", {"optim.lr": "critic.lr"})
    if trains(stage) and isinstance(stage.algorithm, TaughtParams):
        yield "teacher", _Facts(experiment, index, "teacher", {"model.": "teacher."})


Lowering = Callable[[LaunchRole, str, str, _Facts, EngineTables, Container], LoweredLaunch]


def _remembering(lower: Lowering) -> Lowering:
    """Return the same, which takes the launch of the plan before where all that it was made of is alike.

    Plans of a sweep mostly start their engines alike; one launch is remembered for each role of an engine.
    """
    made: dict[tuple[str, str], _Made] = {}

    def lowered(
        role: LaunchRole, stage: str, engine: str, facts: _Facts, tables: EngineTables, container: Container
    ) -> LoweredLaunch:
        own = {} if role in _OWNED else facts.given(tables.launch["role"], engine)
        others = stage, container, facts.path("train")
        last = made.get((role, engine))
        if (
            last is not None
            and last.tables is tables
            and last.others == others
            and _is_same(last.own, own)
            and facts.agrees_with(last.known)
        ):
            return last.lowered
        found = lower(role, stage, engine, facts, tables, container)
        made[role, engine] = _Made(tables, others, own, facts.all_known(), found)
        return found

    return lowered


def _is_same(one: object, other: object) -> bool:
    """Whether two values are alike in what is written of them: 1, 1.0 and true are equal and not alike."""
    if one is other:
        return True
    if one.__class__ is not other.__class__:
        return False
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one == other if one.__class__ in _PLAIN else repr(one) == repr(other)


@_remembering
def _lowered(
    role: LaunchRole, stage: str, engine: str, facts: _Facts, tables: EngineTables, container: Container
) -> LoweredLaunch:
    # An engine that has another task than its own has a part of its table for that.
    table = {**tables.launch, **tables.launch.get(role, {})}
    kind, at = table["role"], _OWNED.get(role, "")
    own = {} if at else facts.given(kind, engine)
    inputs: dict[str, tuple[str, ...]] = {}

    def settings(rules: Mapping[str, Any], own: Mapping[str, object], part: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, alternatives in rules.items():
            facts.asked = []
            value = _decided(alternatives, facts, own.get(name), f"{kind}.engine.{engine}.{name}")
            inputs[f"{part}{name}"] = tuple(dict.fromkeys(facts.asked))
            if value is not None:
                found[name] = value
        for name in sorted(own.keys() - rules.keys()):
            inputs[f"{part}{name}"] = (facts.path(f"{kind}.engine.{engine}.{name}"),)
            found[name] = own[name]
        return found

    variables = settings(table["environment"], {}, "environment.")
    words: tuple[str, ...] = ()
    if "options" in table:
        values = settings(table["options"], own, "words.")
        words = (*table["program"], *_words(values, table.get("positional", ""), tables.argv))
    records: list[ConfigRecord] = []
    for name, rules in _records(role, facts, tables):
        held = {key: value for key, value in own.items() if key in _held(name, tables)}
        values = settings(rules, held, f"records.{len(records)}.values.")
        nothing = tuple(key for key, value in values.items() if value is _NOTHING)
        values = {key: value for key, value in values.items() if value is not _NOTHING}
        records.append(ConfigRecord(name=name, values=given(values), nothing=nothing))
    version = tables.version if at else facts(f"{kind}.engine.version")
    port = facts("placement.router.port") if role == "router" else None
    launch = RoleLaunch(
        role=role,
        stages=(stage,),
        engine=engine,
        version=version if isinstance(version, str) else OFF,
        words=words,
        follower_words=tuple(table.get("follower_words", ())) if words else (),
        environment=tuple(EnvironmentVariable(name=name, value=str(value)) for name, value in variables.items()),
        records=tuple(records),
        first_port=port if isinstance(port, int) else table["ports"]["first"],
        ports=table["ports"]["each"],
        cpus=table["cpus"]["each"],
        cpus_per_gpu=table["cpus"]["each_gpu"],
        shm_gib=container.shm_gib,
        ipc=container.ipc,
    )
    by = [] if at else [facts.path(f"{kind}.engine.{name}") for name in ("name", "version")]
    inputs["engine"] = (at,) if at else tuple(by)
    below = (path for part, paths in inputs.items() if part.startswith("words.") for path in paths)
    inputs["words"] = tuple(dict.fromkeys(below)) or inputs["engine"]
    return LoweredLaunch(launch, inputs)


def _decided(alternatives: Any, facts: _Facts, own: object, own_name: str) -> object:
    """What a setting is, or None where it is left to the engine."""
    for rule in alternatives if isinstance(alternatives, list) else (alternatives,):
        if _applies(rule.get("when", {}), facts):
            if own is not None and rule.get("yields", False):
                facts.asked = [facts.path(own_name)]
                return own
            names = rule.get("from", ())
            values = [facts(name) for name in ([names] if isinstance(names, str) else names)]
            value = rule["to"] if "to" in rule else _STEPS[rule.get("as", "value")](values, rule)
            if value is not None:
                return tuple(value) if isinstance(value, list) else value
    if own is not None:
        facts.asked = [facts.path(own_name)]
    return own


def _applies(when: Mapping[str, Any], facts: _Facts) -> bool:
    return not when or all(holds(facts(name), wanted) for name, wanted in when.items())


def _names(values: list[Any], rule: Mapping[str, Any]) -> object:
    return rule["names"].get(values[0])


def _round_up(values: list[Any], _: Mapping[str, Any]) -> object:
    number, unit = values
    return None if number is None or unit is None else -(-number // unit) * unit


def _layers(values: list[Any], _: Mapping[str, Any]) -> object:
    """Which layers have experts: none of the leading ones, all of the others."""
    dense, layers = values
    return None if dense is None or layers is None else (*[0] * min(dense, layers), *[1] * (layers - dense))


def _groups(values: list[Any], _: Mapping[str, Any]) -> object:
    """So many groups, the GPUs of each, and further axes."""
    if None in values:
        return None
    groups, gpus, *further = values
    return (groups, gpus // groups, *further)


_STEPS: dict[str, Callable[[list[Any], Mapping[str, Any]], object]] = {
    "value": lambda values, _: values[0],
    "not": lambda values, _: None if values[0] is None else not values[0],
    "names": _names,
    "round_up": _round_up,
    "layers": _layers,
    "list": lambda values, _: None if None in values else tuple(values),
    "groups": _groups,
    "nothing": lambda values, _: _NOTHING,
}
STEPS = tuple(_STEPS)


def _words(values: Mapping[str, object], positional: str, argv: Mapping[str, Any]) -> Iterator[str]:
    """The words of a command line; a switch that is off and cannot be turned off is off anyway."""
    negatable, renamed = argv.get("negatable", ()), argv.get("renamed", {})
    for name, value in values.items():
        word = renamed.get(name, f"--{name.replace('_', '-')}")
        if name == positional:
            yield str(value)
        elif value is True:
            yield word
        elif value is False:
            if negatable == "all" or name in negatable:
                yield f"--no-{word.removeprefix('--')}"
        elif isinstance(value, tuple):
            yield from (word, *map(str, value))
        else:
            yield f"{word}={value}"


def _records(role: str, facts: _Facts, tables: EngineTables) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records of a role with their rules: where what extends another applies, it takes the other's place."""
    all_rules: Mapping[str, Any] = tables.launch.get("records", {})
    replaced = {
        base: name for name, base in tables.extends.items() if _applies(tables.launch["extended_when"][name], facts)
    }
    applies = tables.launch.get("applies", {})
    left_out = tables.launch["of_trained"] if role == "teacher" else ()
    for name, rules in all_rules.items():
        if name in replaced:
            yield replaced[name], {**rules, **all_rules[replaced[name]]}
        elif name not in tables.extends and name not in left_out and _applies(applies.get(name, {}), facts):
            yield name, rules


def _held(name: str, tables: EngineTables) -> Sequence[str]:
    """What a record holds that a spec may set."""
    base = tables.extends.get(name)
    return (*tables.records.get(name, ()), *(tables.records[base] if base else ()))
