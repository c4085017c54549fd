"""Programs that this interpreter and another one (starlark-rust, through its Python package) must agree on.

Both give the same text for the result, or both refuse the program; oracle_programs.py says what is left out and why.
"""

from __future__ import annotations

import re
from math import isclose

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


class Shown:
    """A text, whose numbers with an exponent are compared as numbers.

    The other implementation writes seven digits before an exponent, and is off by one in the last of them where it had
    to round.  A remainder of zero has another sign there.
    """

    def __init__(self, text: object) -> None:
        assert isinstance(text, str)
        self.text = text
        self.rest = ZERO.sub("0.0", LONG.sub("#", text))
        self.numbers = [float(number) for number in LONG.findall(text)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shown) and self.rest == other.rest and self._is_near(other)

    def __hash__(self) -> int:
        return hash(self.rest)

    def __repr__(self) -> str:
        return self.text

    def _is_near(self, other: Shown) -> bool:
        return all(isclose(a, b, rel_tol=1e-6) for a, b in zip(self.numbers, other.numbers, strict=True))


def here(program: str) -> Shown | None:
    try:
        return Shown(run(program).globals["result"])
    except SpecError as error:
        # The other implementation has no limits, and must not be asked for what fills the memory.
        assume(not error.diagnostics[0].code.startswith("RLC014"))
        return None


def there(program: str) -> Shown | None:
    try:
        tree = starlark.parse("test.star", f"{program}\nresult\n", DIALECT)
        return Shown(starlark.eval(starlark.Module(), tree, GLOBALS))
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
    assert there("result = repr([1, 2.5])") == here("result = repr([1, 2.5])") == Shown("[1, 2.5]")
    assert there("result = [1][2]") is here("result = [1][2]") is None


def test_a_number_that_the_other_implementation_rounds_is_near_enough_and_others_are_not() -> None:
    program = "result = repr([0.5 + 1e6, 1.5 + 1e6, 1e100, -1.5e-7])"
    assert there(program) == here(program) == Shown("[1.0000005e+06, 1.0000015e+06, 1e+100, -1.5e-07]")
    assert there(program) != Shown("[1.00001e+06, 1.0000015e+06, 1e+100, -1.5e-07]")
    assert Shown("1e+06") != Shown("1000000.0")
