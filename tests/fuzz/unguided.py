"""One process that fuzzes targets without atheris, where there is none: the same changes of seeds, and no coverage.

    python -m tests.fuzz.unguided TARGET[,TARGET ...] FOLDER NUM_SEEDS -runs=N | -max_total_time=SECONDS [-seed=N]
                                  [-max_len=BYTES]

Options, output and findings are those of `tests.fuzz.guided`; other options are not looked at.
"""

from __future__ import annotations

import random
import sys
import time
from itertools import count
from pathlib import Path

from tests.fuzz.findings import keep
from tests.fuzz.several import Several
from tests.fuzz.workplace import working_place

_LARGEST = 16_384
_MOST_CHANGES = 3


def main(names: list[str], folder: Path, num_seeds: int, options: list[str]) -> None:
    """Fuzz until the options say that it is enough, and say how many inputs that were."""
    given = dict(option.lstrip("-").split("=", 1) for option in options)
    most, end = int(given.get("runs", 0)), time.monotonic() + float(given.get("max_total_time", "inf"))
    largest = int(given.get("max_len", _LARGEST))
    rng = random.Random(given.get("seed"))
    findings = (folder / "findings").absolute()
    with working_place():
        several = Several(names, num_seeds)
        pool = list(several.seeds())
        for tried in count(1):
            data = rng.choice(pool)
            for _ in range(rng.randint(1, _MOST_CHANGES)):
                data = several.mutated(data, largest, rng.getrandbits(32), lambda same, _: same)
            name, rest, fault = several.fault_of(data, patience=1.0)
            if fault is not None:
                keep(findings / name / fault.signature, rest, fault.report)
            if tried == most or time.monotonic() > end:
                break
    sys.stdout.write(f"stat::number_of_executed_units: {tried}\n")


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
