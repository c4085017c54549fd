"""Rows that a function of the experiment's own yields.

The function is called without arguments and returns rows: it is a generator, an asynchronous one, or returns anything
that can be iterated.  It is called anew for each epoch, and has to yield the same rows each time: a run that resumes
calls it and passes over the rows that it has had.  What runs are the bytes that the plan's digest names.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.ir.rollout import CustomCode
from runtime.custom_code import load_file
from runtime.data.jsonl import Place, Row, RowFaults, Unread, no_rows, unreadable
from runtime.data.tables import given_row
from runtime.rewards.border import ForeignCode, RewardCallError
from runtime.rewards.functions import RewardSource, line_label
from runtime.time_limit import Items, LateError


class FunctionRows:
    """The rows of one function; `timeout_s` is the longest time that it may take for one of them."""

    def __init__(self, code: CustomCode, *, name: str, root: Path, timeout_s: float) -> None:
        self._name, self._path, self._timeout_s = name, root / code.path, timeout_s
        self._code = RewardSource(
            name=name, file=str(self._path), shown=code.path, function=code.function, sha256=code.sha256
        )
        self._module: ModuleType | None = None

    def check(self) -> None:
        """Load the file.  Raises: SpecError as load_file, RLC0627 if it fails."""
        if self._module is None:
            self._module = self._loaded()

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows from a number on.

        Raises: SpecError RLC0611, RLC0627 if the function fails, RLC0649 if it hangs.
        """
        number = 0
        for value in self._values():
            if number >= first:
                place = Place(self._path, self._name, number, is_line=False)
                if isinstance(value, Mapping):
                    yield partial(given_row, place._replace(shown=value))
                else:
                    yield partial(_no_row, place, value)
            number += 1
        if number == 0:
            raise SpecError(no_rows(self._name))

    def _values(self) -> Iterator[Any]:
        self.check()
        try:
            yield from Items(self._made, timeout_s=self._timeout_s)
        except RewardCallError as fault:
            label = line_label(self._code, fault.line, "raised here")
            raise SpecError(self._failed(f"failed: {fault.message}", label)) from fault
        except LateError as error:
            raise SpecError(self._late()) from error

    def _made(self) -> Iterator[Any]:
        with ForeignCode(self._code.file):
            found = getattr(self._module, self._code.function)()
            is_awaited = inspect.isawaitable(found) or isinstance(found, AsyncIterator)
            rows = _awaited(found) if is_awaited else iter(found)
        try:
            while True:
                with ForeignCode(self._code.file):
                    try:
                        row = next(rows)
                    except StopIteration:
                        return
                # Whoever needs no more rows closes this here, which is nothing that the function does.
                yield row
        finally:
            if isinstance(rows, Generator):
                with ForeignCode(self._code.file):
                    rows.close()

    def _late(self) -> Diagnostic:
        message = f"{self._name} gave no row for timeout_s = {self._timeout_s:g} s"
        way = Help("let the function give up what hangs, or raise timeout_s of its [[data.train]]")
        return Diagnostic("RLC0649", message, help=(way,), paths=("data.train",))

    def _loaded(self) -> ModuleType:
        source = self._code
        try:
            return load_file(self._path, shown=source.shown, sha256=source.sha256, field="data.train")
        except RewardCallError as fault:
            label = line_label(source, fault.line, "raised here")
            raise SpecError(self._failed(f"cannot be loaded: {fault.message}", label)) from fault

    def _failed(self, what: str, labels: tuple[Label, ...] = ()) -> Diagnostic:
        way = Help("the function is given nothing and yields rows: def rows(): yield {...}")
        return Diagnostic("RLC0627", f"{self._name} {what}", labels=labels, help=(way,), paths=("data.train",))


def _awaited(found: Any) -> Iterator[Any]:
    """The rows of an asynchronous function, in a loop of their own."""
    loop = asyncio.new_event_loop()
    with ExitStack() as at_end:
        at_end.callback(loop.close)
        at_end.callback(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))
        if inspect.isawaitable(found):
            found = loop.run_until_complete(_result(found))
        if not isinstance(found, AsyncIterator):
            yield from found
            return
        while (value := loop.run_until_complete(_next(found))) is not _END:
            yield value


_END = object()


async def _result(found: Any) -> Any:
    return await found


async def _next(found: AsyncIterator[Any]) -> Any:
    return await anext(found, _END)


def _no_row(place: Place, value: Any, faults: RowFaults) -> Row | None:
    faults.add(place, unreadable(f"{place} is a {type(value).__name__}, and a row is a dictionary"), note="this row")
    return None
