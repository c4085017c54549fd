"""Hardware is named.

What: a target with GPUs says how many of which GPU a machine has, by a name of stdlib/hardware, and the GPU is one of
the target's vendor.
Why it matters: memory, speed and what fits follow from the device; a tool that looks at the machine it happens to run
on, or takes a default when it cannot, plans for another one.
Example: `target = "rocm"` with `gpus_per_node = "8xH100-80-SXM"`.
Fix: `rlc hardware` lists the names.
Source: MEM-07; miles PR#3276.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, alternatives
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.hardware import gpus_per_node
from compiler.ir.openness import Off
from compiler.ir.subject import Subject, toml_literal

CODE = "RLC0505"
ID = "MEM-07"
_FIELD = "cluster.gpus_per_node"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report GPUs without a name, unknown ones, and those of another vendor."""
    cluster = subject.experiment.cluster
    target = subject.catalogue.load_target(cluster.target)
    if not target.vendor:
        return
    known = {name: gpu for name, gpu in subject.catalogue.load_hardware().items() if gpu.vendor == target.vendor}
    if isinstance(cluster.gpus_per_node, Off):
        labels = subject.labels(("cluster.target", "which GPUs?  The machine is named, never guessed"))
        ways = (Help(f'write {_FIELD} = "8xNAME"; rlc hardware lists the names'),)
        yield _diagnostic("cluster.gpus_per_node is required on a target with GPUs", labels, ways)
        return
    named = gpus_per_node(cluster.gpus_per_node)
    if named is None:
        name = cluster.gpus_per_node
        gpu = known.get(name)
        labels = subject.labels((_FIELD, "expected a number, an x, and a name"))
        advice = Help("a number, an x, and a name: 8xNAME; rlc hardware lists the names")
        ways = (advice if gpu is None else _fix(gpu.gpus_per_node, gpu.name),)
        yield _diagnostic(f"`{name}` is no number of GPUs", labels, ways)
    elif named.name not in known:
        other = subject.catalogue.load_hardware().get(named.name)
        text = "no GPU has this name" if other is None else f"made by {other.vendor}, for another target"
        begun = [name for name in known if name.lower().startswith(named.name.lower())]
        near = begun or nearest_names(named.name, known) or list(known)[:3]
        labels = subject.labels(("cluster.target", f"GPUs of {target.vendor}"), (_FIELD, text))
        # One name that begins like it is what was meant; any other is a choice, which no tool makes.
        ways = alternatives(*(_fix(named.count, name) for name in near))
        if len(begun) != 1:
            ways = tuple(way._replace(sets=()) for way in ways)
        yield _diagnostic(f"target {target.name} has no GPU {named.name}", labels, ways)


def _fix(count: int, name: str) -> Help:
    literal = toml_literal(f"{count}x{name}")
    return Help(f"set {_FIELD} = {literal}", ((_FIELD, literal),))


def _diagnostic(message: str, labels: tuple[Label, ...], ways: tuple[Help, ...]) -> Diagnostic:
    return Diagnostic(CODE, message, labels, ways, rule=ID, paths=(_FIELD,))
