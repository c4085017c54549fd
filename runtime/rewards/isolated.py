"""A reward function in a process of its own, which can be ended whatever it is doing.

A thread cannot: it goes on until its function returns, and computer algebra on a large power holds the interpreter.
The process sets an alarm before each call and keeps the default action of that signal, so the kernel ends it on time
even inside a C function, and even if this process is gone.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
from typing import IO, Any

from typing_extensions import override

from compiler.diagnostics.diagnostic import SpecError
from runtime.rewards.border import ForeignCode, RewardCallError, RewardResultError
from runtime.rewards.functions import RewardSource, load_reward
from runtime.rewards.numbers import as_groups, as_number, as_numbers
from runtime.rewards.terms import Level
from stdlib.rewards._isolation import Isolation
from stdlib.samples import ExpertIds

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from runtime.rewards.isolated import serve; serve()"


class _Questions(pickle.Pickler):
    """Leaves out which experts tokens visited: no reward reads it, and to read it the process would load torch."""

    @override
    def reducer_override(self, obj: object) -> Any:
        return (type(None), ()) if isinstance(obj, ExpertIds) else NotImplemented


class JudgeProcess:
    """The parent's side.

    Raises: RewardCallError on creation if what the reward imports cannot be loaded.
    """

    def __init__(
        self, source: RewardSource, isolation: Isolation, *, timeout_s: float, level: Level = "sample"
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C and Ctrl-Z at a terminal go to a whole group; here they would cost a response its reward.
            process_group=0,
        )
        self.is_alive = True
        self._ask((source, isolation, timeout_s, level))
        if not self.is_alive:
            raise RewardCallError("an end of its process at the start", None)

    def judge(self, argument: object) -> object:
        """Return the reward of a sample, a list for a group and a list of lists for a batch; blocks.

        None says that the process died of it.

        Raises: RewardCallError for what the function raised, RewardResultError if that is no number.
        """
        return self._ask(argument)

    def kill(self) -> None:
        """End the process under a call that is waiting for it in another thread, and clears up there."""
        self._process.kill()

    def end(self) -> None:
        """End the process, which nobody is waiting for."""
        self.is_alive = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                # What was not yet sent has no reader any more.
                continue

    def _ask(self, question: object) -> object:
        asks, answers = self._process.stdin, self._process.stdout
        assert asks is not None
        assert answers is not None
        try:
            _Questions(asks).dump(question)
            asks.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            self.end()
            return None
        answer = json.loads(line)
        if "fault" in answer:
            raise RewardCallError(answer["fault"], answer["line"])
        if "bad" in answer:
            raise RewardResultError(answer["bad"])
        return answer.get("reward")


def serve() -> None:
    """Answer questions until there are none: the child's side."""
    # Who is asked to stop finishes its step first, and needs this process for it; without its parent it ends anyway.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # What a reward prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    source, isolation, timeout_s, level = pickle.load(questions)
    logging.disable(logging.WARNING)
    if sys.platform == "linux" and isolation.memory_gib:
        size = isolation.memory_gib * 2**30
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    call = _prepare(source, isolation, answers)
    while call is not None:
        try:
            argument = pickle.load(questions)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        answer = _judge(call, argument, level, source.file)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _tell(answers, answer)


def _prepare(source: RewardSource, isolation: Isolation, answers: IO[bytes]) -> Any:
    try:
        with ForeignCode(source.file):
            for name in isolation.imports:
                importlib.import_module(name)
        call = load_reward(source).call
    except RewardCallError as fault:
        _tell(answers, {"fault": fault.message, "line": fault.line})
    except SpecError as error:
        _tell(answers, {"fault": error.diagnostics[0].message, "line": None})
    else:
        _tell(answers, {})
        return call
    return None


def _judge(call: Any, argument: Any, level: Level, path: str) -> dict[str, object]:
    try:
        with ForeignCode(path):
            result = call(argument)
            return {"reward": _checked(result, argument, level)}
    except RewardCallError as fault:
        return {"fault": fault.message, "line": fault.line}
    except RewardResultError as bad:
        return {"bad": str(bad)}


def _checked(result: object, argument: Any, level: Level) -> object:
    if level == "sample":
        return as_number(result)
    if level == "group":
        return as_numbers(result, count=len(argument.samples))
    return as_groups(result, counts=[len(group.samples) for group in argument])


def _tell(answers: IO[bytes], answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()
