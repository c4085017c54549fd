"""Functions of the experiment's own, called beside generation: asynchronous ones in the loop, others in threads.

A thread that is given up cannot be ended; it does not keep the process alive, and what it comes to is dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from compiler.ir.rollout import CustomCode
from runtime.custom_function import CustomFunction, Duty
from runtime.own_coroutine import OwnCoroutine
from runtime.rewards.border import ForeignCode
from runtime.rewards.threads import in_thread

_DUTY = Duty("RLC0743", "an environment answers with an Observation of stdlib/episodes.py")


class Foreign(NamedTuple):
    """A function, and the file that it stands in."""

    call: Callable[..., Any]
    file: str


def load_foreign(code: CustomCode, *, root: Path, field: str) -> Foreign:
    """Return a function of the plan.  Raises: SpecError RLC0610 or RLC0611 as CustomFunction."""
    return Foreign(CustomFunction(code, root=root, field=field, duty=_DUTY).function, str(root / code.path))


async def called(call: Callable[..., Any], file: str, timeout_s: float, /, *arguments: object, **named: object) -> Any:
    """Return what a function returns.

    Args:
        timeout_s: longest time that it may take, which the caller sees to.

    Raises: RewardCallError for what it raises; HeldLoopError, a TimeoutError, where it is asynchronous and holds the
    loop.
    """
    name = f"{Path(file).name}:{getattr(call, '__name__', 'step')}"
    if inspect.iscoroutinefunction(call):

        async def awaited() -> Any:
            with ForeignCode(file):
                return await call(*arguments, **named)

        return await OwnCoroutine(awaited(), name=name, file=file, timeout_s=timeout_s)

    def bordered() -> Any:
        with ForeignCode(file):
            return call(*arguments, **named)

    return await in_thread(bordered, name=name)
