"""A rollout server of a plan, as the actor that starts it is told of it."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compiler.ir.machine import RoleLaunch
from compiler.ir.processes import Process
from runtime import environ
from runtime.engines.rollout.server_process import ServerProcess, planned_command

# A guard gives its server this long to end, and some more to be killed.
_OLD_SERVER_S: Final = 25.0
_LOOK_EVERY_S: Final = 0.1


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
        _wait_until_free(self.known["address"], int(self.process.values["port"]))
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


def _wait_until_free(address: str, port: int) -> None:
    """Wait until a server that was there before has let its port go; one that does not is the new one's to name."""
    deadline = time.monotonic() + _OLD_SERVER_S
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
            except OSError:
                time.sleep(_LOOK_EVERY_S)
                continue
            return
