"""Tokens per second of the native engine against those of vLLM's CPU build, on the prompts and lengths of `rollout`.

vLLM pins what it needs, so it lives in an environment of its own and runs in a process that takes turns with this one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.options import Options
from benchmarks.record import Case, Figure, Report, make_case
from benchmarks.rollout.decode import (
    NATIVE,
    PROMPT_TOKENS,
    Work,
    measured_model,
    native_engine,
    timed_native,
    workloads,
)
from benchmarks.rounds import Contestant, take_rounds
from benchmarks.train.against_trl import environment
from benchmarks.train.turns import step_process
from runtime.engines.rollout.native.engine import NativeEngine

VLLM = "vllm"
AGAINST_VLLM = 4.0
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def measure(options: Options) -> Report:
    """Compare at equal and at mixed lengths."""
    torch.set_num_threads(options.threads)
    model, facts = measured_model()
    engine = native_engine(model, facts)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        cases: list[Case] = []
        peer: Mapping[str, str] = {}
        for name, work in workloads(facts.vocab_size).items():
            case, peer = _case(name, work, engine, Path(folder), options)
            cases.append(case)
    settings = {"threads": options.threads, "prompt tokens": PROMPT_TOKENS}
    return Report(benchmark="vllm", cases=cases, settings={**settings, **{f"peer {n}": v for n, v in peer.items()}})


def _case(
    name: str, work: Work, engine: NativeEngine, folder: Path, options: Options
) -> tuple[Case, Mapping[str, str]]:
    file = folder / "work.json"
    file.write_text(json.dumps(work._asdict()), encoding="utf-8")
    command = (str(options.vllm_python), "-m", "benchmarks.rollout.steps_vllm", "--model", str(folder))
    more = ("--work", str(file), "--threads", str(options.threads))
    with step_process((*command, *more), {**environment(str(options.threads)), **SETTINGS}) as peer:
        contestants = [
            Contestant(name=NATIVE, run=lambda: timed_native(engine, work)),
            Contestant(name=VLLM, run=peer.step),
        ]
        for contestant in contestants:
            contestant.run()
        rounds = take_rounds(contestants, options.effort, pids=[peer.pid])
        figures = [
            Figure(
                name="tokens/s of native / vllm",
                value=rounds.ratio(VLLM, NATIVE, of="wall_s"),
                unit="x",
                bound=AGAINST_VLLM,
            ),
            Figure(name="CPU time of vllm / native", value=rounds.ratio(VLLM, NATIVE, of="cpu_s"), unit="x"),
        ]
        return make_case(name, rounds, figures), peer.facts
