"""Inputs that once broke something, each in the folder of its target, under a name that says what it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.faults import fault_of
from tests.fuzz.target import load, names
from tests.fuzz.workplace import working_place

FOLDER = Path(__file__).with_name("regressions")
INPUTS = sorted(path for path in FOLDER.glob("*/*") if path.is_file())


@pytest.fixture(autouse=True, scope="module")
def place() -> Iterator[Path]:
    with working_place() as folder:
        yield folder


def test_every_folder_of_inputs_is_that_of_a_target() -> None:
    assert {path.parent.name for path in INPUTS} <= set(names())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_that_once_broke_something_breaks_nothing(path: Path) -> None:
    fault = fault_of(load(path.parent.name), path.read_bytes())
    assert fault is None, fault.report
