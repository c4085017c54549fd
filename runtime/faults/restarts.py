"""How often a run goes on from its last checkpoint, in the same `rlc run`, after it has lost a process.

Only what another attempt may not meet again is a reason: a process that has ended or hangs.  What a process says is
wrong with the data, the weights or the plan would be wrong the next time too.
"""

from __future__ import annotations

from typing import Final

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

# A rank or an engine is gone, does not answer in time, or could not be started anew often enough.
LOSSES: Final = frozenset(("RLC0727", "RLC0729", "RLC0762", "RLC0764", "RLC0765", "RLC0766", "RLC0767", "RLC0782"))


class Restarts:
    """The restarts of a run that are left.

    Args:
        most: of them; 0 where nothing is carried by other processes.
    """

    def __init__(self, most: int) -> None:
        self._most, self._num_taken = most, 0

    def take(self, fault: SpecError) -> Diagnostic:
        """Use one up, and return what people are told.

        Raises: SpecError `fault` itself if it is no loss of a process or nothing is ever started anew; with RLC0781
        before it if all restarts are used up.
        """
        first, *others = fault.diagnostics
        if not self._most or not any(found.code in LOSSES for found in fault.diagnostics):
            raise fault
        if self._num_taken == self._most:
            raise SpecError(self._used_up(first), first, *others) from fault
        self._num_taken += 1
        fact = f"restart {self._num_taken} of {self._most} (run.trainer_restarts), from the last checkpoint"
        return Diagnostic("RLC0784", f"{fact}: {first.code}: {first.message}", severity="warning")

    def _used_up(self, last: Diagnostic) -> Diagnostic:
        fact = f"the run was started anew {self._most} times, which is all of run.trainer_restarts, and failed again"
        ways = (
            Help(f"see what ended it: rlc explain {last.code}"),
            Help("run again: the run goes on from its last checkpoint"),
            Help("or allow more restarts", (("run.trainer_restarts", str(2 * self._most)),)),
        )
        return Diagnostic("RLC0781", fact, help=ways, paths=("run.trainer_restarts",))
