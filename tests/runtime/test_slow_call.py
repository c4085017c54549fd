"""A call that takes long is told of with its line, and one that does not is not."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from compiler.ir.rollout import CustomCode
from runtime.custom_function import CustomFunction, Duty
from runtime.slow_call import ToldWhileSlow


def test_it_is_told_again_whenever_twice_the_time_has_passed() -> None:
    said: list[str] = []
    third = threading.Event()

    def warn(text: str) -> None:
        said.append(text)
        if len(said) == 3:
            third.set()

    with ToldWhileSlow("own.py:above_mean", __file__, warn, first_s=0.01):
        assert third.wait(60)
    assert [text.partition(" s")[0] for text in said[:3]] == [
        f"RLC0754: own.py:above_mean has been running for {seconds}" for seconds in ("0.01", "0.02", "0.04")
    ]
    assert ", at line " in said[0]


def test_a_function_that_is_quick_is_not_told_of(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "own.py").write_text("def double(number):\n    return 2 * number\n")
    digest = hashlib.sha256((tmp_path / "own.py").read_bytes()).hexdigest()
    code = CustomCode(path="own.py", function="double", sha256=digest)
    duty = Duty("RLC0647", "returns a number")
    assert CustomFunction(code, root=tmp_path, field="loss.reducer", duty=duty, warn=said.append)(4) == 8
    assert not said
