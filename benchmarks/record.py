"""What a run of the benchmarks leaves behind: one JSON file, with all that is needed to read it later."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from benchmarks.rounds import Rounds

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number that a comparison comes down to.  Without a bound it is only reported."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    sense: Literal["at least", "at most"] = "at least"

    @property
    def is_met(self) -> bool:
        """Whether the bound holds, if there is one."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One comparison: the medians of all contestants and the figures."""

    name: str
    figures: Sequence[Figure]
    medians: Mapping[str, Mapping[str, float]]
    num_rounds: int
    num_quiet: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The cases of one benchmark, what they were measured with, and the plan that was executed or made, if any."""

    benchmark: str
    cases: Sequence[Case]
    settings: Mapping[str, str | int | float]
    plan_hash: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run on one machine."""

    date: str
    commit: str
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    reports: Sequence[Report]


def make_case(name: str, rounds: Rounds, figures: Sequence[Figure]) -> Case:
    """Return a case with the medians of its rounds."""
    return Case(
        name=name,
        figures=figures,
        medians=rounds.medians(),
        num_rounds=len(rounds.rounds),
        num_quiet=rounds.num_quiet,
    )


def make_run(date: str, reports: Sequence[Report]) -> Run:
    """Return a run with what is known of this machine and checkout."""
    packages = ("torch", "transformers", "typer")
    return Run(
        date=date,
        commit=_commit(),
        machine={"cpu": _cpu_model(), "cores": len(os.sched_getaffinity(0)), "system": platform.system()},
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        reports=reports,
    )


def write_run(run: Run, folder: Path) -> Path:
    """Write a run to a file of its own, named for its date, and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"{run.date}.json", *(f"{run.date}-{number}.json" for number in range(2, 1000)))
    path = next(folder / name for name in names if not (folder / name).exists())
    path.write_text(json.dumps(_rounded(asdict(run)), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def read_runs(folder: Path) -> Iterator[Run]:
    """Yield the runs of a folder, oldest first."""
    for path in sorted(folder.glob("*.json"), key=lambda p: (p.stem[:10], len(p.stem), p.stem)):
        yield read_run(path.read_text(encoding="utf-8"))


def read_run(text: str) -> Run:
    """Return the run of a file's text."""
    fields: Any = json.loads(text)
    reports = [_report(report) for report in fields.pop("reports")]
    return Run(**fields, reports=reports)


def _report(fields: Any) -> Report:
    cases = [_case(case) for case in fields.pop("cases")]
    return Report(**fields, cases=cases)


def _case(fields: Any) -> Case:
    figures = [Figure(**figure) for figure in fields.pop("figures")]
    return Case(**fields, figures=figures)


def _rounded(value: Any) -> Any:
    """Return a tree of JSON with its floats to five significant digits: more is noise."""
    match value:
        case dict():
            return {key: _rounded(part) for key, part in value.items()}
        case [*parts]:
            return [_rounded(part) for part in parts]
        case float():
            return float(f"{value:.5g}")
        case _:
            return value


def _commit() -> str:
    """Return the commit checked out, marked where tracked files differ from it, or a word if there is none."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str:
    command = ("git", "--no-optional-locks", *words)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
