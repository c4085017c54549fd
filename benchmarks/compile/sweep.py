"""Time to compile every plan of one sweep: a thousand, and ten thousand, which must not take more than ten times it.

A thousand plans of eight GPUs are another case: these forecast memory and time, and say how engines are started.

Each is measured in a process of its own that does what `rlc plan FILE.star` does without printing: the file is run
once, and each experiment is loaded, lowered, resolved, checked and frozen.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.options import Options
from benchmarks.record import ROOT, Case, Figure, Report

SPEC = """load("//recipes:grpo.star", "grpo")

def arm(clip_high):
    return experiment(
        name = "clip-%s" % clip_high,
        use = [grpo(clip_high = clip_high)],
        model = dict(name = "//models:tiny_qwen3"),
        cluster = dict(target = "cpu"),
        run = dict(max_steps = 10),
        rollout = dict(prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16),
        reward = dict(name = "exact"),
        train = dict(global_batch = 32),
        data = dict(train = [dict(path = "train.jsonl")]),
    )

sweep([arm(0.2 + i / 100000) for i in range(%d)])
"""
ON_GPUS = """load("//recipes:grpo.star", "grpo")

def arm(clip_high):
    return experiment(
        name = "clip-%s" % clip_high,
        use = [grpo(clip_high = clip_high)],
        model = dict(name = "//models:qwen3_4b", weights = "checkpoint"),
        cluster = dict(target = "cuda", gpus_per_node = "8xH100-80-SXM"),
        parallel = dict(tp = 2),
        run = dict(max_steps = 10),
        rollout = dict(
            prompts_per_step = 32,
            samples_per_prompt = 8,
            max_prompt_tokens = "1Ki",
            max_response_tokens = "8Ki",
        ),
        reward = dict(name = "math"),
        train = dict(global_batch = 256, precision = "bf16"),
        data = dict(train = [dict(path = "train.jsonl")]),
    )

sweep([arm(0.2 + i / 100000) for i in range(%d)])
"""
PROGRAM = """
import gc, json, resource, sys, time
from pathlib import Path
from compiler.compile import compile_all
from rlc.catalogue import scan
gc.disable()
start, cpu = time.perf_counter(), time.process_time()
plans = sum(found.plan is not None for _, found in compile_all(Path(sys.argv[1]), scan()))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"plans": plans, "wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu,
                  "peak_mib": usage.ru_maxrss / 1024}))
"""
SMALL, LARGE = 1_000, 10_000
MOST_WALL_S = 5.0
MOST_GROWTH = 1.2


def measure(options: Options) -> Report:
    """Measure the small size often, without GPUs and with them, and the large one once."""
    num_rounds = max(1, min(5, options.effort.rounds))
    medians = _medians(SPEC, num_rounds)
    large = _measured(SPEC, LARGE)
    growth = large["cpu_s"] / medians["cpu_s"] / (LARGE / SMALL)
    figures = (
        _time_of(SMALL, medians),
        Figure(name=f"CPU time of {LARGE:,} plans", value=large["cpu_s"], unit="s"),
        Figure(name="CPU time of a plan, 10,000 / 1,000", value=growth, unit="x", bound=MOST_GROWTH, sense="at most"),
        Figure(name=f"peak memory of {LARGE:,} plans", value=large["peak_mib"], unit="MiB"),
    )
    taken = {f"{SMALL} plans": medians, f"{LARGE} plans": large}
    case = Case(name="sweep", figures=figures, medians=taken, num_rounds=num_rounds, num_quiet=num_rounds)
    of_gpus = _medians(ON_GPUS, num_rounds)
    on_gpus = Case(
        name="sweep on GPUs",
        figures=(_time_of(SMALL, of_gpus),),
        medians={f"{SMALL} plans": of_gpus},
        num_rounds=num_rounds,
        num_quiet=num_rounds,
    )
    return Report(benchmark="sweep", cases=[case, on_gpus], settings={"small": SMALL, "large": LARGE})


def _time_of(num_plans: int, medians: Mapping[str, float]) -> Figure:
    name = f"time of {num_plans:,} plans"
    return Figure(name=name, value=medians["wall_s"], unit="s", bound=MOST_WALL_S, sense="at most")


def _medians(spec: str, num_rounds: int) -> dict[str, float]:
    runs = [_measured(spec, SMALL) for _ in range(num_rounds)]
    return {key: statistics.median(run[key] for run in runs) for key in ("wall_s", "cpu_s", "peak_mib")}


def _measured(text: str, num_plans: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="rlc-sweep-") as folder:
        spec = Path(folder) / "sweep.star"
        spec.write_text(text.replace("%d", str(num_plans)), encoding="utf-8")
        command = (sys.executable, "-c", PROGRAM, str(spec))
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the sweep failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    if found.pop("plans") != num_plans:
        sys.exit("not every experiment of the sweep has a plan")
    return found
