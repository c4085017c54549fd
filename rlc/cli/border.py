"""The border of the process: whatever goes wrong inside leaves as diagnostics or a report, and an exit code."""

from __future__ import annotations

from collections.abc import Callable

from rlc.cli.output import Output, ReaderGoneError


def guarded(call: Callable[[], int], output: Output) -> int:
    """Return the exit code of a call: 1 for the user's errors, 130 for an interrupt, 70 for a fault of ours."""
    from compiler.diagnostics.diagnostic import SpecError

    try:
        return call()
    except SpecError as fault:
        return output.diagnostics(fault.diagnostics)
    except ReaderGoneError:
        return 1
    except KeyboardInterrupt:
        output.error("interrupted\n")
        return 130
    except Exception as fault:  # a fault of ours becomes a report
        return _report_fault(fault, output)


def _report_fault(fault: Exception, output: Output) -> int:
    import platform
    import traceback

    frames = traceback.extract_tb(fault.__traceback__)
    where = "\n".join(f"  {frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in frames[-6:])
    output.error(
        f"internal error[RLC0070]: {type(fault).__name__}: {fault}\n{where}\n"
        f"  Python {platform.python_version()} on {platform.system()}\n"
        "This is a fault of rlc, not of your experiment.  Please report these lines with the spec that led to them.\n"
    )
    return 70
