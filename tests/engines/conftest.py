"""Lanes: tests with a real engine, which has an environment of its own; `./do lanes` makes it and names its Python."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.runtime.engines.tiny_trainer import hf_model
from tests.support.tiny_model import tiny_model

pytest.register_assert_rewrite("tests.contract.any_engine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies below this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("L2")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test that is skipped fail: an engine that is not there was not tested."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"skipped, and a skip is a failure here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def engine_python(request: pytest.FixtureRequest) -> Path:
    """The Python that has the engine."""
    python = request.config.getoption("--engine-python")
    assert python is not None, "run these by ./do lanes"
    return python


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as Hugging Face writes one."""
    folder = tmp_path_factory.mktemp("model")
    hf_model(tiny_model()).save_pretrained(folder)
    return folder
