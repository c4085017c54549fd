"""What the end-to-end tests share: one server that starts processes, and one run that was never disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Ended, Server
from tests.support.tiny_experiment import write_experiment


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts `rlc` processes."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny experiment; nobody changes what is in it."""
    return write_experiment(tmp_path_factory.mktemp("home")).parent


@pytest.fixture(scope="session")
def undisturbed(server: Server, home: Path) -> tuple[Path, Ended]:
    """The run directory of a run that was never killed, and how it ended."""
    run_dir = home / "undisturbed"
    return run_dir, server.run("run", "spec.toml", "--run-dir", run_dir, cwd=home)
