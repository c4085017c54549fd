"""What differs between two plans, grouped by the written sources that it follows from.

Fields are paired by name, not by index: stages, actors, variables and evaluation sets keep their identity when others
come before them.  From a changed field the origins of both sides lead back, through the inputs of what was derived, to
values that somebody wrote; those are the causes.  A saved plan has no origins: its side then contributes values only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from compiler.ir.provenance import Origin
from compiler.ir.record import Record
from compiler.ir.sourced_plan import SourcedPlan

# In a supervised stage nothing is sampled or judged unless the stage is evaluated; code belongs to a reward's name.
_PRESENT_BY = {
    "rollout": ("algo.name", "eval"),
    "rollout.filter.code": ("rollout.filter.name",),
    "rollout.buffer.code": ("rollout.buffer.selector",),
    "algo.code": ("algo.advantages",),
    "loss.code": ("loss.reducer",),
    "loss.mismatch.code": ("loss.mismatch.function",),
    "environment": ("algo.name", "eval"),
    "environment.code": ("environment.name",),
    "environment.drives": ("environment.name",),
    "environment.tools.code": ("environment.tools.name",),
    "reward": ("algo.name", "eval"),
    "reward.code": ("reward.name",),
}
_STAGES = "stages."


class Absent:
    """The value of a field that a side does not have."""

    def __repr__(self) -> str:
        return "absent"


class Change(NamedTuple):
    """One field that differs.  `key` pairs the sides; `old` and `new` are values, or Absent."""

    key: str
    old: object
    new: object
    old_origin: Origin | None
    new_origin: Origin | None
    in_hash: bool

    @property
    def is_one_sided(self) -> bool:
        """Whether only one plan has the field."""
        return isinstance(self.old, Absent) or isinstance(self.new, Absent)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The origins that are known."""
        return tuple(origin for origin in (self.old_origin, self.new_origin) if origin is not None)


class Cause(NamedTuple):
    """Changes at one source, and what follows from them.

    `kind` is `written` (a value in a file or on the command line), `recipes` (others are used), `table` (one that only
    one side has), `stage` (likewise), `order` (of the stages) or `unknown` (no origin leads any further).
    """

    kind: str
    key: str
    changes: tuple[Change, ...]
    follows: tuple[Follower, ...]


class Follower(NamedTuple):
    """A change that follows from a cause; `others` are keys at the further causes that it follows from as well."""

    change: Change
    others: tuple[str, ...]


def find_causes(old: SourcedPlan, new: SourcedPlan) -> tuple[Cause, ...]:
    """Return the causes of all differences between two experiments, in the order of the new one's fields."""
    return _Comparison(old, new).causes()


class _Leaf(NamedTuple):
    path: str
    value: object
    in_hash: bool


_Root = tuple[object, ...]


