"""What goes wrong while code runs, before it is known where.

Values, operators and built-ins raise these without a place; the evaluator adds the place of the innermost expression
and the calls that led to it.
"""

from __future__ import annotations

EVALUATION = "RLC0150"
STEPS, MEMORY, DEPTH, INTEGER = "RLC0140", "RLC0141", "RLC0142", "RLC0143"

_ADVICE = {
    STEPS: "go through fewer values, or write the result in closed form: `n * (n + 1) // 2` for a sum",
    MEMORY: "name the number in a field instead: a spec holds settings, and data stand in files of their own",
    DEPTH: 'keep values flat, as a list of pairs or a dict with keys like `"a.b"`',
    INTEGER: "write a magnitude as a float, such as `1e300`, or take the remainder in every round: `x = x * x % n`",
}


class StarlarkError(Exception):
    """A failure of a program, in words that name the values concerned."""

    code = EVALUATION
    advice = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BudgetError(StarlarkError):
    """A program that asks for more than any spec needs; `code` says of what."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.advice = _ADVICE[code]
