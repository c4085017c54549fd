"""`8xH100-80-SXM`: how many GPUs a machine has, and which."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple

_MOST_DIGITS = 4


class GpusPerNode(NamedTuple):
    """A number of GPUs, and the name of each."""

    count: int
    name: str


def gpus_per_node(text: object) -> GpusPerNode | None:
    """Return what a text names, or None if it names nothing of the kind."""
    count, _, name = text.partition("x") if isinstance(text, str) else ("", "", "")
    is_count = count.isdecimal() and not count.startswith("0") and len(count) <= _MOST_DIGITS
    return GpusPerNode(int(count), name) if is_count and name and "\n" not in name else None
