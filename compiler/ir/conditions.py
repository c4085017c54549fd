"""When a row of data applies: a setting has the value that the row names."""

from __future__ import annotations

from compiler.ir.openness import Off


def holds(value: object, wanted: object) -> bool:
    """Whether a setting is what a condition wants; a setting that an experiment has not got is None.

    A list stands for any of its elements, `>1` for any larger number; `given` and `unset` say what they say.
    """
    is_unset = value is None or isinstance(value, Off)
    if isinstance(wanted, (list, tuple)):
        return any(holds(value, one) for one in wanted)
    if wanted in ("given", "unset"):
        return is_unset is (wanted == "unset")
    if isinstance(wanted, str) and wanted.startswith(">"):
        return isinstance(value, (int, float)) and value > float(wanted[1:])
    return value == wanted
