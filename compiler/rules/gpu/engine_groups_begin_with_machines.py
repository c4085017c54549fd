"""Engine groups begin with machines.

What: engines of two kinds use up the GPUs that generate, at least one of each kind; and no engine of any group lies
across the border of two machines, unless it uses whole ones.
Why it matters: engines that only read prompts never answer where nobody generates; GPUs behind the last engine are
idle; an engine that begins in the middle of one machine and ends in the next is slow, or refused by its launcher.
Example: `placement.disaggregation.prefill_engines = 4` with engines of 2 GPUs, of which 8 generate: none is left for
the other kind. Or `placement.train_gpus = 4` in front of engines of 8 GPUs on machines of 8.
Fix: other numbers; the message has those that fit.
Source: PLACE-05; slime: prefill_num_servers x rollout_num_gpus_per_engine has to be below rollout_num_gpus.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import Disaggregation, EngineGroup
from compiler.ir.openness import Auto, Off
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import Layout, fix, layout_of, size
from compiler.rules._solved_fixes import counted

CODE = "RLC0544"
ID = "PLACE-05"
_ENGINES = "placement.disaggregation.prefill_engines"
_PREFILL = "placement.disaggregation.prefill_gpus_per_engine"
_DECODE = "placement.gpus_per_engine"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report groups that are empty, leave GPUs over, or straddle machines."""
    layout, named = layout_of(subject), gpus_per_node(subject.experiment.cluster.gpus_per_node)
    if layout is None or named is None or not isinstance(layout.placement.rollout_gpus, int):
        return
    if all(isinstance(stage.rollout, Off) for stage in subject.experiment.stages):
        return
    pairs = layout.placement.disaggregation
    if not isinstance(pairs, Off):
        found = _uneven(subject, layout, pairs)
        if found is not None:
            yield found
            return
    for group in layout.placement.engine_groups():
        if _straddles(group, named.count):
            yield _crossing(subject, layout, group, named.count)
            return


def _straddles(group: EngineGroup, on_a_node: int) -> bool:
    """RLC0509 says that GPUs of one engine are no part of a machine, where all engines are of one kind."""
    if not _is_size(group.gpus, on_a_node):
        return group.role != "rollout"
    return group.engines > 0 and group.first_gpu % min(group.gpus, on_a_node) != 0


def _is_size(gpus: int, on_a_node: int) -> bool:
    """Whether an engine is an even part of a machine, or whole machines."""
    return on_a_node % gpus == 0 if gpus <= on_a_node else gpus % on_a_node == 0


def _uneven(subject: Subject, layout: Layout, pairs: Disaggregation[Auto]) -> Diagnostic | None:
    gpus, each = size(layout.placement.rollout_gpus), layout.each
    of_prefill = pairs.prefill_gpus_per_engine if isinstance(pairs.prefill_gpus_per_engine, int) else each
    taken = pairs.prefill_engines * of_prefill
    left = gpus - taken
    if left >= each and left % each == 0:
        return None
    if left < each:
        readers = f"{counted(pairs.prefill_engines, 'engines')} of {counted(of_prefill, 'GPUs')}"
        message = f"{readers} that read prompts leave {max(0, left):,} of {counted(gpus, 'GPUs')}, and an engine that "
        message += f"generates has {each:,}"
    else:
        message = f"engines of {each:,} GPUs leave {left % each:,} of the {left:,} idle that generate"
    fitting = [n for n in range(1, gpus // of_prefill + 1) if gpus - n * of_prefill >= each]
    fitting = [n for n in fitting if (gpus - n * of_prefill) % each == 0]
    near = sorted(sorted(fitting, key=lambda n: (abs(n - pairs.prefill_engines), n))[:2])
    ways = [fix(_ENGINES, n) for n in near]
    if not ways:
        text = "delete [placement.disaggregation]: every engine reads its prompts itself"
        ways = [Help(text)]
    labels = subject.labels(
        ("placement.rollout_gpus", f"{gpus:,} generate"),
        (_DECODE, f"{each:,} for one engine"),
        (_ENGINES, f"{taken:,} GPUs read prompts"),
    )
    paths = (_ENGINES, _PREFILL, _DECODE, "placement.rollout_gpus")
    return Diagnostic(CODE, message, labels, alternatives(*ways), rule=ID, paths=paths)


def _leaves_engines(layout: Layout, gpus: int) -> bool:
    """Whether so many GPUs are whole engines of every kind."""
    pairs = layout.placement.disaggregation
    if not isinstance(pairs, Off):
        of_prefill = pairs.prefill_gpus_per_engine
        gpus -= pairs.prefill_engines * (of_prefill if isinstance(of_prefill, int) else layout.each)
    return gpus >= layout.each and gpus % layout.each == 0


def _crossing(subject: Subject, layout: Layout, group: EngineGroup, on_a_node: int) -> Diagnostic:
    field = _PREFILL if group.role == "prefill" else _DECODE
    labels = [("cluster.gpus_per_node", f"{on_a_node:,} on a machine"), (field, f"{group.gpus:,} for one engine")]
    paths = [field, "cluster.gpus_per_node"]
    if not _is_size(group.gpus, on_a_node):
        message = f"an engine of {group.gpus:,} GPUs straddles machines of {on_a_node:,}"
        near = [n for n in range(1, 2 * group.gpus) if _is_size(n, on_a_node)]
        near = sorted(sorted(near, key=lambda n: (abs(n - group.gpus), n))[:2])
        ways = [fix(field, n) for n in near]
    else:
        at, ahead = group.first_gpu % on_a_node, "placement.train_gpus"
        message = f"the first {group.role} engine begins on GPU {at:,} of a machine, and has {group.gpus:,} GPUs"
        unit, gpus, before = min(group.gpus, on_a_node), size(layout.placement.rollout_gpus), group.first_gpu
        if group.role == "decode":
            ahead, first = _ENGINES, layout.placement.engine_groups()[0]
            numbers = range(1, (gpus - group.gpus) // first.gpus + 1)
            fitting = [n for n in numbers if (first.first_gpu + n * first.gpus) % unit == 0]
            fitting = [n for n in fitting if (gpus - n * first.gpus) % group.gpus == 0]
            near, before = sorted(fitting, key=lambda n: (abs(n - first.engines), n))[:2], first.gpus * first.engines
        else:
            near = [n for n in (before // unit * unit, -(-before // unit) * unit) if n > 0]
            written = subject.written("placement.rollout_gpus")
            near = [n for n in near if not written and _leaves_engines(layout, layout.total - n)]
        labels.append((ahead, f"{before:,} GPUs before it"))
        paths.append(ahead)
        ways = [fix(ahead, n) for n in sorted(near)]
    return Diagnostic(CODE, message, subject.labels(*labels), alternatives(*ways), rule=ID, paths=tuple(paths))
