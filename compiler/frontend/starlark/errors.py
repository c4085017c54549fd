"""What goes wrong while code runs, before it is known where.

Values, operators and built-ins raise these without a place; the evaluator adds the place of the innermost expression
and the calls that led to it.
"""

from __future__ import annotations

EVALUATION = "RLC0150"
STEPS, MEMORY, DEPTH, INTEGER = "RLC0140", "RLC0141", "RLC0142", "RLC0143"


class StarlarkError(Exception):
    """A failure of a program, in words that name the values concerned."""

    code = EVALUATION

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BudgetError(StarlarkError):
    """A program that asks for more than any spec needs; `code` says of what."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
