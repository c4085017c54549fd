"""A campaign: every target in a process of its own for its share of the time, and the property tests beside them.

What was found is looked at again in a plain process before anybody is told, so that neither the counting of branches
nor a busy machine makes a finding.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.findings import crashes, findings
from tests.fuzz.target import names

PROJECT = Path(__file__).parents[2]
NUM_PROCESSES = 2
SHARE_OF_PROPERTIES = 0.2
LARGEST_INPUT = 16_384

_LIMITS = ("-rss_limit_mb=2048", "-timeout=600", "-report_slow_units=600", "-print_final_stats=1")
# What a process needs before its first input.
_LEAST_S = 10
# More would leave no time for anything else.
_SEEDS_A_SECOND = 1.0
# What pytest returns where every test passed, and where it was interrupted.
_NOTHING_WRONG = (0, 2)
_STATISTICS = {
    "num_inputs": re.compile(r"stat::number_of_executed_units:\s*(\d+)"),
    "num_branches": re.compile(r"DONE\s+cov: (\d+)"),
    "num_kept": re.compile(r"DONE\s.* corp: (\d+)/"),
}


class Budget(NamedTuple):
    """How long targets are fuzzed: so many seconds, or so many inputs of a fixed draw; begun with some of the seeds."""

    seconds: float = 0.0
    num_inputs: int = 0
    num_seeds: int = 0
    largest: int = LARGEST_INPUT

    @property
    def options(self) -> tuple[str, ...]:
        """The options of libFuzzer."""
        most = f"-max_len={self.largest}"
        if self.num_inputs:
            return (*_LIMITS, most, f"-runs={self.num_inputs}", "-seed=1")
        return (*_LIMITS, most, f"-max_total_time={max(1, int(self.seconds))}")


class Ended(NamedTuple):
    """How targets fared: inputs that were tried, branches that they reached, inputs that are kept for that.

    `log` is the end of what the last process said; no input means that it could not even begin.
    """

    name: str
    seconds: float
    num_inputs: int
    num_branches: int
    num_kept: int
    log: str

    @property
    def row(self) -> str:
        """One line for a person."""
        if not self.num_inputs:
            return f"{self.name} could not begin:\n{self.log}"
        rate = self.num_inputs / self.seconds
        numbers = f"{self.num_inputs:8,} inputs {rate:6.1f}/s {self.num_branches:7,} branches {self.num_kept:6,} kept"
        return f"{self.name:<18}{numbers}"


def fuzz(targets: Sequence[str], folder: Path, budget: Budget) -> Ended:
    """Fuzz targets in one process; where it crashes, another goes on for the rest of the time."""
    ended = _process(targets, folder, budget)
    while ended.num_inputs and budget.seconds - ended.seconds > _LEAST_S:
        following = _process(targets, folder, budget._replace(seconds=budget.seconds - ended.seconds))
        num_inputs = following.num_inputs and ended.num_inputs + following.num_inputs
        ended = following._replace(num_inputs=num_inputs, seconds=ended.seconds + following.seconds)
    return ended


def is_guided() -> bool:
    """Whether atheris is there, which follows the branches that inputs reach."""
    return find_spec("atheris") is not None


def is_seen_again(path: Path) -> bool:
    """Whether an input that was found is wrong in a plain process too; that process says what is."""
    again = subprocess.run([sys.executable, "-m", "tests.fuzz", "--replay", path], cwd=PROJECT, check=False)
    return again.returncode != 0


def run_campaign(folder: Path, minutes: float, targets: Sequence[str]) -> int:
    """Fuzz for so many minutes, print how it went, and return 1 if anything is wrong.

    Args:
        targets: some of the targets, and no property tests; all of both if there are none.
    """
    shutil.rmtree(folder / "findings", ignore_errors=True)
    chosen = list(targets) or names()
    total_s = 60 * minutes * min(NUM_PROCESSES, len(chosen))
    properties_s = 0.0 if targets else total_s * SHARE_OF_PROPERTIES
    each_s = (total_s - properties_s) / len(chosen)
    budget = Budget(seconds=each_s, num_seeds=max(1, int(each_s * _SEEDS_A_SECOND)))
    is_sound = True
    with ThreadPoolExecutor(NUM_PROCESSES) as pool:
        properties = pool.submit(_check_properties, properties_s)
        for fuzzed in [pool.submit(fuzz, [name], folder, budget) for name in chosen]:
            ended = fuzzed.result()
            print(ended.row, flush=True)
            is_sound &= bool(ended.num_inputs)
        is_sound &= properties.result()
    is_sound &= not [path for path in findings(folder) if is_seen_again(path)]
    for path in crashes(folder):
        print(f"a process ended over {path}, whose first line names the target")
        is_sound = False
    print("nothing was found" if is_sound else f"what was found is in {folder / 'findings'}")
    return 0 if is_sound else 1


def _process(targets: Sequence[str], folder: Path, budget: Budget) -> Ended:
    module = "tests.fuzz.guided" if is_guided() else "tests.fuzz.unguided"
    command = [sys.executable, "-m", module, ",".join(targets), str(folder), str(budget.num_seeds)]
    start = time.monotonic()
    done = subprocess.run(
        [*command, *budget.options], cwd=PROJECT, check=False, capture_output=True, text=True, errors="replace"
    )
    log = done.stdout + done.stderr
    numbers = {key: int(found[1]) if (found := pattern.search(log)) else 0 for key, pattern in _STATISTICS.items()}
    return Ended(targets[0], time.monotonic() - start, **numbers, log=log[-2_000:])


def _check_properties(seconds: float) -> bool:
    """Run the property tests again and again with other draws, as long as there is time."""
    end = time.monotonic() + seconds
    num_rounds = 0
    while (rest := end - time.monotonic()) > _LEAST_S:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", "--hypothesis-profile=fuzz"]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = process.communicate(timeout=rest)
            num_rounds += 1
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate()
        if re.search(r"^(FAILED|ERROR) ", said, re.MULTILINE) or process.returncode not in _NOTHING_WRONG:
            print(said, flush=True)
            return False
    if seconds:
        print(f"{'property tests':<18}{num_rounds:8,} rounds", flush=True)
    return True
