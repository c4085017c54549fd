"""Every number of a spec, one at a time as large as no machine has it: what is counted is never gone through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.ir.spec_tables import spec_keys
from tests.fuzz.faults import fault_of
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue, working_place

SPECS = (Path("one_stage.toml"), Path("on_gpus.toml"))
NUMBERS = frozenset({"int", "float", "Tokens", "Bytes", "Seconds"})


@pytest.fixture(autouse=True, scope="module")
def place() -> Iterator[Path]:
    with working_place() as folder:
        yield folder


def settings_of_numbers() -> list[str]:
    """The paths of numbers that a spec may set; engines have hundreds more that nobody here reads."""
    keys = spec_keys(catalogue()).items()
    written = [(path, key) for path, key in keys if not key.is_of_an_engine and not key.is_derived]
    return [path for path, key in written if any(atom.name in NUMBERS for atom in key.field.kind.atoms)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("number", [10**6, 2**62])
def test_a_number_that_no_machine_has_takes_no_longer_than_any_other(spec: Path, number: int) -> None:
    def check(data: bytes) -> None:
        sound(spec, catalogue(), [data.decode()])

    target = Target(check, tuple, tuple, CPU_S)
    found = {path: fault_of(target, f"{path}={number}".encode()) for path in settings_of_numbers()}
    assert {path: fault.report for path, fault in found.items() if fault is not None} == {}
