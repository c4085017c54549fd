"""Coroutines of the experiment's own in the loop of the run: those that hold it, and those that are not cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from runtime import own_coroutine
from runtime.own_coroutine import HeldLoopError, OwnCoroutine


def awaited(coroutine: Coroutine[Any, Any, Any], *, timeout_s: float = 0.1) -> Any:
    """What it comes to under a timeout."""

    async def limited() -> Any:
        async with asyncio.timeout(timeout_s):
            return await OwnCoroutine(coroutine, name="play.py:step", file=__file__, timeout_s=timeout_s)

    return asyncio.run(limited())


def test_what_awaits_is_awaited_and_raises_what_it_raises() -> None:
    async def adds(a: int, b: int) -> int:
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(30)
        except TimeoutError:
            (found,) = await asyncio.gather(asyncio.sleep(0.001, a))
            return found + b
        return 0

    async def raises() -> None:
        await asyncio.sleep(0)
        raise KeyError("name")

    assert awaited(adds(3, 4), timeout_s=20.0) == 7
    with pytest.raises(KeyError, match="name"):
        awaited(raises())


def test_what_holds_the_loop_is_interrupted_and_named_with_its_line() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(0)
        time.sleep(60)

    async def counts() -> None:
        while True:
            pass

    for coroutine in (sleeps(), counts()):
        handler, started = signal.getsignal(signal.SIGALRM), time.monotonic()
        with pytest.raises(HeldLoopError, match=r"play.py:step held up the event loop for more than 0.1 s at line \d+"):
            awaited(coroutine)
        assert time.monotonic() - started < 30
        assert signal.getsignal(signal.SIGALRM) is handler
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_cancelled_may_tidy_up() -> None:
    tidied: list[bool] = []

    async def tidies() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            tidied.append(True)

    with pytest.raises(TimeoutError):
        awaited(tidies())
    assert tidied == [True]


def test_what_goes_on_after_a_cancellation_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_coroutine, "GRACE_S", 0.05)

    async def swallows() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    with pytest.raises(TimeoutError):
        awaited(swallows())


def test_what_is_returned_after_a_cancellation_is_not_taken() -> None:
    async def returns() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 1
        return 0

    with pytest.raises(TimeoutError):
        awaited(returns())


def test_what_catches_every_interrupt_ends_the_process_and_is_named() -> None:
    code = """
import asyncio
from runtime import own_coroutine
own_coroutine._AGAIN_S = 0.02
async def retries():
    while True:
        try:
            while True:
                pass
        except:
            pass
async def main():
    await own_coroutine.OwnCoroutine(retries(), name="play.py:step", file="", timeout_s=0.05)
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "error[RLC0753]: play.py:step held up the event loop for 0.15 s" in ended.stderr
