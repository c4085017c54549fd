"""CPU time of a warm `rlc plan`, against that of an interpreter which does nothing and of one which loads Typer.

Warm means that bytecode and files are cached: a plan that is not counted sees to that.  CPU time, that of the
user and of the system together, depends on other processes less than the clock does.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.options import Options
from benchmarks.record import ROOT, Figure, Report, make_case
from benchmarks.rounds import Contestant, take_rounds

SPEC = "experiments/quickstart.toml"
PLAN = ("-m", "rlc", "plan", SPEC)
BARE, TYPER, RLC = "python -c pass", "python -c 'import typer'", f"rlc plan {SPEC}"
MOST_CPU_MS = 100.0


def measure(options: Options) -> Report:
    """Compare the three."""
    commands = {BARE: ("-c", "pass"), TYPER: ("-c", "import typer"), RLC: PLAN}
    plan_hash = _plan_hash()
    contestants = [Contestant(name=name, run=lambda words=words: _timed(words)) for name, words in commands.items()]
    rounds = take_rounds(contestants, options.effort)
    cpu_ms = 1e3 * rounds.medians()[RLC]["cpu_s"]
    figures = (
        Figure(name="CPU time", value=cpu_ms, unit="ms", bound=MOST_CPU_MS, sense="at most"),
        Figure(name="CPU time of rlc plan / bare interpreter", value=rounds.ratio(RLC, BARE, of="cpu_s"), unit="x"),
        Figure(name="CPU time of rlc plan / import typer", value=rounds.ratio(RLC, TYPER, of="cpu_s"), unit="x"),
    )
    case = make_case("warm plan", rounds, figures)
    return Report(benchmark="compile", cases=[case], settings={"spec": SPEC}, plan_hash=plan_hash)


def _timed(words: tuple[str, ...]) -> Mapping[str, float]:
    start, cpu_s = time.perf_counter(), _cpu_s_of_children()
    _output((sys.executable, *words))
    return {"cpu_s": _cpu_s_of_children() - cpu_s, "wall_s": time.perf_counter() - start}


def _cpu_s_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _output(words: tuple[str, ...]) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def _plan_hash() -> str:
    # The first plan that is made writes the bytecode, whatever the environment says of that.
    command = ("env", "-u", "PYTHONDONTWRITEBYTECODE", sys.executable, *PLAN, "--json")
    return str(json.loads(_output(command))["hash"])