class _Comparison:
    def __init__(self, old: SourcedPlan, new: SourcedPlan) -> None:
        self.old, self.new = old, new
        stages = new.plan.experiment.stages
        # Where both have one stage it is the same one, whatever it is called.
        only_stage = stages[0].name if len(old.plan.experiment.stages) == len(stages) == 1 else ""
        self.old_leaves = dict(_walk(old.plan.experiment, "", "", in_hash=True, only_stage=only_stage))
        self.new_leaves = dict(_walk(new.plan.experiment, "", "", in_hash=True, only_stage=only_stage))
        self.keys_of = {
            **{("new", leaf.path): key for key, leaf in self.new_leaves.items()},
            **{("old", leaf.path): key for key, leaf in self.old_leaves.items()},
        }
        self.changed = {change.key: change for change in self.changes()}
        self.known_roots: dict[str, tuple[_Root, ...]] = {}

    def changes(self) -> Iterator[Change]:
        absent = _Leaf("", Absent(), True)
        for key in dict.fromkeys((*self.new_leaves, *self.old_leaves)):
            before, after = self.old_leaves.get(key, absent), self.new_leaves.get(key, absent)
            if type(before.value) is type(after.value) and before.value == after.value:
                continue
            origins = self.old.origin(before.path), self.new.origin(after.path)
            yield Change(key, before.value, after.value, *origins, before.in_hash and after.in_hash)

    def causes(self) -> tuple[Cause, ...]:
        own: dict[_Root, list[Change]] = {}
        follows: dict[_Root, list[Change]] = {}
        for key, change in self.changed.items():
            first = self.roots(key)[0]
            own.setdefault(first, [])
            (own if self.is_source(change, first) else follows).setdefault(first, []).append(change)
        names = {root: changes[0].key if changes else str(root[1]) for root, changes in own.items()}
        found = []
        for root, changes in own.items():
            led_to = (
                Follower(change, tuple(names.get(other, "") for other in self.roots(change.key)[1:]))
                for change in follows.get(root, ())
            )
            found.append(Cause(str(root[0]), str(root[1]), tuple(changes), tuple(led_to)))
        return tuple(sorted(found, key=lambda cause: cause.kind == "unknown"))

    def is_source(self, change: Change, root: _Root) -> bool:
        if root[0] == "written":
            return root == _written(change)
        if root[0] == "recipes":
            return any(origin.span is not None for origin in change.origins)
        return root[0] in ("unknown", "stage") or change.key == root[1]

    def roots(self, key: str) -> tuple[_Root, ...]:
        if key not in self.known_roots:
            self.known_roots[key] = (("unknown", ""),)  # an answer to a question that comes back to itself
            found = dict.fromkeys(self.find_roots(self.changed[key]))
            known = [root for root in found if root[0] != "unknown"]
            self.known_roots[key] = tuple(known) or (("unknown", ""),)
        return self.known_roots[key]

    def find_roots(self, change: Change) -> Iterator[_Root]:
        stage = _stage_of(change.key)
        if stage and not self.have_both(stage):
            yield "stage", stage
            return
        if change.is_one_sided:
            yield from self.roots_of_presence(change, stage)
        elif any(origin.span is not None and not origin.inputs for origin in change.origins):
            yield from self.roots_of_written(change, stage)
        else:
            yield from self.roots_of_derived(change, stage)

    def roots_of_presence(self, change: Change, stage: str) -> Iterator[_Root]:
        """Why only one plan has a field: its table, its algorithm, or what is written beside it."""
        table = self.table_switched(change)
        if table:
            present_by = _PRESENT_BY.get(table.removeprefix(f"{stage}."), ())
            led_to = [key for name in present_by for key in self.changed_at(f"{stage}.{name}")]
            yield from self.roots(led_to[0]) if led_to else (("table", table),)
            return
        if any(origin.is_written for origin in change.origins):
            yield from self.roots_of_written(change, stage)
            return
        if stage and f"{stage}.algo.name" in self.changed and change.key != f"{stage}.algo.name":
            yield from self.roots(f"{stage}.algo.name")
            return
        if any(origin.span is not None for origin in change.origins):
            yield from self.roots_of_written(change, stage)
            return
        if any(origin.inputs for origin in change.origins):
            yield from self.roots_of_derived(change, stage)
            return
        beside = change.key.rpartition(".")[0] + "."
        written = [k for k, c in self.changed.items() if k.startswith(beside) and any(o.span for o in c.origins)]
        yield from self.roots(written[0]) if written and written[0] != change.key else (("unknown", ""),)

    def roots_of_written(self, change: Change, stage: str) -> Iterator[_Root]:
        named_by = [key for key in ("model.name", "model.hf") if key in self.changed and key != change.key]
        is_recipes = all(origin.kind == "recipe" for origin in change.origins)
        if is_recipes and change.key.startswith("model.") and named_by:
            yield from self.roots(named_by[0])
        elif not any(o.is_written for o in change.origins) and self.uses_others(change, stage):
            yield "recipes", stage
        else:
            yield _written(change)

    def roots_of_derived(self, change: Change, stage: str) -> Iterator[_Root]:
        inputs = [("old", i) for i in (change.old_origin.inputs if change.old_origin else ())]
        inputs += [("new", i) for i in (change.new_origin.inputs if change.new_origin else ())]
        found = False
        for place in inputs:
            for key in self.changed_at(self.keys_of.get(place, "")):
                if key != change.key:
                    found = True
                    yield from self.roots(key)
        if not found:
            if stage and self.position(self.old, stage) != self.position(self.new, stage):
                yield "order", ""
            # What was derived from a file that is no spec, such as the code of a reward, has its cause there.
            has_places = bool(change.origins) and all(origin.span is not None for origin in change.origins)
            yield _written(change) if has_places else ("unknown", "")

    def changed_at(self, key: str) -> list[str]:
        """The changed fields at a key, or below it where it is a table."""
        if key in self.changed:
            return [key]
        return [k for k in self.changed if key and k.startswith(f"{key}.")]

    def table_switched(self, change: Change) -> str:
        """The key of the table that holds a field, or is it, and that one side has switched off."""
        parts = change.key.split(".")
        for at in range(1, len(parts) + 1):
            key = ".".join(parts[:at])
            leaf = self.old_leaves.get(key) or self.new_leaves.get(key)
            other = self.new_leaves if key in self.old_leaves else self.old_leaves
            is_off = leaf is not None and isinstance(leaf.value, Off)
            if is_off and key not in other and any(k.startswith(f"{key}.") for k in other):
                return key
        return ""

    def uses_others(self, change: Change, stage: str) -> bool:
        """Whether a value comes from a recipe that the other side does not use in this stage."""
        return (
            self.old.subject is not None
            and self.new.subject is not None
            and (
                _file(change.old_origin) not in (self.recipes(self.new, stage) | {""})
                or _file(change.new_origin) not in (self.recipes(self.old, stage) | {""})
            )
        )

    def recipes(self, side: SourcedPlan, stage: str) -> set[str]:
        leaves = self.old_leaves if side is self.old else self.new_leaves
        origins = (side.origin(leaf.path) for key, leaf in leaves.items() if _stage_of(key) == stage)
        return {_file(origin) for origin in origins if origin is not None and origin.kind == "recipe"}

    def have_both(self, stage: str) -> bool:
        return all(f"{stage}.name" in leaves for leaves in (self.old_leaves, self.new_leaves))

    def position(self, side: SourcedPlan, stage: str) -> str:
        leaves = self.old_leaves if side is self.old else self.new_leaves
        return leaves[f"{stage}.name"].path


