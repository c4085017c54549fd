"""What plans hand to FSDP2 are arguments of the torch that is installed."""

from __future__ import annotations

from importlib import import_module
from inspect import signature

import pytest

from rlc.catalogue import load_engine_tables

FSDP2 = load_engine_tables("fsdp2", "")
assert FSDP2 is not None
RECORDS, MODULES = FSDP2.launch["records"], FSDP2.launch["modules"]


@pytest.mark.parametrize("record", RECORDS)
def test_fsdp2_is_configured_by_arguments_that_torch_has(record: str) -> None:
    function = getattr(import_module(MODULES[record]), record)
    assert RECORDS[record].keys() <= signature(function).parameters.keys()
