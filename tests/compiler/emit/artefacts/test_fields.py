"""Every field that a launcher could need is written by an artefact, or waived with the reason."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF
from compiler.ir.paths import leaves, replaced
from compiler.ir.plan import Plan
from tests.compiler.emit.plan_specs import LAUNCH
from tests.support.launch_files import ARTEFACTS, files_of, shipped_plan

BY_THE_RUNTIME = "read by the runtime, from plan.json"
WAIVED = {
    "rlc": BY_THE_RUNTIME,
    "model": BY_THE_RUNTIME,
    "placement": BY_THE_RUNTIME,
    "parallel": BY_THE_RUNTIME,
    "log": BY_THE_RUNTIME,
    "timeouts": BY_THE_RUNTIME,
    "allow": "says what a rule was told; nothing runs by it",
    "stages": BY_THE_RUNTIME,
    "run.seed": BY_THE_RUNTIME,
    "run.engine_restarts": BY_THE_RUNTIME,
    "run.trainer_restarts": BY_THE_RUNTIME,
    "run.health_interval_s": BY_THE_RUNTIME,
    "run.health_timeout_s": BY_THE_RUNTIME,
    "cluster.usd_per_gpu_hour": "a forecast reads it",
    "cluster.num_gpus": "machines and the GPUs of one say it",
}
# What other values are good ones: as many as it takes for one that the artefacts tell apart.
OTHERS: dict[str, object] = {
    "cluster.target": "rocm",
    "cluster.gpus_per_node": "4xH100-80-SXM",
    "cluster.gpu": "MI355X-288",
    "launch.slurm.container": "none",
    "launch.kubernetes.node_selector": ("a=b",),
    "launch.mounts": ("/elsewhere",),
    "launch.secrets": ("OTHER_KEY",),
    "launch.image": "other:1",
    "launch.root": "/other",
    "launch.slurm.grace_s": 400.0,
    "launch.shared_dir": "/other",
}


def test_every_field_is_written_or_waived() -> None:
    plans = [_with_launch("grpo_glm4_5_air.toml"), _with_launch("grpo_qwen3_30b_a3b_mi300x.toml")]
    unwritten: set[str] | None = None
    for plan in plans:
        before = _written(plan)
        same = {path for path, other in _others(plan) if _written(other) == before}
        unwritten = same if unwritten is None else unwritten & same
    assert unwritten == {path for path in WAIVED if "." in path}


def test_every_table_of_an_experiment_is_one_of_them() -> None:
    tables = {name for name in Experiment.fields() if name not in WAIVED}
    assert tables == {"name", "cluster", "run", "launch"}


def _others(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Every leaf that is no waived table, and the plan with another value there."""
    for path, value in leaves(plan.experiment):
        if path.partition(".")[0] in WAIVED:
            continue
        other = OTHERS.get(path, _other(value))
        if path == "cluster.cpu_threads":
            continue  # of machines without GPUs, which the CPU target's golden files show
        if path == "run.executor":
            continue  # without Ray these plans are refused
        yield path, plan.replacing(experiment=replaced(plan.experiment, path, other))


def _other(value: object) -> object:
    if isinstance(value, (int, float)):
        return value + 2**20
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, tuple):
        return (*value, "x")
    return OFF


def _written(plan: Plan) -> str:
    """All that is written of a plan, without its hash."""
    texts: list[str] = []
    for artefact in ARTEFACTS:
        for name, text in files_of(artefact, plan).items():
            if name == "rayjob.yaml":
                text = text[: text.index("  plan.json: |")] + text[text.index("  run.sh: |") :]
            texts.append(text.replace(f"'{plan.hash[:12]}'", "").replace(plan.hash[:12], "").replace(plan.hash[:8], ""))
    return "\n".join(texts)


def _with_launch(experiment: str) -> Plan:
    table, settings = "", ['run.executor="ray"']
    for line in LAUNCH.strip().splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        elif line:
            key, _, value = line.partition(" = ")
            settings.append(f"{table}.{key}={value}")
    return shipped_plan(experiment, tuple(settings))
