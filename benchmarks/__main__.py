"""Measures rlc against its peers, writes one JSON file, and writes HISTORY.md anew.

compile   CPU time of a warm `rlc plan` against that of a bare interpreter
sweep     time of a thousand plans from one file of Starlark, and of ten thousand
choice    CPU time of a layout that is left to the planner, on 64 and on 10,000 GPUs
packing   time to pack a million sequences, how full micro-batches are, and a plain search for comparison
data      share of a step spent waiting for data, and rows per second against a plain loop
rollout   tokens per second of the native engine against Hugging Face and against loops written by hand
vllm      tokens per second of the native engine against vLLM's CPU build; needs --vllm-python
conversations
          turns that go on from the keys and values of those before, against turns that are computed anew
episodes  tokens per second of 512 episodes with slow tools against those with tools that answer at once
rewards   judging beside generation against judging after it
ray       a GRPO step whose trainer and engine are actors of Ray against the same step in one process
driver    what a driver does for a step with 512 engines that answer at once, against one with one
placement 64 GPUs that Ray is told of, on eight nodes, kept and given back
buffer    samples per second through the buffer, against a list
sync      weights to an engine on each way that there is, bytes per second, against a copy in memory
train     a whole GRPO step against TRL's; needs --peer-python

    python -m benchmarks
    python -m benchmarks rollout --threads 1
    python -m benchmarks train --peer-python ENVIRONMENT/bin/python
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.history import history, table_of
from benchmarks.options import Options
from benchmarks.record import RESULTS, Report, make_run, read_runs, write_run
from benchmarks.rounds import Effort

_MODULES = {
    "compile": "benchmarks.compile.warm_plan",
    "sweep": "benchmarks.compile.sweep",
    "choice": "benchmarks.compile.choice",
    "packing": "benchmarks.packing.million",
    "data": "benchmarks.data.waiting",
    "rollout": "benchmarks.rollout.decode",
    "conversations": "benchmarks.rollout.conversations",
    "vllm": "benchmarks.rollout.against_vllm",
    "episodes": "benchmarks.rollout.episodes",
    "rewards": "benchmarks.rewards.overlap",
    "ray": "benchmarks.train.on_ray",
    "driver": "benchmarks.scale.driver",
    "placement": "benchmarks.scale.placement",
    "buffer": "benchmarks.scale.buffer",
    "sync": "benchmarks.scale.sync",
    "train": "benchmarks.train.against_trl",
}


def main() -> None:
    """Measure what was asked for."""
    parser = _parser()
    given = parser.parse_args()
    if unknown := set(given.names) - set(_MODULES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(_MODULES)}")
    peers = {"train": ("TRL", "peer_python"), "vllm": ("vLLM", "vllm_python")}
    lacking = {name for name, (_, option) in peers.items() if getattr(given, option) is None}
    names = given.names or [name for name in _MODULES if name not in lacking]
    for name in lacking.intersection(names):
        peer, option = peers[name]
        wanted = f"--{option.replace('_', '-')}, an interpreter that can import it"
        parser.error(f"{name} is measured against {peer}: give {wanted}")
    options = Options(
        effort=Effort(rounds=given.rounds, patience_s=given.patience),
        threads=given.threads,
        peer_python=given.peer_python,
        vllm_python=given.vllm_python,
        hand_loop=given.hand_loop,
    )
    reports = [_measured(name, options) for name in names]
    folder = given.results
    write_run(make_run(given.date or datetime.now(UTC).date().isoformat(), reports), folder)
    (folder.parent / "HISTORY.md").write_text(history(read_runs(folder)), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_MODULES)} (all that can run)")
    parser.add_argument("--rounds", type=int, default=15, help="quiet rounds wanted of each comparison (15)")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to try for them (60)")
    parser.add_argument("--threads", type=int, default=cores, help=f"threads of every contestant ({cores})")
    parser.add_argument("--peer-python", type=Path, help="interpreter of an environment with trl")
    parser.add_argument("--vllm-python", type=Path, help="interpreter of an environment with vllm's CPU build")
    parser.add_argument("--hand-loop", type=Path, help="a file with another hand-written loop: class FastQwen3")
    parser.add_argument("--date", help="date of the run (today, UTC)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write; HISTORY.md goes beside it")
    return parser


def _measured(name: str, options: Options) -> Report:
    module: Any = import_module(_MODULES[name])
    report: Report = module.measure(options)
    sys.stdout.write(f"{name}\n\n{table_of(report)}\n\n")
    sys.stdout.flush()
    return report


if __name__ == "__main__":
    main()
