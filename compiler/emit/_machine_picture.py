"""Who sits on which device, drawn: a box for each machine, in it one for each device, in it a line for each actor.

Devices that follow each other and hold the same actors share a box, and so do machines, and engines of several.  Where
GPUs of several machines are one domain of NVLink, boxes of machines say which.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.emit._plan_text import boxed, cut, padded, said, text_width
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.experiment import Stage
from compiler.ir.machine import Role
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from compiler.ir.sides import has_engine, placed_judges

_WIDEST_CELL = 28


class _Row(NamedTuple):
    """An actor on a device: what stands beside the number of its process."""

    role: str
    engine: str
    when: str


class _Seat(NamedTuple):
    """A device, or several alike, and who sits there; `processes` are those of each row, first and last."""

    first: str
    last: str
    rows: tuple[_Row, ...]
    processes: tuple[tuple[int, int], ...]


def machine_picture(plan: Plan, nodes_per_domain: int = 1) -> list[str]:
    """Return the lines of the picture.

    Args:
        nodes_per_domain: machines whose GPUs reach each other without a network card.
    """
    experiment = plan.experiment
    roles = experiment.placement.roles
    nodes = sorted({*range(experiment.cluster.nodes), *(role.node for role in roles)})
    on_a_node: dict[int, list[Role]] = {node: [] for node in nodes}
    for role in roles:
        on_a_node[role.node].append(role)
    seats = {node: _seats(here, plan) for node, here in on_a_node.items()}
    rests = _rests(plan)
    cells = [_cells(seat, at) for there in seats.values() for seat in there for at in range(len(seat.rows))]
    widths = [max((text_width(cell[at]) for cell in cells), default=0) for at in range(4)]
    lines: list[str] = []
    for _, alike in groupby(_engines(nodes, seats, rests), key=lambda unit: (_shape(seats[unit[0]]), len(unit))):
        units = list(alike)
        first, last, end = units[0][0], units[-1][0], units[-1][-1]
        inside: list[str] = []
        for one, other in zip(seats[first], seats[last], strict=True):
            ends = [(a[0], b[1]) for a, b in zip(one.processes, other.processes, strict=True)]
            seat = one._replace(processes=tuple(ends))
            title = _title(one)
            rows = ["  ".join(map(padded, _cells(seat, at), widths)).rstrip() for at in range(len(seat.rows))]
            inside += boxed(cut(said(title), 2 * _WIDEST_CELL), rows)
        each = len(units[0])
        if each > 1 and len(units) > 1:
            title = f"nodes {first} to {end}, {each} for each process"
            lines += boxed(title + _domains(first, end, nodes_per_domain), inside)
            continue
        title = f"node {first}" if first == last else f"nodes {first} to {last}"
        lines += boxed(title + _domains(first, last, nodes_per_domain), inside or ["nothing runs here"])
        if each > 1:
            title = f"node {first + 1}" if each == 2 else f"nodes {first + 1} to {end}"
            lines += boxed(title + _domains(first + 1, end, nodes_per_domain), [rests[first + 1]])
    return lines


def _domains(first: int, last: int, nodes: int) -> str:
    """The domains of some machines, behind their numbers; nothing where each machine is one of its own."""
    if nodes == 1:
        return ""
    one, other = first // nodes, last // nodes
    return f", domain {one}" if one == other else f", domains {one} to {other}"


def _title(seat: _Seat) -> str:
    """Devices of a box: one, those of one process, or those of several that follow each other."""
    if seat.first == seat.last:
        return seat.first
    kind, begin, end = _device(seat.first)
    last = _device(seat.last)[2]
    each = f", {end - begin + 1} for each process" if end > begin else ""
    return f"{kind}:{begin} to {kind}:{last}{each}"


def _device(name: str) -> tuple[str, int, int]:
    """Its kind, and the first and last of its numbers; -1 where it has none, or goes on elsewhere."""
    kind, _, numbers = name.rpartition(":")
    begin, _, end = numbers.partition("-")
    end = end or begin
    return (kind, int(begin), int(end)) if begin.isdecimal() and end.isdecimal() else (name, -1, -1)


def _engines(nodes: Sequence[int], seats: dict[int, list[_Seat]], rests: dict[int, str]) -> list[list[int]]:
    """Nodes, each with those behind it that hold nothing but the rest of its engine."""
    units: list[list[int]] = []
    for node in nodes:
        if node in rests and not seats[node] and units:
            units[-1].append(node)
        else:
            units.append([node])
    return units


def _rests(plan: Plan) -> dict[int, str]:
    """Nodes that hold nothing but the rest of an engine, which is drawn where it begins."""
    cluster = plan.experiment.cluster
    each = cluster.num_gpus // cluster.nodes if cluster.nodes else 0
    found: dict[int, str] = {}
    for role in plan.experiment.placement.roles:
        # A device of an engine that goes on elsewhere ends with " and 8 more".
        more = role.device.removesuffix(" more").rpartition(" and ")[2]
        goes_on = role.device.endswith(" more") and more.isdigit()
        for further in range(-(-int(more) // each) if goes_on and each else 0):
            found[role.node + 1 + further] = f"the rest of process {role.process}"
    return found


def _shape(seats: Sequence[_Seat]) -> tuple[tuple[str, str, tuple[_Row, ...]], ...]:
    return tuple((seat.first, seat.last, seat.rows) for seat in seats)


def _seats(roles: Sequence[Role], plan: Plan) -> list[_Seat]:
    found: list[_Seat] = []
    for device in sorted(dict.fromkeys(role.device for role in roles), key=_device):
        here = [role for role in roles if role.device == device]
        rows = tuple(_row(role, plan) for role in here)
        before = found[-1] if found else None
        numbers = tuple(role.process for role in here)
        if before is not None and before.rows == rows and _follows(before, device, numbers):
            processes = tuple((a[0], role.process) for a, role in zip(before.processes, here, strict=True))
            found[-1] = before._replace(last=device, processes=processes)
        else:
            found.append(_Seat(device, device, rows, tuple((role.process, role.process) for role in here)))
    return found


def _follows(seat: _Seat, device: str, processes: tuple[int, ...]) -> bool:
    """Whether a device, and the processes on it, are the next ones: what stands between the ends needs no line."""
    (kind, begin, end), (other, first, last) = _device(seat.last), _device(device)
    is_next = end >= 0 and kind == other and first == end + 1 and last - first == end - begin
    return is_next and all(now == last + 1 for now, (_, last) in zip(processes, seat.processes, strict=True))


def _cells(seat: _Seat, at: int) -> tuple[str, str, str, str]:
    first, last = seat.processes[at]
    who = f"process {first}" if first == last else f"processes {first} to {last}"
    row = seat.rows[at]
    return who, row.role, row.engine, row.when


def _row(role: Role, plan: Plan) -> _Row:
    stages = [stage.name for stage in plan.experiment.stages if _works_in(role, stage)]
    all_of_them = len(stages) == len(plan.experiment.stages)
    when = "every stage" if all_of_them else ", ".join(said(name) for name in stages)
    when = cut(when, _WIDEST_CELL) if len(plan.experiment.stages) > 1 else ""
    return _Row(role.role, cut(said(role.engine), _WIDEST_CELL), when)


def _works_in(role: Role, stage: Stage[object]) -> bool:
    if role.role == "judge":
        return any(True for _ in placed_judges(stage))
    if role.role == "router":
        return has_engine(stage)
    if role.role in ("rollout", "prefill", "decode"):
        return not isinstance(stage.rollout, Off) and stage.rollout.engine.name == role.engine
    if role.role == "reward":
        return not isinstance(stage.reward, Off) and stage.reward.name == role.engine
    if role.role == "critic" and not isinstance(stage.algorithm, ActorCriticParams):
        return False
    if role.role == "teacher" and not isinstance(stage.algorithm, TaughtParams):
        return False
    if role.role == "reference" and isinstance(stage.reference, Off):
        return False
    return stage.train.engine.name == role.engine
