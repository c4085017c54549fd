"""[cluster], [placement], [run], [log]: where an experiment runs, who sits on which device, and what is recorded."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.openness import OFF, A, Off
from compiler.ir.options import Options
from compiler.ir.record import Record, setting

GPU_TARGETS = ("cuda", "rocm", "cpu_cluster")


class EnvironmentVariable(Record):
    """One variable of a process's environment."""

    name: str = setting("The variable.")
    value: str = setting("Its value.")


class Cluster(Record, Generic[A]):
    """[cluster]: the machine that is asked for.  Always named, never guessed from the machine that compiles."""

    target: str = setting("The kind of machine: a folder of targets/.")
    nodes: int = setting("Machines.", default=1, unit="nodes", ge=1, le=2048)
    gpus_per_node: str | Off = setting(
        "The GPUs of one machine, how many and which: `8xH100-80-SXM`.  `rlc hardware` lists the names.",
        default=OFF,
        read_if=("target", GPU_TARGETS),
    )
    usd_per_gpu_hour: float | Off = setting(
        "What one GPU costs for an hour; the forecast of a plan then says what the run costs.",
        default=OFF,
        unit="USD",
        gt=0,
        in_hash=False,
        read_if=("target", GPU_TARGETS),
    )
    cpu_threads: int = setting(
        "Threads of one process; results are reproducible bit by bit only for the same number.",
        default=2,
        unit="threads",
        ge=1,
        le=1024,
        read_if=("target", ("cpu", "cpu_cluster")),
    )
    gpu: str | Off | A = setting("The GPU, by its name in stdlib/hardware.", derived=True)
    num_gpus: int | A = setting("GPUs of all machines.", derived=True, unit="GPUs")
    environment: tuple[EnvironmentVariable, ...] | A = setting(
        "What every process finds in its environment.", derived=True
    )


ActorRole = Literal["rollout", "trainer", "reference", "critic", "teacher", "reward"]


class Role(Record):
    """One actor and the device it sits on."""

    role: Literal["rollout", "trainer", "reference", "critic", "teacher", "reward"] = setting("What the actor does.")
    engine: str = setting("The engine that does it.")
    node: int = setting("Index of the machine.", unit="node index", ge=0)
    device: str = setting("The device, as the target names it.")
    process: int = setting("Index of the operating-system process.", unit="process index", ge=0)


class ConfigRecord(Record):
    """One record, or the arguments of one function, that a library is configured with."""

    name: str = setting("The record, or the function, as the library calls it.")
    values: Options = setting("What it holds.")
    nothing: tuple[str, ...] = setting("What it holds nothing in, where the library's own default is something.")


class RoleLaunch(Record):
    """How the processes of one role are started; `compiler/ir/processes.py` says what stands in braces for each.

    An engine that is a program of its own has words; one that is a library, inside of an actor of rlc, has records.
    """

    role: Literal["rollout", "trainer", "critic", "teacher"] = setting(
        "What they do; a reference model is built as the trainer's is."
    )
    stages: tuple[str, ...] = setting("The stages that they serve.")
    engine: str = setting("The engine.")
    version: str | Off = setting("Its version; off for one of rlc's own.")
    words: tuple[str, ...] = setting("The command line.")
    follower_words: tuple[str, ...] = setting("What it ends in on every machine of an engine but the first.")
    environment: tuple[EnvironmentVariable, ...] = setting("What they find beside the variables of the cluster.")
    records: tuple[ConfigRecord, ...] = setting("What a library is configured with.")
    first_port: int = setting("The first port of the first one on a machine.")
    ports: int = setting("Ports that are kept for each.", unit="ports")
    shm_gib: float = setting("Shared memory of their container.", unit="GiB")
    ipc: Literal["host", "private"] = setting("Whether their container shares the machine's inter-process memory.")


class Placement(Record, Generic[A]):
    """[placement]: who sits where."""

    mode: Literal["colocate", "split"] | A = setting(
        "Whether rollout and training share their devices or have devices of their own.", default="colocate"
    )
    roles: tuple[Role, ...] | A = setting("Every actor, with its device.", derived=True)


class GpuPlacement(Placement[A]):
    """[placement] of a target with GPUs: how many each side has."""

    train_gpus: int | A = setting("GPUs that train; all of them where both sides share.", unit="GPUs", ge=1)
    rollout_gpus: int | A = setting("GPUs that generate; all of them where both sides share.", unit="GPUs", ge=1)
    gpus_per_engine: int | A = setting(
        "GPUs of one rollout engine, over which it splits every layer.", default=1, unit="GPUs", ge=1
    )
    launches: tuple[RoleLaunch, ...] | A = setting(
        "How every process of an engine is started: what the rest of the plan says, in the words of engines.",
        derived=True,
        on_resume="may_change",
    )


class Parallel(Record, Generic[A]):
    """[parallel]: how one copy of the trained model is spread over GPUs.

    Training GPUs = dp x tp x pp x cp; within a pipeline stage they are also edp x ep x etp, for experts.
    """

    tp: int | A = setting("Tensor parallelism: GPUs that split every layer.", unit="GPUs", ge=1, assumed=1)
    sp: bool | A = setting("Whether the tensor-parallel GPUs split the sequence too, outside of attention.")
    pp: int | A = setting("Pipeline parallelism: groups of layers, one after another.", unit="stages", ge=1, assumed=1)
    vpp: int | A = setting("Groups of layers that one pipeline stage interleaves.", default=1, unit="groups", ge=1)
    pp_first_layers: int | Off = setting("Layers of the first pipeline stage.", default=OFF, unit="layers", ge=1)
    pp_last_layers: int | Off = setting("Layers of the last pipeline stage.", default=OFF, unit="layers", ge=1)
    cp: int | A = setting("Context parallelism: GPUs that split every sequence.", unit="GPUs", ge=1, assumed=1)
    ep: int | A = setting("Expert parallelism: GPUs that share the experts of a layer.", unit="GPUs", ge=1, assumed=1)
    etp: int | A = setting("Tensor parallelism of one expert.", unit="GPUs", ge=1, assumed=1)
    dp: int | A = setting("Data parallelism: copies of the model, each with its share of a batch.", unit="copies", ge=1)


class Run(Record):
    """[run]: what holds for the whole run."""

    seed: int = setting("Every random draw derives from it.", default=0, ge=0, lt=2**63)
    executor: Literal["inline", "ray"] = setting("What carries the actors: one process, or Ray.", default="inline")


class StageRun(Record, Generic[A]):
    """[run], the part that each stage may set for itself."""

    max_steps: int | A = setting(
        "Rollouts of a stage that samples, or optimizer steps of one that does not; always a bound.",
        unit="steps",
        ge=1,
        on_resume="may_change",
    )


class Log(Record):
    """[log]: what is kept for people to read.  Never part of the plan hash."""

    tensorboard: bool = setting(
        "Whether to write TensorBoard events beside metrics.jsonl.", default=True, in_hash=False, on_resume="may_change"
    )
    transcripts_per_step: int = setting(
        "Sampled texts kept of each step.", default=4, unit="samples", ge=0, in_hash=False, on_resume="may_change"
    )
