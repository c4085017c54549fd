"""How the engines of a plan are started, as lines of a shell and as records: `rlc plan --engines`.

Each process of an engine that is a program has one line, which can be pasted on its machine: its variables, then its
words.  What is known only when a run begins is a variable of the shell: the address of a machine `n` is `$NODE_n`, the
secret that requests carry is `$RLC_ENGINE_TOKEN`, the file of the plan `$RLC_PLAN`, its stage `$RLC_STAGE`.  An engine
that is a library has its records once for all processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.ir.json_text import json_text
from compiler.ir.machine import GpuPlacement, RoleLaunch
from compiler.ir.plan import Plan
from compiler.ir.processes import Process, filled, processes, words_of

_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
_SPECIAL = '\\"`$'


def engine_lines(plan: Plan) -> str:
    """Return the text; every line that is no command is a comment of the shell."""
    placement = plan.experiment.placement
    launches = placement.launches if isinstance(placement, GpuPlacement) else ()
    if not launches:
        return "# no engine of this plan is started by itself: all of them are rlc's own, in its own processes"
    found = [f"# {_comment(plan.experiment.name)}: engines of plan {plan.hash[:12]}"]
    for launch in launches:
        found += ["", *_launch(plan, launch)]
    return "\n".join(found)


def _launch(plan: Plan, launch: RoleLaunch) -> Iterator[str]:
    version = f" {launch.version}" if isinstance(launch.version, str) else ""
    stages = f"{'stage' if len(launch.stages) == 1 else 'stages'} {', '.join(launch.stages)}"
    yield _comment(f"# {launch.role}, {stages}: {launch.engine}{version}")
    yield f"# container: {launch.shm_gib:g} GiB of shared memory, ipc {launch.ipc}"
    yield f"# ports: {launch.ports} for each, the first ones from {launch.first_port} on"
    shared = {variable.name: variable.value for variable in plan.experiment.cluster.environment}
    yield f"# processors: {launch.cpus} for each, and {launch.cpus_per_gpu} for each of its GPUs"
    if launch.words:
        for process in processes(plan.experiment, launch):
            gpus = process.values.get("gpus")
            who = "no GPU" if gpus is None else f"GPUs {gpus}"
            yield _comment(f"# engine {process.engine}, node {process.node}, {who}")
            yield " ".join([*_variables(launch, process.values, process, shared), *_words(launch, process)])
        return
    yield from _records(launch)
    variables = " ".join(_variables(launch, {}, None, shared))
    yield f"# each process: {_comment(variables)}"


def _variables(
    launch: RoleLaunch, values: Mapping[str, str], process: Process | None, shared: Mapping[str, str]
) -> Iterator[str]:
    own = {variable.name: filled(variable.value, values) for variable in launch.environment}
    for name, value in sorted({**shared, **own}.items()):
        yield f"{name}={value if process is None else _quoted(value, process)}"


def _words(launch: RoleLaunch, process: Process) -> Iterator[str]:
    yield from (_quoted(word, process) for word in words_of(launch, process))


def _records(launch: RoleLaunch) -> Iterator[str]:
    for record in launch.records:
        yield f"# {record.name}"
        for name, value in sorted({**record.values.__dict__, **dict.fromkeys(record.nothing)}.items()):
            text = json_text(list(value)).replace("\n ", "").replace("\n", "") if isinstance(value, tuple) else value
            yield _comment(f"#     {name} = {text}")


def _quoted(word: str, process: Process) -> str:
    """A word as a shell reads it back; what is known when a run begins is left to the shell's variables."""
    at_start = {
        "address": f"$NODE_{process.node}",
        "first_address": f"$NODE_{process.first_node}",
        "token": "$RLC_ENGINE_TOKEN",
        "plan": "$RLC_PLAN",
        "stage": "$RLC_STAGE",
    }
    _, is_address, behind = word.partition("{node_")
    if is_address:
        node = behind.partition("}")[0]
        at_start = {f"node_{node}": f"${{NODE_{node}}}", **at_start}
    if not any(f"{{{name}}}" in word for name in at_start):
        return word if word and all(c in _PLAIN for c in word) else "'" + word.replace("'", "'\\''") + "'"
    bare = "".join(f"\\{c}" if c in _SPECIAL else c for c in word)
    return f'"{filled(bare, at_start)}"'


def _comment(text: str) -> str:
    """Text of a plan as one line, which no shell and no terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in text)
