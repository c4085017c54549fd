"""What all tests share: golden files, seeds for the tests that kill runs, and budgets for property tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.golden_files import Golden, OrphanWatch
from tests.support.ranks import RunRanks, rank_pool

GOLDEN_DIR = Path(__file__).parent / "golden"
RANKS_LOAD = ("runtime.engines.train.fsdp2", "transformers.models.qwen3.modeling_qwen3")

hypothesis.settings.register_profile("test", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=200)  # round after round: `./do fuzz`
hypothesis.settings.load_profile("test")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of this suite."""
    group = parser.getgroup("rlc")
    group.addoption("--update-golden", action="store_true", help="rewrite golden files that differ")
    group.addoption("--smollm2", type=Path, metavar="FOLDER", help="where `./do smollm2` put the model")
    group.addoption("--engine-python", type=Path, metavar="PYTHON", help="that has the engine of a lane: `./do lanes`")
    group.addoption("--chaos", type=int, metavar="SEEDS", help="only tests that take chaos_seed, each with so many")


def pytest_configure(config: pytest.Config) -> None:
    """Watch which golden files are used, and keep what rlc makes of texts out of the user's cache."""
    cache = tempfile.TemporaryDirectory(prefix="rlc-trees-")
    patch = pytest.MonkeyPatch()
    patch.setenv("RLC_CACHE_DIR", cache.name)
    config.add_cleanup(patch.undo)
    config.add_cleanup(cache.cleanup)
    config.pluginmanager.register(OrphanWatch(config, GOLDEN_DIR), "orphan-watch")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that takes `chaos_seed` one seed, or as many as --chaos says."""
    if "chaos_seed" in metafunc.fixturenames:
        metafunc.parametrize("chaos_seed", range(metafunc.config.getoption("--chaos") or 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under --chaos, keep the tests that take `chaos_seed`."""
    if config.getoption("--chaos") is None:
        return
    chosen = [i for i in items if isinstance(i, pytest.Function) and "chaos_seed" in i.fixturenames]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = chosen


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` holds a text against tests/golden/<name>; see tests/golden_files.py."""
    watch = request.config.pluginmanager.get_plugin("orphan-watch")
    assert isinstance(watch, OrphanWatch)
    return Golden(
        GOLDEN_DIR,
        test=request.node.nodeid,
        update=request.config.getoption("--update-golden"),
        used=watch.used,
    )


@pytest.fixture(scope="session")
def run_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunRanks]:
    """`run_ranks(n, function, *args)` runs a function on n ranks over gloo; see tests/support/ranks.py."""
    with rank_pool(tmp_path_factory.mktemp("ranks"), preload=RANKS_LOAD) as pool:
        yield pool.run
