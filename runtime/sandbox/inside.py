"""The inside of the sandbox: the process confines itself, then runs a program or its tests, and tells what came of it.

Started by box.py as `python -P -s -S -c ... JOB`, with standard input, output and errors, and one more file for the
outcome, already in place.  The program runs in a namespace of its own; the module `__main__` that it sees is that one.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from types import ModuleType
from typing import Any, NoReturn

from runtime.sandbox import confine
from runtime.sandbox.examiner import examine
from runtime.sandbox.served import Served
from runtime.sandbox.wire import Lines

# Where the loader finds the libraries that Python's own modules need.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
UNCONFINED, EXAMINED = 97, 98
CONFINED, PASSED = "confined", "passed"


def main() -> None:
    """Do what the job says.  The exit code is UNCONFINED if the process could not be confined: then nothing ran."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    outcome = job["outcome_fd"]
    try:
        _confine(job)
    except (OSError, ValueError) as error:
        os.write(job["status_fd"], str(error).encode())
        os._exit(UNCONFINED)
    os.write(job["status_fd"], CONFINED.encode())
    os.close(job["status_fd"])  # so that no program can say that it was not confined
    if "checks" in job:
        _examine(job, outcome)
    with open(job["program"], encoding="utf-8") as file:
        program = file.read()
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    exec(compile(program, "program.py", "exec"), module.__dict__)
    if "calls" in job:
        os.write(outcome, json.dumps([_called(module, job["function"], given) for given in job["calls"]]).encode())
    elif "lines" in job:
        Served(module, Lines(*job["lines"], most=0)).serve()


def _examine(job: dict[str, Any], outcome: int) -> NoReturn:
    """Run tests on a program that another process runs, and tell whether they all passed."""

    def stop(why: str) -> NoReturn:
        os.write(outcome, why.encode())
        os._exit(EXAMINED if why else 1)

    with open(job["checks"], encoding="utf-8") as file:
        checks = file.read()
    examine(checks, Lines(*job["lines"], most=job["output_kib"] << 10), stop)
    os.write(outcome, PASSED.encode())
    os._exit(0)


def _confine(job: dict[str, object]) -> None:
    folder = str(job["folder"])
    parent, scratch, memory_mib, output_kib = (
        int(str(job[k])) for k in ("parent", "scratch_mib", "memory_mib", "output_kib")
    )
    confine.die_with(parent)
    write: tuple[str, ...] = ()
    if scratch:
        confine.mount_scratch(folder, scratch)
        write = (folder,)
    own = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    os.chdir(folder)
    sys.path[:] = [path for path in sys.path if os.path.realpath(path).startswith(tuple(own))]
    confine.limit(
        cpu_s=int(str(job["cpu_s"])),
        memory_bytes=memory_mib << 20,
        file_bytes=max(output_kib << 10, scratch << 20),
        num_files=64,
    )
    confine.give_up_privileges()
    confine.die_with(parent)  # once more: a namespace of its own has made the kernel forget it
    given = (folder, *(str(job[name]) for name in ("program", "checks") if name in job))
    confine.allow_paths(read=(*own, *_LIBRARIES, *_DEVICES, *given), write=write)
    confine.allow_syscalls()


def _called(module: ModuleType, name: str, given: list[object]) -> object:
    """What a function returns, as JSON: the program never sees what is expected of it."""
    found = getattr(module, name, None)
    if found is None and hasattr(module, "Solution"):
        found = getattr(module.Solution(), name)
    if found is None:
        raise NameError(f"there is no function {name}")
    return json.loads(json.dumps(found(*given)))
