"""What a run leaves behind, and the page that is written from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.history import history
from benchmarks.record import RESULTS, Case, Figure, Report, Run, read_runs, write_run


def _run(date: str, ratio: float) -> Run:
    figures = [Figure(name="peer / rlc", value=ratio, unit="x", bound=1.5)]
    case = Case(
        name="a step", figures=figures, medians={"rlc": {"step_s": 0.25, "tokens": 2048.0}}, num_rounds=9, num_quiet=7
    )
    report = Report(benchmark="train", cases=[case], settings={"threads": 2}, plan_hash="abc")
    machine: dict[str, str | int] = {"cpu": "a CPU", "cores": 2}
    return Run(date=date, commit="0123456789ab", machine=machine, versions={"torch": "2"}, reports=[report])


def test_a_run_that_is_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    run = _run("2001-02-03", 1.75)
    write_run(run, tmp_path)
    assert list(read_runs(tmp_path)) == [run]


def test_runs_of_one_day_have_files_of_their_own_and_are_read_in_order(tmp_path: Path) -> None:
    runs = [_run("2001-02-03", ratio) for ratio in (1.0, 2.0, 3.0)] + [_run("2001-02-04", 4.0)]
    paths = [write_run(run, tmp_path) for run in runs]
    assert [path.name for path in paths] == [
        "2001-02-03.json",
        "2001-02-03-2.json",
        "2001-02-03-3.json",
        "2001-02-04.json",
    ]
    assert list(read_runs(tmp_path)) == runs


def test_the_page_says_what_was_measured_wanted_and_reached() -> None:
    page = history([_run("2001-02-03", 1.25), _run("2001-02-04", 1.75)])
    assert "| a step | peer / rlc | 1.75 x | at least 1.5: met | 7 of 9 |" in page
    assert "| a step | peer / rlc | 1.25 x | at least 1.5: missed | 7 of 9 |" in page
    assert "| a step | rlc | step 250.0 ms, tokens 2048 |" in page
    assert page.index("2001-02-04") < page.index("2001-02-03")


def test_a_figure_without_five_quiet_rounds_is_marked() -> None:
    run = _run("2001-02-03", 1.75)
    report = run.reports[0]
    case = replace(report.cases[0], num_quiet=4)
    assert "at least 1.5: met, disturbed" in history([replace(run, reports=[replace(report, cases=[case])])])


def test_the_page_of_the_repository_is_that_of_its_results() -> None:
    assert RESULTS.with_name("HISTORY.md").read_text(encoding="utf-8") == history(read_runs(RESULTS))
