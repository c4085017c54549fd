"""[[allow]]: rules that an experiment breaks on purpose, each with the reason."""

from __future__ import annotations

from compiler.ir.record import Record, setting


class Allowance(Record):
    """[[allow]]: one rule that is broken on purpose.  Outside of the plan hash: it changes what is said, not done."""

    rule: str = setting("The rule, by its code (`RLC0311`) or its id in the catalogue (`ALGO-03`).")
    why: str = setting("The reason, for whoever reviews the plan.")
