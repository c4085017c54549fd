"""The reward `code_tests`: the program of a response, run on the tests of its row, each in a sandbox of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from typing_extensions import override

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.openness import Off
from compiler.ir.reward_settings import CodeTestsReward
from runtime.rewards.failures import JudgementError
from runtime.rewards.loops import LoopSlots
from runtime.rewards.sample_term import SampleTerm, where
from runtime.rewards.threads import in_thread
from runtime.sandbox.box import Limits, NoSandboxError, Sandbox, UnfitTestsError
from stdlib.rewards.code_tests import Trial, is_printed, is_returned, question, trials
from stdlib.samples import Sample


def open_term(settings: CodeTestsReward, *, root: Path) -> CodeTestsTerm:
    """Return the term; nothing below `root` is read.  Raises: SpecError RLC0682 where nothing can be confined."""
    del root
    return CodeTestsTerm(settings)


def check(settings: CodeTestsReward, *, root: Path) -> None:
    """Confine a program that does nothing.  Raises: as `open_term`."""
    open_term(settings, root=root).close()


class CodeTestsTerm(SampleTerm):
    """Judges samples by tests."""

    def __init__(self, settings: CodeTestsReward) -> None:
        self._settings = settings
        scratch = 0 if isinstance(settings.scratch_mib, Off) else settings.scratch_mib
        limits = Limits(settings.timeout_s, settings.memory_mib, settings.output_kib, scratch)
        self._sandbox = Sandbox(limits)
        self._slots = LoopSlots(settings.processes)
        self._num_programs, self._num_late = 0, 0
        try:
            self._sandbox.probe()
        except NoSandboxError as error:
            raise _not_confined(str(error), has_scratch=bool(scratch)) from error

    async def of_sample(self, sample: Sample) -> float:
        """Return 1.0 or 0.0, or the share of tests that pass.  Raises: JudgementError for a label without tests."""
        try:
            tests = trials(sample.prompt.label, sample.prompt.metadata)
        except (ValueError, KeyError, TypeError) as error:
            raise JudgementError("raised", "code_tests", f"raised {error}, {where(sample)}") from error
        program = question(sample)
        if program is None:
            return 0.0
        most = self._settings.max_tests
        tests = tests if isinstance(most, Off) else tests[:most]
        num_passed = 0
        for test in tests:
            async with self._slots():
                passed = await self._tried(sample, program, test)
            num_passed += passed
            if not passed and self._settings.score == "all":
                return 0.0
        return num_passed / len(tests)

    def counters(self) -> Mapping[str, int]:
        """Return `programs`, the tests that were run, and `programs_late`, those that had to be ended."""
        return {"programs": self._num_programs, "programs_late": self._num_late}

    @override
    def close(self) -> None:
        """End the programs under way."""
        self._sandbox.close()

    async def _tried(self, sample: Sample, program: str, test: Trial) -> bool:
        try:
            return await in_thread(lambda: self._passes(program, test))
        except UnfitTestsError as error:
            raise JudgementError("raised", "code_tests", f"cannot run a test: {error}, {where(sample)}") from error
        except (OSError, NoSandboxError) as error:
            raise JudgementError(
                "raised", "code_tests", f"could not run a program: {error}, {where(sample)}"
            ) from error

    def _passes(self, program: str, test: Trial) -> bool:
        if test.kind == "check":
            in_time, passed = self._sandbox.examine(program, test.checks)
        elif test.kind == "call":
            ended = self._sandbox.run(program, function=test.function, calls=[test.given])
            in_time, passed = (
                ended.in_time,
                bool(ended.returned) and is_returned((ended.returned or [None])[0], test.expected),
            )
        else:
            ended = self._sandbox.run(program, stdin=test.given)
            in_time, passed = ended.in_time, ended.code == 0 and is_printed(ended.output, test.expected)
        self._num_programs += 1
        self._num_late += not in_time
        return passed and in_time


def _not_confined(why: str, *, has_scratch: bool) -> SpecError:
    ways = [Help("run on Linux 5.13 or later with Landlock, on x86-64 or arm64; programs are never run unconfined")]
    if has_scratch:
        ways.append(
            Help('or set reward.code_tests.scratch_mib = "off": a folder in memory needs namespaces of the user\'s own')
        )
    return SpecError(
        Diagnostic(
            "RLC0682",
            f"the programs of reward code_tests cannot be confined here: {why}",
            help=tuple(ways),
            paths=("reward.code_tests",),
        )
    )
