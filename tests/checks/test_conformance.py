"""The runner of conformance suites, on small files of our own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from checks.conformance.__main__ import main
from checks.conformance.chunks import Chunk, fingerprint, fits, read_chunks
from checks.conformance.differences import Difference, Differences, read_differences
from checks.conformance.program import Failure, run_chunk
from checks.conformance.report import judge_file, table

NONE = Differences({}, ())


def only(text: str) -> Chunk:
    (chunk,) = read_chunks(text)
    return chunk


def failures(text: str, phase: str = "run") -> list[tuple[int, str]]:
    """Return the line of each failure of a program, with what there was."""
    return [(failure.line, failure.got) for failure in run_chunk(only(text), "a.star", phase).failures]


def test_a_line_of_three_dashes_ends_a_chunk_and_lines_keep_their_numbers() -> None:
    first, second = read_chunks("x = 1\n---\nx = 2\ny = x + '' ### \"unknown (binary )?op\"\n")
    assert (first.first_line, first.expected) == (1, {})
    assert (second.first_line, second.expected) == (3, {4: "unknown (binary )?op"})
    assert second.line(3) == "x = 2"


def test_a_marker_that_stands_alone_is_about_any_line_and_any_implementation() -> None:
    chunk = only("### java: unsupported\n### rust: no such thing\n# option:recursion option:set\nNone < 1\n")
    assert chunk.anywhere == ("unsupported", "no such thing")
    assert chunk.options == {"recursion", "set"}
    assert failures(chunk.text) == []


def test_a_ruler_of_hash_signs_is_no_marker() -> None:
    chunk = only("##########\nx = 1\n")
    assert (chunk.expected, chunk.anywhere) == ({}, ())


@pytest.mark.parametrize(
    ("words", "message", "does"),
    [
        ("not found", "x: Not Found here", True),
        ("a.*c", "abc", True),
        ("f(x", "call f(x) again", True),
        ("f(x", "call g(x) again", False),
    ],
)
def test_words_fit_as_text_or_as_an_expression(words: str, message: str, does: bool) -> None:
    assert fits(words, message) is does


def test_assertions_of_both_manners_are_noted_and_the_program_goes_on() -> None:
    program = "assert_eq(1, 1)\nassert_eq(1, 2)\nassert.true([])\nassert_ne(3, 3)\nassert.lt(2, 1)\nassert_(0)\n"
    assert [line for line, _ in failures(program)] == [2, 3, 4, 5, 6]


def test_what_must_fail_does_so_or_is_noted() -> None:
    program = "assert.fails(lambda: 1 // 0, 'by zero')\nassert_fails(lambda: 1, 'x')\nassert.contains([1], 1)\n"
    assert failures(program) == [(2, "none")]


def test_a_failure_that_spends_the_budget_leaves_enough_for_the_rest() -> None:
    assert failures("assert.fails(lambda: 'a' * 1000000000, 'too large')\nassert_eq([1] * 2, [1, 1])\n") == []


def test_a_failure_where_the_marker_stands_is_right_whatever_it_says() -> None:
    outcome = run_chunk(only("def f():\n    return 1 // 0\nf() ### quotient without end\n"), "a.star")
    assert outcome.failures == ()
    assert [(each.line, each.wanted) for each in outcome.reworded] == [(2, "quotient without end")]


def test_a_marker_is_met_on_any_line_of_the_call_that_fails() -> None:
    assert failures("len(\n    1,\n    2) ### too many\n") == []


def test_a_failure_on_another_line_is_noted_and_so_is_the_one_that_is_missing() -> None:
    assert failures("x = 1 // 0\ny = 2 ### division\n") == [(1, "integer division by zero: 1 // 0"), (2, "none")]


def test_one_fault_hides_no_other_and_what_follows_from_it_is_none() -> None:
    program = "x = 1 // 0\ny = x + 1\nz = [][0]\nassert_eq(1, 2)\n"
    assert [line for line, _ in failures(program)] == [1, 3, 4]


def test_a_text_that_is_no_program_loses_the_statement_that_is_none() -> None:
    program = 'assert_eq(\n    "\\xff",\n    1,\n)\nassert_eq(1, 2)\n'
    assert [line for line, _ in failures(program)] == [2, 5]


def test_a_frozen_value_fails_when_it_is_changed() -> None:
    program = 'load("assert.star", "assert", "freeze")\nx = freeze([1])\nassert.fails(lambda: x.append(2), "frozen")\n'
    outcome = run_chunk(only(program), "a.star")
    assert (outcome.failures, outcome.reworded) == ((), ())


def test_other_files_cannot_be_loaded() -> None:
    assert failures('load("other.star", "x")\n') == [(1, "there is no file other.star")]


def test_names_are_looked_at_only_from_the_phase_on_that_does() -> None:
    program = "x = y\nx = M(U) ### twice\n"
    assert failures(program, "parse") == [(2, "none")]
    assert failures(program, "resolve") == [(1, "undefined name `y`")]


def write(folder: Path, text: str) -> Path:
    path = folder / "some.star"
    path.write_text(text, encoding="utf-8")
    return path


def listed(*lines: str, chunks: tuple[str, ...] = ()) -> Differences:
    return Differences({"while": "no"}, (Difference("it", "why", frozenset(lines), frozenset(chunks)),))


def test_a_file_is_counted_chunk_by_chunk(tmp_path: Path) -> None:
    judged = judge_file(write(tmp_path, "x = 1\n---\nx = 1 // 0\n---\n1 // 0 ### zero\n"), NONE, "run")
    assert (judged.chunks, judged.passed, judged.differ, judged.failed) == (3, 2, 0, 1)
    assert [(fault.failure.line, fault.key) for fault in judged.faults] == [
        (3, f"some.star {fingerprint('x = 1 // 0')}")
    ]
    assert table([("some.star", judged)]) == [
        "file         chunks    passed    differ    failed  reworded",
        "some.star         3         2         0         1         0",
        "total             3         2         0         1         0",
    ]


def test_what_differs_on_purpose_is_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path, "x = 1 // 0\n---\n# option:while\nx = [][0]\n---\ny = {}[1]\n")
    chunk = read_chunks(path.read_text(encoding="utf-8"))[2]
    differences = listed(f"some.star {fingerprint('x = 1 // 0')}", chunks=(f"some.star {chunk.fingerprint}",))
    judged = judge_file(path, differences, "run")
    assert (judged.passed, judged.differ, judged.failed, judged.faults) == (0, 3, 0, ())


def test_a_difference_that_is_none_any_more_is_told(tmp_path: Path) -> None:
    key = f"some.star {fingerprint('x = 1')}"
    judged = judge_file(write(tmp_path, "x = 1\n"), listed(key), "run")
    assert judged.stale == (f"some.star:1: {key}",)


def test_the_list_of_this_repository_gives_a_reason_for_everything() -> None:
    differences = read_differences()
    assert all(each.what and each.reason and (each.lines or each.chunks) for each in differences.listed)
    assert all(differences.options.values())


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("assert_eq(1, 1)\n", 0, ""),
        ("x = [][0]\n", 1, "some.star:1: wanted no failure"),
        ("", 2, "no .star file below"),
    ],
)
def test_the_command_prints_the_table_and_fails_where_something_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, code: int, said: str
) -> None:
    if text:
        write(tmp_path, text)
    monkeypatch.setattr(sys, "argv", ["conformance", str(tmp_path)])
    assert main() == code
    assert said in capsys.readouterr().out


def test_a_failure_is_plain_data() -> None:
    (failure,) = run_chunk(only("assert_eq(1, 2)\n"), "a.star").failures
    assert failure == Failure(1, "1 == 2", "it is not so")
