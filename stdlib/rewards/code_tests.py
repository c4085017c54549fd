"""Whether the program in the response passes the tests of the label, run in a sandbox.

The program is the last fenced block of the response that is marked as Python, else its last fenced block; a response
without one scores 0.  The label is one of these, as an object or as JSON text:

- `{"inputs": [...], "outputs": [...]}`: what is read and printed, as in APPS and TACO; with `fn_name`, arguments and
  results of that function, or of that method of a class `Solution`;
- a list of `{"input", "output", "testtype"}`, as in LiveCodeBench, `func_name` in the row's metadata;
- `{"test_list": [...]}` with `test_setup_code`, as in MBPP, or a list of such statements;
- `{"test": ..., "entry_point": ...}`, as in HumanEval: statements that define `check`, which is then called.

Each test has a process of its own that confines itself before the program begins: no network, no other processes, no
files but its own folder, bounded time, memory and output.  Printed output is compared line by line, white space at the
ends of lines aside, and where that differs number by number; results of functions as JSON, fractions up to rounding.

Sources: Hendrycks et al., APPS, arXiv:2105.09938; Jain et al., LiveCodeBench, arXiv:2403.07974; Austin et al., MBPP,
arXiv:2108.07732; Chen et al., HumanEval, arXiv:2107.03374.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from stdlib.samples import JsonValue, Sample

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)")
_PYTHON = ("python", "python3", "py")


class Trial(NamedTuple):
    """One test: a program is given `given` to read and should print `expected`; or its `function` is called with
    `given` and should return `expected`; or `checks` have to pass behind it.
    """

    kind: Literal["print", "call", "check"]
    given: Any = ""
    expected: Any = ""
    function: str = ""
    checks: str = ""


def question(sample: Sample) -> str | None:
    """Return the program of a response, or None."""
    found = _blocks(sample.text)
    marked = [body for language, body in found if language in _PYTHON]
    return marked[-1] if marked else found[-1][1] if found else None


def trials(label: JsonValue, metadata: JsonValue) -> list[Trial]:
    """Return the tests of a label.  Raises: ValueError if it is none of the kinds above."""
    given = _parsed(label)
    if isinstance(given, dict) and "inputs" in given and "outputs" in given:
        return _of_inputs(given)
    if isinstance(given, dict) and "test_list" in given:
        setup = "\n".join([*_texts(given.get("test_imports", [])), str(given.get("test_setup_code", ""))])
        return [Trial("check", checks=f"{setup}\n{test}\n") for test in _texts(given["test_list"])]
    if isinstance(given, dict) and "test" in given:
        return [Trial("check", checks=f"{given['test']}\ncheck({given['entry_point']})\n")]
    if isinstance(given, list) and given and all(isinstance(test, str) for test in given):
        return [Trial("check", checks=f"{test}\n") for test in given]
    if isinstance(given, list) and given and all(isinstance(test, dict) for test in given):
        known = metadata if isinstance(metadata, dict) else {}
        return [_of_a_pair(test, str(known.get("func_name") or "")) for test in given]
    raise ValueError("the label holds no tests: inputs and outputs, a list of them, test_list, or test and entry_point")


def is_printed(output: str, expected: str) -> bool:
    """Whether what was printed is what should have been."""
    found, wanted = _lines(output), _lines(expected)
    if len(found) != len(wanted):
        return False
    return all(one == other or _are_numbers(one, other) for one, other in zip(found, wanted, strict=True))


def is_returned(value: Any, expected: Any) -> bool:
    """Whether a function's result, as JSON, is the expected one."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, int | float) and isinstance(expected, int | float):
        return value == expected or math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(is_returned(a, b) for a, b in zip(value, expected, strict=True))
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(is_returned(value[key], expected[key]) for key in value)
    return bool(value == expected)


def _blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a text that are closed, each with its language; in one pass, whatever the text is."""
    found: list[tuple[str, str]] = []
    fence, language, body = "", "", list[str]()
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not fence and mark is not None:
            fence, language, body = mark[1], mark[2].lower(), list[str]()
        elif fence and line.strip() == fence:
            found.append((language, "".join(f"{inner}\n" for inner in body)))
            fence = ""
        elif fence:
            body.append(line)
    return found


def _parsed(label: JsonValue) -> Any:
    if not isinstance(label, str):
        return label
    try:
        return json.loads(label)
    except ValueError:
        return [label]


def _of_inputs(given: Any) -> list[Trial]:
    inputs, outputs, name = given["inputs"], given["outputs"], given.get("fn_name")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs) or not inputs:
        raise ValueError("the label has to have as many outputs as inputs, and at least one")
    pairs = zip(inputs, outputs, strict=True)
    if not name:
        return [Trial("print", _text(one), _text(other)) for one, other in pairs]
    # APPS wraps the result of a function in a list of one.
    return [
        Trial("call", list(one), other[0] if isinstance(other, list) and len(other) == 1 else other, str(name))
        for one, other in pairs
    ]


def _of_a_pair(test: Any, function: str) -> Trial:
    if "input" not in test or "output" not in test:
        raise ValueError("a test of the label has no input, or no output")
    if test.get("testtype", "stdin") == "stdin":
        return Trial("print", _text(test["input"]), _text(test["output"]))
    if not function:
        raise ValueError("a functional test needs func_name in the metadata of the row")
    arguments = [json.loads(line) for line in str(test["input"]).splitlines() if line.strip()]
    return Trial("call", arguments, json.loads(str(test["output"])), function)


def _texts(given: Any) -> list[str]:
    if not isinstance(given, list):
        raise ValueError("the tests of the label have to be a list")
    return [str(one) for one in given]


def _text(given: Any) -> str:
    return "\n".join(str(line) for line in given) if isinstance(given, list) else str(given)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _are_numbers(one: str, other: str) -> bool:
    found, wanted = one.split(), other.split()
    try:
        return len(found) == len(wanted) and [Decimal(n) for n in found] == [Decimal(n) for n in wanted]
    except InvalidOperation:
        return False
