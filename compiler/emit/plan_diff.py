"""What differs between two plans and why, as text: each written source that changed, and what follows from it.

Causes are grouped by what they touch (`_change_groups.py`), the weightiest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.diagnostics.printable import printable
from compiler.emit._change_groups import ABOUT, GROUPS, Group, group_of, group_of_cause
from compiler.emit._plan_changes import Absent, Cause, Change, Follower, find_causes
from compiler.ir.canonical import encode
from compiler.ir.equations import EQUATIONS
from compiler.ir.openness import OFF
from compiler.ir.provenance import Origin
from compiler.ir.record import Record
from compiler.ir.sourced_plan import SourcedPlan
from compiler.ir.subject import toml_literal

HASH_DIGITS = 12
_LONGEST_VALUE = 40
_COLUMN = 40
_RESET, _BOLD, _FAINT, _OLD, _NEW = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"
_OUTSIDE = "   (outside the hash)"


def plan_diff(old: SourcedPlan, new: SourcedPlan, *, ascii_only: bool, color: bool) -> str:
    """Return what changed from one plan to the other, and why.

    Args:
        ascii_only: write ASCII characters only.
        color: whether to write ANSI colours.
    """
    lines = _Diff(old, new, color=color, ascii_only=ascii_only).lines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


class _Diff:
    def __init__(self, old: SourcedPlan, new: SourcedPlan, *, color: bool, ascii_only: bool) -> None:
        self.old, self.new = old, new
        self.color = color
        self.ascii_only = ascii_only
        self.has_stage_list = _lists_stages(old) or _lists_stages(new)

    def lines(self) -> Iterator[str]:
        old, new = self.old, self.new
        yield self.side("old", old, _OLD)
        yield self.side("new", new, _NEW)
        yield ""
        causes = find_causes(old, new)
        forecast = list(_forecast_lines(old.plan.forecast, new.plan.forecast))
        yield self.painted(self.verdict(causes, differs=bool(causes or forecast)), _BOLD)
        for group in GROUPS:
            within = [cause for cause in causes if group_of_cause(cause) == group]
            predicted = forecast if group == "cost" else []
            if within or predicted:
                yield ""
                yield f"{self.painted(group, _BOLD)}: {ABOUT[group]}"
            for cause in within:
                yield ""
                yield from (f"  {line}" for line in self.cause_lines(cause, group))
            if predicted:
                yield ""
                yield f"  {self.painted('forecast', _BOLD)}{_OUTSIDE}"
                yield from (f"      {line}" for line in predicted)

    def side(self, label: str, plan: SourcedPlan, color: str) -> str:
        return f"{self.painted(label, color)}  plan {plan.plan.hash[:HASH_DIGITS]}  {self.clean(plan.name)}"

    def verdict(self, causes: Sequence[Cause], *, differs: bool) -> str:
        if not differs:
            return "no difference"
        if self.old.plan.hash == self.new.plan.hash:
            return "the same plan: what differs is outside the hash"
        fields = sum(len(cause.changes) + len(cause.follows) for cause in causes)
        known = sum(cause.kind != "unknown" for cause in causes)
        return f"{_counted(fields, 'field')} of the plan changed, from {_counted(known, 'cause')}"

    def cause_lines(self, cause: Cause, group: Group) -> Iterator[str]:
        if cause.kind == "stage":
            yield from self.stage_lines(cause)
            return
        if cause.kind == "recipes":
            where = f" in {cause.key}" if cause.key and self.has_stage_list else ""
            yield self.painted(f"other recipes are used{where}", _BOLD)
            for change in cause.changes:
                yield "    " + self.value_line(change)
                yield from self.place_lines(change, "        ")
        elif cause.kind == "unknown":
            yield self.painted("no written source is known for", _BOLD)
            for change in cause.changes:
                yield "    " + self.value_line(change)
                yield from self.place_lines(change, "        ") if change.origins else ()
        elif cause.kind == "order":
            yield self.painted("the order of the stages", _BOLD)
        elif cause.kind == "table":
            yield from self.table_lines(cause)
        else:
            for change in cause.changes:
                yield self.painted(self.value_line(change), _BOLD)
            yield from self.place_lines(cause.changes[0], "    ")
        yield from self.follower_lines(cause.follows, group)

    def stage_lines(self, cause: Cause) -> Iterator[str]:
        is_new = isinstance(cause.changes[0].old, Absent)
        name = self.clean(cause.key.partition(".")[2])
        state = "only the new plan has it" if is_new else "only the old plan had it"
        yield self.painted(f"stage {name}: {state}", _BOLD) + f"   ({_counted(len(cause.changes), 'field')})"
        name_field = next(change for change in cause.changes if change.key == f"{cause.key}.name")
        yield from self.place_lines(name_field, "    ")

    def table_lines(self, cause: Cause) -> Iterator[str]:
        """A table that one side has and the other has not: its first written field stands for it."""
        switch = cause.changes[0]
        inside = [found.change for found in cause.follows if found.change.key.startswith(f"{cause.key}.")]
        first = next((change for change in inside if any(o.span is not None for o in change.origins)), inside[0])
        is_new = isinstance(switch.old, Absent)
        table = _bound(cause.key, {found.key: found.old if is_new else found.new for found in inside}) or "a table"
        values = (table, self.value(switch.new)) if is_new else (self.value(switch.old), table)
        yield self.painted(f"{self.shown(cause.key)}: {' -> '.join(values)}", _BOLD)
        old, new = (first, switch) if is_new else (switch, first)
        yield from self.place_lines(old._replace(new=new.new, new_origin=new.new_origin), "    ")

    def place_lines(self, change: Change, indent: str) -> Iterator[str]:
        for label, side, origin, value in (
            ("old", self.old, change.old_origin, change.old),
            ("new", self.new, change.new_origin, change.new),
        ):
            color = _OLD if label == "old" else _NEW
            yield f"{indent}{self.painted(label, color)}  {self.where(side, origin, value)}"

    def where(self, side: SourcedPlan, origin: Origin | None, value: object) -> str:
        """Say where the value of one side comes from."""
        if isinstance(value, Absent):
            return "there is no such field"
        if origin is None:
            return "the saved plan says so" if side.subject is None else "the compiler says so"
        if origin.span is not None and origin.kind == "override":
            return f"--set {self.clean(origin.span.file.text)}"
        if origin.span is not None:
            line = origin.span.file.line(origin.span.line).strip()
            return f"{self.clean(side.renamed(str(origin.span)))}   {_cut(self.clean(line), 60)}"
        if origin.kind == "default":
            return "the default of the schema"
        is_equation = any(equation.name == origin.by for equation in EQUATIONS)
        return f"{origin.kind} ({origin.by})" if is_equation else origin.kind

    def follower_lines(self, followers: Sequence[Follower], group: Group) -> Iterator[str]:
        """What follows, each marked with its own group where that weighs less than its cause's."""
        for at, found in enumerate(followers):
            label = "so" if at == 0 else "  "
            others = ", ".join(self.shown(key) for key in found.others if key)
            also = f"   also from {others}" if others else ""
            own = group_of(found.change.key)
            mark = "" if own == group or not found.change.in_hash else f"   ({own})"
            yield f"    {self.painted(label, _FAINT)}   {self.value_line(found.change)}{mark}{also}"

    def value_line(self, change: Change) -> str:
        """A field with its two values."""
        name = self.shown(change.key)
        outside = "" if change.in_hash else _OUTSIDE
        return f"{name}: {self.value(change.old)} -> {self.value(change.new)}{outside}"

    def value(self, value: object) -> str:
        return _cut(self.clean(_literal(value)), _LONGEST_VALUE)

    def shown(self, key: str) -> str:
        """The name of a field as a person writes it; the only stage of a spec without a list has no name there."""
        parts = key.split(".")
        if parts[0] == "stages" and len(parts) > 2 and not self.has_stage_list:
            parts = parts[2:]
        return self.clean(".".join(parts))

    def clean(self, text: str) -> str:
        return printable(text, ascii_only=self.ascii_only)

    def painted(self, text: str, color: str) -> str:
        return f"{color}{text}{_RESET}" if self.color else text


