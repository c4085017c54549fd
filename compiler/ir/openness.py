"""The two values that are not values: Auto, which asks the compiler to decide, and Off, which says no.

Schema records are generic in what may still be open (`int | A`): an experiment is `Experiment[Auto]`, the resolved
part of a plan `Experiment[Never]`, so the type checker proves that a plan leaves nothing open.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Final, TypeVar, final


@final
class Auto:
    """Not decided yet: a pass derives it, or an equation does."""

    def __repr__(self) -> str:
        return "auto"

    def __reduce__(self) -> str:
        """There is one of it in every process."""
        return "AUTO"


@final
class Off:
    """Decided: there is none."""

    def __repr__(self) -> str:
        return "off"

    def __reduce__(self) -> str:
        """There is one of it in every process."""
        return "OFF"


AUTO: Final = Auto()
OFF: Final = Off()

A = TypeVar("A", covariant=True)
