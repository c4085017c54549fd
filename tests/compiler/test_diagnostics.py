"""Every bad spec of tests/cases raises the code in its name, in exactly these words, and its fixes fix it.

To add one, put a file there (bad_specs.py says how) and run this test with --update-golden; no Python is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.json_ import render_json
from compiler.diagnostics.text import render
from compiler.rules.catalogue import load_rules
from tests.compiler.bad_specs import CASES as FOLDER
from tests.compiler.bad_specs import Case, applied, compile_case, diagnostics_of, read_cases, rendered

CASES = read_cases()
BY_NAME = {case.name: case for case in CASES}
ROOT = Path(__file__).parents[2]

# Cases whose JSON is held as well: labels in several files, several diagnostics, a fix, no place at all.
IN_JSON = (
    "RLC0101_string_is_not_closed",
    "RLC0205_no_weights",
    "RLC0210_recipes_disagree",
    "RLC0301_more_samples_than_training_consumes",
    "RLC0302_group_size_and_max_tokens",
)

# Codes of the phases 00 to 05 that no text of a spec raises by being compiled, and why; other tests raise them.
ELSEWHERE = {
    "RLC0003": "a file of another kind, or one that may not be read",
    "RLC0004": "an empty file has no room for the name of its code",
    "RLC0005": "a binary file is no text",
    "RLC0006": "a file that is not UTF-8 is no text",
    "RLC0007": "a file of another kind",
    "RLC0008": "a file of more than a mebibyte",
    "RLC0013": "a fault of the standard library, which no spec can cause",
    "RLC0016": "more files than a case should have",
    "RLC0017": "a command line: --set beside a saved plan",
    "RLC0018": "a run directory",
    "RLC0019": "a command line: an unknown name after `rlc explain`",
    "RLC0020": "a saved plan",
    "RLC0021": "a command line: running",
    "RLC0022": "a command line: a file that cannot be written",
    "RLC0024": "a command line: a name after the colon",
    "RLC0412": "a command line: a plan that has no picture",
    "RLC0023": "a command line: a revision that git does not have",
    "RLC0030": "a command line: `rlc new` beside a file of that name",
    "RLC0031": "a command line: a name that the library does not have",
    "RLC0032": "a command line: what is no name for `rlc new`",
    "RLC0033": "a command line: `rlc new rule` outside of a checkout",
    "RLC0070": "a fault of rlc itself",
    "RLC0151": "a fault of the standard library, which no spec can cause",
    "RLC0312": "a run that is continued",
    "RLC0314": "a fault of a pass",
    "RLC0315": "a fault of a pass",
    "RLC0414": "a command line: --explain-choice where there is nothing to choose",
    "RLC0417": "a command line: a plan that cannot be simulated",
    "RLC0542": "a version of an engine, beside the pinned one, of which it is known what it takes",
    "RLC0503": "running: a plan may ask for more than a target executes today",
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_bad_spec_raises_the_code_in_its_name_in_these_words(name: str, golden: Callable[[str, str], None]) -> None:
    case = BY_NAME[name]
    found = diagnostics_of(case)
    assert {d.code for d in found} == case.codes
    golden(f"diagnostics/{name}.txt", rendered(found))


def test_all_faults_of_a_file_come_at_once() -> None:
    case = BY_NAME["RLC0201_everything_at_once"]
    lines = [label.span.line for found in diagnostics_of(case) for label in found.labels if label.is_primary]
    wrong = [
        "nodes",
        "max_steps",
        "prompts",
        "max_resp",
        "engine",
        "timeout",
        "batch_size",
        "precision",
        "lr",
        "momentum",
    ]
    text = (FOLDER / case.spec).read_text().split("\n")
    assert sorted(lines) == [1 + i for i, line in enumerate(text) if line.startswith(tuple(wrong))]


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        ("RLC0203_text_for_a_number", "RLC0301: whether a batch fits whose size nobody could read"),
        ("RLC0203_table_for_a_value", "RLC0201: a key in a table that should not be one"),
        ("RLC0203_stages_is_a_table", "RLC0202: tables that its stages would have read"),
        ("RLC0206_no_such_reward", "RLC0313: what one call of that reward is given"),
        ("RLC0206_no_such_algorithm", "RLC0202: what that algorithm would have read"),
        ("RLC0206_no_such_target", "RLC0502: engines that it may have"),
        ("RLC0212_no_such_model_directory", "RLC0205: each fact of that model; RLC0307: whether samples fit it"),
        ("RLC0301_no_whole_number", "RLC0313: the horizon that those steps would give"),
        ("RLC0205_no_target", "RLC0205: the same, as a field that is missing"),
        ("RLC0201_misspelt_part_of_a_batch", "RLC0301: what the field would be if nobody had meant it"),
    ],
)
def test_what_only_follows_from_another_fault_is_dropped(name: str, follows: str) -> None:
    assert len(diagnostics_of(BY_NAME[name])) == 1, follows


@pytest.mark.parametrize("name", IN_JSON)
def test_a_tool_reads_the_same_as_a_person(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"diagnostics/{name}.json", render_json(diagnostics_of(BY_NAME[name])) + "\n")


def _fixes() -> Iterator[object]:
    for case in CASES:
        for nth, found in enumerate(diagnostics_of(case)):
            for way in found.help:
                if way.sets and not way.unsets:  # --set cannot unset
                    label = f"{case.name}-{nth}-{','.join(f'{path}={value}' for path, value in way.sets)}"
                    yield pytest.param(case, found, way, id=label)


@pytest.mark.parametrize(("case", "found", "way"), list(_fixes()))
def test_a_fix_that_a_tool_can_apply_fixes_it_and_breaks_nothing(case: Case, found: Diagnostic, way: Help) -> None:
    before = diagnostics_of(case)
    after = compile_case(case, applied(case, way)).diagnostics
    same = [d for d in after if (d.code, d.paths) == (found.code, found.paths)]
    assert same == [], rendered(after)
    # A warning may only now be worth saying: an allowance that is idle once its fault is mended.
    faults = [d for d in after if d.severity == "error"]
    new = [d for d in faults if (d.code, d.paths) not in {(b.code, b.paths) for b in before}]
    assert new == [], rendered(new)
    if len(before) == 1:
        assert after == ()


def test_every_code_of_compiling_has_a_case_or_a_reason() -> None:
    written = {code for folder in ("compiler", "rlc") for code in _codes_in(ROOT / folder)}
    raised = {code for case in CASES for code in case.codes}
    assert written - raised - ELSEWHERE.keys() == set()
    assert ELSEWHERE.keys() & raised == set(), "these have a case now: strike them from the table"
    assert ELSEWHERE.keys() - written == set(), "no source raises these any more: strike them from the table"


@pytest.mark.parametrize("code", sorted(ELSEWHERE.keys() - {"RLC0070"}))  # no input of a user raises that one
def test_a_code_without_a_case_is_raised_by_another_test(code: str) -> None:
    others = (path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    assert any(code in path.read_text() for path in others)


def _codes_in(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        yield from re.findall(r"\bRLC0[0-5]\d\d\b", file.read_text())


def test_every_rule_has_a_case_and_a_test_of_its_own() -> None:
    raised = {case.code for case in CASES}
    tests = {path.stem.removeprefix("test_") for path in (Path(__file__).parent / "rules").glob("test_*.py")}
    assert {rule.name for rule in load_rules()} <= tests
    assert {rule.code for rule in load_rules()} <= raised | ELSEWHERE.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_message_is_made_as_the_language_page_says(name: str) -> None:
    for found in diagnostics_of(BY_NAME[name]):
        assert found.message
        assert not found.message.endswith("."), "a message is a fact, not a sentence"
        assert len(found.help) <= 3, "at most three ways out"
        assert len([label for label in found.labels if label.is_primary]) == min(1, len(found.labels))
        assert all(label.text for label in found.labels), "a label says what its text contributes"
        text = render(found, color=False, ascii_only=True)
        assert "stages.0" not in text, "a path is shown as a person writes it"
        assert "stages.1" not in text, "a path is shown as a person writes it"


def test_a_case_says_what_it_is_by_its_name_and_its_first_lines(tmp_path: Path) -> None:
    (tmp_path / "RLC0301_two_of_one.toml").write_text(
        "# rlc: --set a=1 --set 'b=\"two words\"'\n# also: RLC0202 RLC0203\n# a note\nc = 1\n# also: RLC0204\n"
    )
    (tmp_path / "RLC0101_a_folder").mkdir()
    (tmp_path / "RLC0101_a_folder/spec.toml").write_text("[\n")
    folder, file = read_cases(tmp_path)
    assert (folder.name, folder.spec, folder.codes) == (
        "RLC0101_a_folder",
        Path("RLC0101_a_folder/spec.toml"),
        {"RLC0101"},
    )
    assert file.overrides == ("a=1", 'b="two words"')
    assert file.codes == {"RLC0301", "RLC0202", "RLC0203"}


@pytest.mark.parametrize(
    ("name", "text"),
    [("bad.toml", ""), ("RLC301_short.toml", ""), ("RLC0301_x.json", ""), ("RLC0301_x.toml", "# rlc: --ascii\n")],
)
def test_what_is_no_case_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        read_cases(tmp_path)
