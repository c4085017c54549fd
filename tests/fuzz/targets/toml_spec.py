"""Any bytes as a spec in TOML: compiled whole, shown in every format, made small, and laid out."""

from __future__ import annotations

from tests.fuzz import seeds
from tests.fuzz.layout import layout_changes_nothing
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue, written


def check(data: bytes) -> None:
    """Compile a spec, and make it small where there is a plan of it."""
    spec = written("spec.toml", data)
    found = sound(spec, catalogue())
    if any(compiled.plan is not None for compiled in found):
        sound(spec, catalogue(), shrink=True)
    layout_changes_nothing(spec)


TARGET = Target(check, lambda: seeds.files(".toml"), seeds.words_of_specs, CPU_S)
