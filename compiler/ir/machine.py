"""[cluster], [placement], [run], [log]: where an experiment runs, who sits on which device, and what is recorded."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.kinds import Seconds, SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.options import Options
from compiler.ir.record import Record, setting

GPU_TARGETS = ("cuda", "rocm", "cpu_cluster")
JUDGE_SHARE = 0.88  # of a GPU, for weights and cache of a judge together; targets/launch/sglang.toml says so


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


ActorRole = Literal[
    "rollout", "prefill", "decode", "trainer", "reference", "critic", "teacher", "reward", "router", "judge"
]


class Role(Record):
    """One actor and the device it sits on."""

    role: Literal[
        "rollout", "prefill", "decode", "trainer", "reference", "critic", "teacher", "reward", "router", "judge"
    ] = setting("What the actor does.")
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

    role: Literal["rollout", "prefill", "decode", "trainer", "critic", "teacher", "router", "judge"] = setting(
        "What they do; a reference model is built as the trainer's is. Engines that answer whole requests are of the "
        "role rollout."
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
    cpus: int = setting("Processors that are kept for each.", unit="processors", in_hash=False)
    cpus_per_gpu: int = setting("And for each of its GPUs.", unit="processors", in_hash=False)
    shm_gib: float = setting("Shared memory of their container.", unit="GiB")
    ipc: Literal["host", "private"] = setting("Whether their container shares the machine's inter-process memory.")


class Disaggregation(Record, Generic[A]):
    """[placement.disaggregation]: prefill/decode disaggregation: some rollout engines read prompts, others generate.

    Engines that read prompts have the first of the GPUs that generate, the others what is left of them.  A request goes
    through one of each kind; keys and values of its prompt are sent from the one to the other.
    """

    prefill_engines: int = setting("Engines that read prompts.", unit="engines", ge=1)
    prefill_gpus_per_engine: int | A = setting(
        "GPUs of one engine that reads prompts; unless it is set, as many as of one that generates.", unit="GPUs", ge=1
    )
    transfer_backend: Literal["mooncake", "mooncake_tcp", "nixl", "mori"] = setting(
        "What sends keys and values from an engine that has read a prompt to the one that generates.",
        default="mooncake",
        on_resume="may_change",
    )


_CACHE_AWARE = ("policy", ("cache_aware",))


class Router(Record):
    """[placement.router]: one address in front of all rollout engines, which spreads requests over them."""

    policy: Literal["cache_aware", "power_of_two", "round_robin", "random", "manual"] = setting(
        "Which engine a request goes to: one that has seen the beginning of its prompt, the idler one of two, each in "
        "turn, any, or always the same one for requests with the same key.",
        default="cache_aware",
        on_resume="may_change",
    )
    cache_threshold: float = setting(
        "Share of a prompt that an engine must have seen to be given it for that.",
        default=0.3,
        ge=0,
        le=1,
        read_if=_CACHE_AWARE,
        on_resume="may_change",
    )
    balance_abs_threshold: int = setting(
        "Requests that the busiest engine is ahead of the idlest one, above which the idlest one is taken.",
        default=10,
        unit="requests",
        ge=0,
        read_if=_CACHE_AWARE,
        on_resume="may_change",
    )
    balance_rel_threshold: float = setting(
        "As a multiple of the idlest engine's requests; both have to be exceeded.",
        default=1.2,
        ge=1,
        read_if=_CACHE_AWARE,
        on_resume="may_change",
    )
    port: int = setting(
        "The port that it answers on; the next one has its metrics.",
        default=13000,
        ge=1024,
        le=65534,
        on_resume="may_change",
    )
    request_timeout_s: int = setting(
        "Longest time that a request may take.", default=14400, unit="seconds", ge=1, on_resume="may_change"
    )
    health_check_interval_s: int = setting(
        "Time between two questions to an engine whether it is well.",
        default=60,
        unit="seconds",
        ge=1,
        on_resume="may_change",
    )
    health_check_timeout_s: int = setting(
        "Longest time that its answer may take.", default=5, unit="seconds", ge=1, on_resume="may_change"
    )
    health_failure_threshold: int = setting(
        "Failed answers in a row, after which an engine gets no requests.",
        default=3,
        unit="answers",
        ge=1,
        on_resume="may_change",
    )
    health_success_threshold: int = setting(
        "Good answers in a row, after which it gets them again.",
        default=2,
        unit="answers",
        ge=1,
        on_resume="may_change",
    )


class Judge(Record):
    """[placement.judge]: a judge that the plan places: engines of its own, on GPUs that nothing else uses.

    reward.judge.url says `{judge}` for the address of one of them; each of them holds the whole model.  A judge that
    somebody else serves has its own address there, and no such table.
    """

    weights: SpecPath = setting("A Hugging Face directory of the judge: its config.json, weights and tokenizer.")
    weights_gib: float = setting("What its weights take, over all GPUs of one engine together.", unit="GiB", gt=0)
    gpus: int = setting("GPUs of all its engines, the last ones of the cluster.", unit="GPUs", ge=1)
    gpus_per_engine: int = setting("GPUs of one engine.", default=1, unit="GPUs", ge=1)
    max_context_tokens: Tokens = setting(
        "Longest question and reply together.", default=16384, unit="tokens", ge=2, on_resume="may_change"
    )
    concurrency: int = setting(
        "Questions that one engine answers at once.", default=64, unit="questions", ge=1, on_resume="may_change"
    )


class EngineGroup(NamedTuple):
    """Engines of one kind: how many, the GPUs of each, and the first one's first GPU, counted over all machines."""

    role: Literal["rollout", "prefill", "decode", "judge"]
    engines: int
    gpus: int
    first_gpu: int


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
    disaggregation: Disaggregation[A] | Off = setting(
        "Engines of two kinds, of which one reads prompts and the other generates.", default=OFF
    )
    router: Router | Off = setting(
        "What spreads requests over rollout engines; off leaves that to the run's own driver. Engines of two kinds "
        "have one in any case.",
        default=OFF,
    )
    judge: Judge | Off = setting("The judge that reward.judge asks, on GPUs of its own.", default=OFF)
    launches: tuple[RoleLaunch, ...] | A = setting(
        "How every process of an engine is started: what the rest of the plan says, in the words of engines.",
        derived=True,
        on_resume="may_change",
    )

    def engine_groups(self) -> tuple[EngineGroup, ...]:
        """Return the groups of rollout engines, where their numbers of GPUs are known; what is left over is idle."""
        each, gpus, train = self.gpus_per_engine, self.rollout_gpus, self.train_gpus
        if not isinstance(each, int) or not isinstance(gpus, int):
            return ()
        first = train if self.mode == "split" and isinstance(train, int) else 0
        pairs = self.disaggregation
        if isinstance(pairs, Off):
            return (EngineGroup("rollout", gpus // each, each, first),)
        of_prefill = pairs.prefill_gpus_per_engine
        of_prefill = of_prefill if isinstance(of_prefill, int) else each
        taken = pairs.prefill_engines * of_prefill
        return (
            EngineGroup("prefill", pairs.prefill_engines, of_prefill, first),
            EngineGroup("decode", max(0, gpus - taken) // each, each, first + taken),
        )

    def judge_gpus(self) -> int:
        """Return the GPUs of a judge, which neither side has."""
        return 0 if isinstance(self.judge, Off) else self.judge.gpus

    def judge_group(self, num_gpus: int) -> EngineGroup | None:
        """Return the engines of a judge, on the last GPUs of a cluster of so many."""
        judge = self.judge
        if isinstance(judge, Off):
            return None
        return EngineGroup("judge", judge.gpus // judge.gpus_per_engine, judge.gpus_per_engine, num_gpus - judge.gpus)

    def generating_engines(self) -> int:
        """Return how many engines generate, of one kind or of two; at least 1, where nobody knows."""
        groups = self.engine_groups()
        return max(1, groups[-1].engines) if groups else 1


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


_ON_RAY = ("executor", ("ray",))


class Run(Record):
    """[run]: what holds for the whole run."""

    seed: int = setting("Every random draw derives from it.", default=0, ge=0, lt=2**63)
    executor: Literal["inline", "ray"] = setting("What carries the actors: one process, or Ray.", default="inline")
    engine_restarts: int = setting(
        "Times that a rollout engine which died or hung is started anew while the others go on, all engines together; "
        "a restart of the run has all of them again. Where there is one engine, the run is started anew.",
        default=8,
        unit="restarts",
        ge=0,
        in_hash=False,
        read_if=_ON_RAY,
    )
    trainer_restarts: int = setting(
        "Times that a run starts its processes anew from the last checkpoint, because one that trains died or hung, or "
        "no engine came back.",
        default=3,
        unit="restarts",
        ge=0,
        in_hash=False,
        read_if=_ON_RAY,
    )
    health_interval_s: Seconds = setting(
        "Time between two looks at a process, whether it is well.",
        default=5.0,
        unit="seconds",
        gt=0,
        in_hash=False,
        read_if=_ON_RAY,
    )
    health_timeout_s: Seconds = setting(
        "Longest time that a process which is well takes to say so; one that takes longer hangs, and is ended.",
        default=60.0,
        unit="seconds",
        gt=0,
        in_hash=False,
        read_if=_ON_RAY,
    )


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