def _bound(key: str, leaves: Mapping[str, object]) -> str:
    """The table `until` as a person writes it, or nothing for another table."""
    if key.rpartition(".")[2] != "until":
        return ""
    metric, op, threshold = (leaves.get(f"{key}.{name}", "") for name in ("metric", "op", "threshold"))
    return f'"{metric} {op} {threshold}"'


def _lists_stages(side: SourcedPlan) -> bool:
    if side.subject is not None:
        return side.subject.has_stage_list
    return len(side.plan.experiment.stages) > 1


def _literal(value: object) -> str:
    if isinstance(value, Absent):
        return "absent"
    if value is OFF:
        return '"off"'
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:_}"
    return toml_literal(value)


def _forecast_lines(old: Record, new: Record) -> Iterator[str]:
    before, after = dict(_flat("", encode(old))), dict(_flat("", encode(new)))
    for name in dict.fromkeys((*after, *before)):
        values = [_literal(side.get(name, Absent())) for side in (before, after)]
        if values[0] != values[1]:
            yield f"{name}: {' -> '.join(values)}"


def _flat(path: str, data: object) -> Iterator[tuple[str, object]]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _flat(f"{path}.{name}".lstrip("."), value)
    elif isinstance(data, list):
        for at, value in enumerate(data):
            called = value.get("stage", at) if isinstance(value, dict) else at
            yield from _flat(f"{path}.{called}", value)
    else:
        yield path, data


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: columns - 3]}..."
