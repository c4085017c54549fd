"""A rollout server of a plan, as the actor that starts it is told of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.ir.machine import RoleLaunch
from compiler.ir.processes import Process
from runtime import environ
from runtime.engines.rollout.server_process import ServerProcess, planned_command


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedServer:
    """One process of an engine.

    Args:
        known: what is known of the plan's braces now that the run has begun.
        startup_s: the longest that it may take to be ready.
    """

    launch: RoleLaunch
    process: Process
    known: Mapping[str, str]
    log_dir: Path
    startup_s: float

    def started(self) -> ServerProcess:
        """Start it on this machine, and return it when it can be used.  Raises: SpecError RLC0765."""
        # Programs of the launch are those beside this Python; what Ray says to its own processes is not for others.
        variables = {name: value for name, value in environ.whole().items() if not name.startswith("RAY_")}
        path = os.pathsep.join((str(Path(sys.executable).parent), variables.get("PATH", os.defpath)))
        server = ServerProcess(
            planned_command(
                self.launch,
                self.process,
                known=self.known,
                environment={**variables, "PATH": path},
                log_dir=self.log_dir,
                startup_s=self.startup_s,
            )
        )
        server.wait_ready()
        return server
