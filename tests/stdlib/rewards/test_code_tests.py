"""Programs out of responses, tests out of labels, and what counts as equal."""

from __future__ import annotations

import json

import pytest

from stdlib.rewards.code_tests import Trial, is_printed, is_returned, question, trials
from stdlib.samples import JsonValue
from tests.support.judged import sample

FENCE = "```"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"{FENCE}python\nprint(1)\n{FENCE}", "print(1)\n"),
        (f"first\n{FENCE}python\nprint(0)\n{FENCE}\n{FENCE}python\nprint(1)\n{FENCE}\n", "print(1)\n"),
        (f"{FENCE}py\nprint(1)\n{FENCE}\nOutput:\n{FENCE}\n1\n{FENCE}", "print(1)\n"),
        (f"{FENCE}\nprint(1)\n{FENCE}", "print(1)\n"),
        ("~~~python\nprint(1)\n~~~", "print(1)\n"),
        (f"{FENCE}`python\nprint(1)\n{FENCE}\n{FENCE}`", f"print(1)\n{FENCE}\n"),
        ("print(1)", None),
        (f"{FENCE}python\nprint(1)", None),
        ("", None),
    ],
)
def test_the_last_block_of_python_is_the_program(text: str, program: str | None) -> None:
    assert question(sample(text)) == program


APPS = {"inputs": ["1\n2\n", "3\n4\n"], "outputs": ["3\n", "7\n"]}
APPS_CALLS = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [[3], 7]}


@pytest.mark.parametrize(
    ("label", "metadata", "expected"),
    [
        (APPS, None, [Trial("print", "1\n2\n", "3\n"), Trial("print", "3\n4\n", "7\n")]),
        (json.dumps(APPS), None, [Trial("print", "1\n2\n", "3\n"), Trial("print", "3\n4\n", "7\n")]),
        (APPS_CALLS, None, [Trial("call", [1, 2], 3, "add"), Trial("call", [3, 4], 7, "add")]),
        ([{"input": "1", "output": "2", "testtype": "stdin"}], None, [Trial("print", "1", "2")]),
        (
            [{"input": '[1, 2]\n"a"', "output": "3", "testtype": "functional"}],
            {"func_name": "f"},
            [Trial("call", [[1, 2], "a"], 3, "f")],
        ),
        (
            {"test_list": ["assert f(1) == 1"], "test_setup_code": "import math"},
            None,
            [Trial("check", checks="import math\nassert f(1) == 1\n")],
        ),
        (
            {"test": "def check(f):\n    assert f(1)", "entry_point": "g"},
            None,
            [Trial("check", checks="def check(f):\n    assert f(1)\ncheck(g)\n")],
        ),
        (["assert f(1)"], None, [Trial("check", checks="assert f(1)\n")]),
        ("assert f(1)", None, [Trial("check", checks="assert f(1)\n")]),
    ],
    ids=["apps", "apps-json", "apps-calls", "lcb", "lcb-calls", "mbpp", "humaneval", "statements", "statement"],
)
def test_the_published_forms_of_tests(label: JsonValue, metadata: JsonValue, expected: list[Trial]) -> None:
    assert trials(label, metadata) == expected


@pytest.mark.parametrize(
    "label",
    [
        None,
        42,
        {},
        [],
        {"inputs": ["1"], "outputs": []},
        {"inputs": [], "outputs": []},
        [{"input": "1"}],
        [{"input": "1", "output": "1", "testtype": "functional"}],
    ],
)
def test_a_label_without_tests_is_refused(label: JsonValue) -> None:
    with pytest.raises(ValueError, match=r"the label|a test of|a functional"):
        trials(label, None)


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("1 2 \n3  \n\n", "1 2\n3", True),
        ("1.50", "1.5", True),
        ("1e2", "100", True),
        ("0.1", "0.2", False),
        ("1\n2", "1 2", False),
        ("yes", "YES", False),
        ("", "1", False),
        ("", "", True),
        ("nan", "nan", True),
    ],
)
def test_what_is_printed_is_compared_line_by_line(output: str, expected: str, same: bool) -> None:
    assert is_printed(output, expected) is same


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        (3, 3, True),
        (3.0, 3, True),
        (0.1 + 0.2, 0.3, True),
        (0.31, 0.3, False),
        (True, 1, False),
        (1, True, False),
        ([1, [2.0]], [1, [2]], True),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, None, True),
        ("a", "a", True),
        ("1", 1, False),
    ],
)
def test_what_is_returned_is_compared_as_json(value: JsonValue, expected: JsonValue, same: bool) -> None:
    assert is_returned(value, expected) is same
