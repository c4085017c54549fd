"""A whole GRPO step of rlc against TRL's: rollout, reward and training, and the two halves.

Both run in processes of their own, which take a step in turn, so that whatever else the machine does hits both.  The
pair with the heap kept is the same code with the C library told not to give freed memory back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack

from benchmarks.options import Options
from benchmarks.record import Case, Figure, Report, make_case
from benchmarks.rounds import Contestant, Rounds, take_rounds
from benchmarks.train.turns import step_process

RLC, TRL, KEPT = "rlc", "trl", ", heap kept"
KEPT_HEAP = {
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
}
WHOLE_STEP, TRAINING = 2.5, 1.8
WARMUP_STEPS = 4


def measure(options: Options) -> Report:
    """Let them take turns."""
    threads = str(options.threads)
    rlc = (sys.executable, "-m", "benchmarks.train.step_rlc", "--threads", threads)
    trl = (str(options.peer_python), "-m", "benchmarks.train.step_trl", "--threads", threads)
    commands: dict[str, tuple[tuple[str, ...], Mapping[str, str]]]
    commands = {RLC: (rlc, {}), TRL: (trl, {}), RLC + KEPT: (rlc, KEPT_HEAP), TRL + KEPT: (trl, KEPT_HEAP)}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(step_process(command, {**environment(threads), **more}))
            for name, (command, more) in commands.items()
        }
        contestants = [Contestant(name=name, run=process.step) for name, process in processes.items()]
        for contestant in contestants:
            for _ in range(WARMUP_STEPS):
                contestant.run()
        rounds = take_rounds(contestants, options.effort, pids=[p.pid for p in processes.values()])
        facts, peer = processes[RLC].facts, processes[TRL].facts
    settings = {"threads": options.threads, **{f"peer {name}": number for name, number in peer.items()}}
    return Report(benchmark="train", cases=[_case(rounds)], settings=settings, plan_hash=facts["plan"])


def _case(rounds: Rounds) -> Case:
    figures = [
        Figure(name="whole step, trl / rlc", value=rounds.ratio(TRL, RLC, of="step_s"), unit="x", bound=WHOLE_STEP),
        Figure(name="rollout and reward, trl / rlc", value=rounds.ratio(TRL, RLC, of="rollout_s"), unit="x"),
        Figure(name="training, trl / rlc", value=rounds.ratio(TRL, RLC, of="train_s"), unit="x", bound=TRAINING),
        Figure(name="CPU time of the whole step, trl / rlc", value=rounds.ratio(TRL, RLC, of="cpu_s"), unit="x"),
    ]
    kept = rounds.ratio(TRL + KEPT, RLC + KEPT, of="step_s")
    figures.append(Figure(name="whole step, trl / rlc, both with heap kept", value=kept, unit="x"))
    return make_case("16 prompts x 8 samples x 16 tokens", rounds, figures)


def environment(threads: str) -> Mapping[str, str]:
    """Return what a peer's process finds in its environment."""
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
