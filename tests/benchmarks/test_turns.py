"""Processes that take turns."""

from __future__ import annotations

import sys

import pytest

from benchmarks.train.turns import step_process

CHILD = """
import os
from benchmarks.train.turns import Turns
turns = Turns({"limit": os.environ["LIMIT"]})
print("whatever a library prints")
for number in range(1, int(os.environ["LIMIT"]) + 1):
    turns.wait()
    turns.reply({"number": number})
"""


def test_a_process_takes_one_step_each_time_it_is_asked() -> None:
    with step_process((sys.executable, "-c", CHILD), {"LIMIT": "9"}) as process:
        assert process.facts == {"limit": "9"}
        assert [process.step() for _ in range(3)] == [{"number": 1}, {"number": 2}, {"number": 3}]


def test_a_process_that_breaks_ends_the_measurement_with_what_it_complained_of() -> None:
    child = (sys.executable, "-c", "raise RuntimeError('out of luck')")
    with pytest.raises(SystemExit, match="out of luck"), step_process(child, {}):
        pass
