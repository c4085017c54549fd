"""CPU time of a layout that is left out: of 64 GPUs at most a second, of 10,000 at most five.

The model with experts is the larger space, the dense one has more that fits.  Each is measured in a process of its own,
as `rlc plan` does it, without what an interpreter and the libraries take.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.options import Options
from benchmarks.record import ROOT, Case, Figure, Report

SPEC = """name = "choice"
use = ["//recipes:grpo"]
[model]
name = "//models:{model}"
weights = "checkpoint"
[cluster]
target = "cuda"
nodes = {nodes}
gpus_per_node = "8xH100-80-SXM"
[rollout]
prompts_per_step = {prompts}
samples_per_prompt = 8
max_prompt_tokens = "1Ki"
max_response_tokens = "8Ki"
[train]
precision = "bf16"
global_batch = {batch}
[run]
max_steps = 100
[reward]
name = "math"
[[data.train]]
path = "train.jsonl"
"""
PROGRAM = """
import json, sys, time
from pathlib import Path
from compiler.compile import compile_spec
from compiler.passes.choose_layout import choose_layout
from compiler.passes import pipeline
from rlc.catalogue import scan
taken = []
def timed(experiment, origins, catalogue):
    start = time.process_time()
    found = choose_layout(experiment, origins, catalogue)
    taken.append(time.process_time() - start)
    return found
steps = pipeline.PIPELINE
pipeline.PIPELINE = tuple(s._replace(run=timed) if s.name == "choose_layout" else s for s in steps)
found = compile_spec(Path(sys.argv[1]), scan())
print(json.dumps({"is_plan": found.plan is not None, "cpu_s": sum(taken)}))
"""
MODELS = ("qwen2_5_32b", "qwen3_30b_a3b", "glm4_5_106b_a12b")
SIZES = {64: (8, 256, 1.0), 10_000: (1250, 2500, 5.0)}  # machines, prompts of a step, and seconds that it may take


def measure(options: Options) -> Report:
    """Measure each model on each number of GPUs."""
    num_rounds = max(1, min(3, options.effort.rounds))
    figures: list[Figure] = []
    medians: dict[str, dict[str, float]] = {}
    for gpus, (nodes, prompts, most_s) in SIZES.items():
        for model in MODELS:
            spec = SPEC.format(model=model, nodes=nodes, prompts=prompts, batch=prompts * 8)
            cpu_s = statistics.median(_measured(spec) for _ in range(num_rounds))
            name = f"CPU time of a choice, {model} on {gpus:,} GPUs"
            figures.append(Figure(name=name, value=cpu_s, unit="s", bound=most_s, sense="at most"))
            medians[f"{model} on {gpus}"] = {"cpu_s": cpu_s}
    case = Case(name="choice", figures=tuple(figures), medians=medians, num_rounds=num_rounds, num_quiet=num_rounds)
    return Report(benchmark="choice", cases=[case], settings={"models": ", ".join(MODELS)})


def _measured(text: str) -> float:
    with tempfile.TemporaryDirectory(prefix="rlc-choice-") as folder:
        spec = Path(folder) / "spec.toml"
        spec.write_text(text, encoding="utf-8")
        command = (sys.executable, "-c", PROGRAM, str(spec))
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the choice failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    if not found["is_plan"]:
        sys.exit("a layout that was to be chosen has no plan")
    return found["cpu_s"]
