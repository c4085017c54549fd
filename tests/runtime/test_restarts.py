"""What a run is started anew for, and how often."""

from __future__ import annotations

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from runtime.faults.restarts import Restarts


def lost(code: str = "RLC0762") -> SpecError:
    return SpecError(Diagnostic(code, "trainer 0 is gone"))


def test_a_lost_process_is_followed_by_a_restart_until_all_are_used_up() -> None:
    restarts = Restarts(2)
    told = [restarts.take(lost()).message for _ in range(2)]
    assert [words.partition(",")[0] for words in told] == [f"restart {n} of 2 (run.trainer_restarts)" for n in (1, 2)]
    with pytest.raises(SpecError) as caught:
        restarts.take(lost())
    assert [found.code for found in caught.value.diagnostics] == ["RLC0781", "RLC0762"]


@pytest.mark.parametrize(("most", "code"), [(0, "RLC0762"), (3, "RLC0624"), (3, "RLC0763")])
def test_what_would_go_wrong_again_ends_the_run(most: int, code: str) -> None:
    fault = lost(code)
    with pytest.raises(SpecError) as caught:
        Restarts(most).take(fault)
    assert caught.value is fault
