"""The torch trainer against TRL's, in alternating processes on one machine; the figure is the ratio of medians.

Each round runs every contestant once, so that whatever else the machine does hits all of them.  `rlc, heap kept` is
the same code with the C library told to keep freed memory, as a target may put into a process's environment.

python -m benchmarks.train.against_trl --peer-python ENVIRONMENT/bin/python --rounds 5 --out result.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
KEPT_HEAP = ("MALLOC_MMAP_THRESHOLD_=268435456", "MALLOC_TRIM_THRESHOLD_=1073741824", "MALLOC_TOP_PAD_=67108864")


class Contestant(NamedTuple):
    """A command whose last line of output is JSON with train_s, the median seconds of a step."""

    name: str
    command: tuple[str, ...]


def main() -> None:
    """Run all rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="interpreter of an environment with trl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where to write all measurements as JSON")
    options = parser.parse_args()
    rlc = (sys.executable, "-m", "benchmarks.train.step_rlc")
    trl = (options.peer_python, "-m", "benchmarks.train.step_trl")
    contestants = (
        Contestant("trl", trl),
        Contestant("trl, heap kept", ("env", *KEPT_HEAP, *trl)),
        Contestant("rlc", rlc),
        Contestant("rlc, heap kept", ("env", *KEPT_HEAP, *rlc)),
        Contestant("rlc, no shared prompts", (*rlc, "--own-prompts")),
    )
    times: dict[str, list[float]] = {c.name: [] for c in contestants}
    for _ in range(options.rounds):
        for contestant in contestants:
            times[contestant.name].append(_measure(contestant))
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, median in medians.items():
        ratio = medians["trl"] / median
        sys.stdout.write(f"{name:24} {1e3 * median:7.1f} ms  best {1e3 * min(times[name]):7.1f} ms  {ratio:5.2f} x\n")
    if options.out is not None:
        options.out.write_text(json.dumps({"median_s_of_each_round": times, "median_s": medians}, indent=2) + "\n")


def _measure(contestant: Contestant) -> float:
    done = subprocess.run(contestant.command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{contestant.name} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])["train_s"])


if __name__ == "__main__":
    main()
