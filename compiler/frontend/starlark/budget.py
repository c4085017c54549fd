"""What one evaluation may spend: steps, bytes, depth, and the size of an integer.

A compiler that can be hung by a spec cannot run in a review or an editor.  Steps bound the time of what the evaluator
does itself; whatever a single operation does in proportion to its operands is charged before it is done.  Bytes are
those of everything ever made, not of what is alive: nobody needs more, and nothing has to be counted back.
"""

from __future__ import annotations

from compiler.frontend.starlark.errors import DEPTH, INTEGER, MEMORY, STEPS, BudgetError

# Chosen so that whatever a program does ends within half a second of CPU and far below 500 MB.
MAX_STEPS = 250_000
MAX_BYTES = 2**25
MAX_CALLS = 60
MAX_INTEGER_BITS = 2**13
MAX_NESTING = 100

# What one value costs at least, and one element of a list, a dict or a set.
VALUE, ELEMENT, ENTRY = 128, 8, 128

# A step stands for about a microsecond; so many bytes of elements are made or looked through in one.
_BYTES_A_STEP = 128


class Budget:
    """What is left of each allowance."""

    __slots__ = ("bytes", "calls", "steps")

    def __init__(self, *, steps: int = MAX_STEPS, allocated: int = MAX_BYTES) -> None:
        self.steps = steps
        self.bytes = allocated
        self.calls = 0

    def step(self, number: int = 1) -> None:
        """Spend steps.  Raises: BudgetError RLC0140."""
        self.steps -= number
        if self.steps < 0:
            raise BudgetError(STEPS, f"more than {MAX_STEPS:,} steps: the program does not end soon enough")

    def allocate(self, number: int) -> None:
        """Spend bytes, and the time that it takes to fill them.  Raises: BudgetError RLC0141, RLC0140."""
        self.bytes -= number + VALUE
        if self.bytes < 0:
            raise BudgetError(
                MEMORY, f"{number:,} bytes exceed what is left of the {MAX_BYTES:,} that one evaluation may fill"
            )

    def elements(self, number: int, size: int = ELEMENT) -> None:
        """Spend what it takes to make or to look through so many elements.  Raises: BudgetError."""
        self.bytes -= number * size + VALUE
        self.steps -= (number * size + VALUE) // _BYTES_A_STEP
        if self.bytes < 0:
            raise BudgetError(
                MEMORY,
                f"{number:,} elements exceed what is left of the {MAX_BYTES:,} bytes that one evaluation may fill",
            )
        if self.steps < 0:
            self.step(0)

    def enter(self) -> None:
        """Begin a call.  Raises: BudgetError RLC0142."""
        self.steps -= 1
        if self.steps < 0:
            self.step(0)
        if self.calls >= MAX_CALLS:
            raise BudgetError(DEPTH, f"more than {MAX_CALLS} calls inside each other")
        self.calls += 1

    def leave(self) -> None:
        """End a call."""
        self.calls -= 1


def check_bits(bits: int) -> None:
    """Refuse an integer of so many bits.  Raises: BudgetError RLC0143."""
    if bits > MAX_INTEGER_BITS:
        raise BudgetError(INTEGER, f"an integer of {bits:,} bits; the largest has {MAX_INTEGER_BITS:,}")


def too_deep(what: str) -> BudgetError:
    """Return the error for a value that holds values that hold values, and so on."""
    return BudgetError(DEPTH, f"{what}: values are nested more than {MAX_NESTING} levels deep (maximum recursion)")
