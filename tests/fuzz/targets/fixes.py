"""Any bytes as a spec that `rlc check --fix` mends: what it writes is no worse, and can be mended again."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.compile import Compiled
from rlc.fixing import mend
from tests.fuzz import seeds
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import can_be_shown
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue, written

_STARLARK = (b"load(", b"experiment(", b"def ")


def check(data: bytes) -> None:
    """Mend a spec, and what came of that."""
    name = "mended.star" if any(word in data for word in _STARLARK) else "mended.toml"
    spec = written(name, data)
    once = mend(spec, catalogue())
    if once is None:
        return
    for compiled in once.found:
        can_be_shown(compiled.diagnostics)
    written(name, once.after.encode("utf-8", "surrogatepass"))
    again = mend(spec, catalogue())
    assert again is not None, "what was mended cannot be read"
    assert _badness(again.found) <= _badness(once.found), "worse than before it was mended"


def _badness(found: tuple[Compiled, ...]) -> tuple[int, int]:
    errors = {d for compiled in found for d in compiled.diagnostics if d.severity == "error"}
    return sum(compiled.subject is None for compiled in found), len(errors)


def _seeds() -> Iterator[bytes]:
    yield from seeds.files(".toml")
    yield from seeds.files(".star")


TARGET = Target(check, _seeds, seeds.words_of_specs, 10 * CPU_S)
