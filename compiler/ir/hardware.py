"""`8xH100-80-SXM`: how many GPUs a machine has, and which."""

from __future__ import annotations

import re

from compiler.diagnostics.named_tuple import NamedTuple

_COUNT = re.compile(r"([1-9]\d{0,3})x(.+)")


class GpusPerNode(NamedTuple):
    """A number of GPUs, and the name of each."""

    count: int
    name: str


def gpus_per_node(text: object) -> GpusPerNode | None:
    """Return what a text names, or None if it names nothing of the kind."""
    found = _COUNT.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else GpusPerNode(int(found[1]), found[2])
