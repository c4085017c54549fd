"""Programs that this interpreter and another one (starlark-rust, through its Python package) must agree on.

Both give the same text for the result, or both refuse the program; oracle_programs.py says what is left out and why.
"""

from __future__ import annotations

import re

import starlark
from hypothesis import assume, given

from compiler.diagnostics.diagnostic import SpecError
from tests.compiler.frontend.starlark.oracle_functions import PROGRAMS_OF_FUNCTIONS
from tests.compiler.frontend.starlark.oracle_programs import EXPRESSIONS, PROGRAMS
from tests.compiler.frontend.starlark.programs import run

DIALECT = starlark.Dialect.extended()
GLOBALS = starlark.Globals.standard()
LONG = re.compile(r"\d(?:\.\d+)?e[+-]\d+")
ZERO = re.compile(r"-0\.0\b")


def in_short(text: object) -> str:
    """The other implementation writes seven digits before an exponent; a remainder of zero has another sign there."""
    assert isinstance(text, str)
    return ZERO.sub("0.0", LONG.sub(lambda found: f"{float(found.group()):.6e}", text))


def here(program: str) -> str | None:
    try:
        return in_short(run(program).globals["result"])
    except SpecError as error:
        # The other implementation has no limits, and must not be asked for what fills the memory.
        assume(not error.diagnostics[0].code.startswith("RLC014"))
        return None


def there(program: str) -> str | None:
    try:
        tree = starlark.parse("test.star", f"{program}\nresult\n", DIALECT)
        return in_short(starlark.eval(starlark.Module(), tree, GLOBALS))
    except starlark.StarlarkError:
        return None


@given(EXPRESSIONS)
def test_both_give_the_same_value_to_an_expression_or_refuse_it(expression: str) -> None:
    program = f"result = repr({expression})"
    ours = here(program)
    assert ours == there(program)


@given(PROGRAMS)
def test_both_run_a_function_to_the_same_result_or_refuse_it(definition: str) -> None:
    program = f"{definition}\nresult = repr(main(1))"
    ours = here(program)
    assert ours == there(program)


@given(PROGRAMS_OF_FUNCTIONS)
def test_both_call_and_change_values_to_the_same_result_or_refuse_it(definition: str) -> None:
    program = f"{definition}\nresult = repr(main())"
    ours = here(program)
    assert ours == there(program)


def test_the_other_implementation_is_asked_in_earnest() -> None:
    assert there("result = repr([1, 2.5])") == here("result = repr([1, 2.5])") == "[1, 2.5]"
    assert there("result = [1][2]") is here("result = [1][2]") is None