def _walk(record: Record, path: str, key: str, *, in_hash: bool, only_stage: str) -> Iterator[tuple[str, _Leaf]]:
    for name, field in type(record).fields().items():
        value = record.__dict__[name]
        inner = path if field.spread else f"{path}.{name}".lstrip(".")
        key_inside = key if field.spread else f"{key}.{name}".lstrip(".")
        is_hashed = in_hash and field.in_hash
        if isinstance(value, Record):
            yield from _walk(value, inner, key_inside, in_hash=is_hashed, only_stage=only_stage)
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            names = [only_stage] if only_stage and name == "stages" else _names_of(value)
            for at, (item, called) in enumerate(zip(value, names, strict=True)):
                yield from _walk(
                    item, f"{inner}.{at}", f"{key_inside}.{called}", in_hash=is_hashed, only_stage=only_stage
                )
        else:
            yield key_inside, _Leaf(inner, value, is_hashed)


def _names_of(items: tuple[Record, ...]) -> list[str]:
    """What identifies the elements of a list: their names if they differ, else their indices."""
    names = [_name_of(item, str(at)) for at, item in enumerate(items)]
    counts = Counter(names)
    return [name if counts[name] == 1 else str(at) for at, name in enumerate(names)]


def _name_of(item: Record, index: str) -> str:
    fields = item.__dict__
    if "role" in fields:
        return f"{fields['role']} {fields['engine']}"
    return str(fields.get("name", index))


def _stage_of(key: str) -> str:
    parts = key.split(".")
    return ".".join(parts[:2]) if key.startswith(_STAGES) and len(parts) > 1 else ""


def _file(origin: Origin | None) -> str:
    """The file of a value; of files beside the experiment the last part only, since revisions lie in other folders."""
    name = origin.span.file.name if origin is not None and origin.span is not None else ""
    return name if name.startswith(("//", "@")) else name.rpartition("/")[2]


def _written(change: Change) -> _Root:
    """The places of a change: fields that are written at the same ones, for several stages, have one cause."""
    return "written", "", _place(change.old_origin), _place(change.new_origin)


def _place(origin: Origin | None) -> tuple[str, str, int] | None:
    """Where the key of a value stands; every --set is a text of its own, and all of them have one name."""
    if origin is None or origin.span is None:
        return None
    span = origin.key or origin.span
    return span.file.name, span.file.text if origin.kind == "override" else "", span.start
