"""Times of the torch trainer's step: forward, backward, clipping and AdamW.  Prints one JSON line.

python -m benchmarks.train.step_rlc --steps 40 [--own-prompts] [--profile]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time

import torch
from torch.profiler import profile

from benchmarks.train.workload import make_batch, make_trainer

WARMUP_STEPS = 4


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--own-prompts", action="store_true", help="no two samples share a prompt")
    parser.add_argument("--profile", action="store_true", help="print a table of operations as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trainer = make_trainer()
    batches = [make_batch(seed, share_prompts=not options.own_prompts) for seed in range(4)]
    for batch in batches[:WARMUP_STEPS]:
        trainer.step(batch)
    faults, times = _page_faults(), list[float]()
    for i in range(options.steps):
        start = time.perf_counter()
        trainer.step(batches[i % len(batches)])
        times.append(time.perf_counter() - start)
    faults = (_page_faults() - faults) // options.steps
    report = {"train_s": statistics.median(times), "best_s": min(times), "page_faults_per_step": faults}
    sys.stdout.write(json.dumps({"engine": "rlc", **report, "torch": torch.__version__}) + "\n")
    if options.profile:
        with profile() as recorded:
            trainer.step(batches[0])
        sys.stdout.write(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=25) + "\n")


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
