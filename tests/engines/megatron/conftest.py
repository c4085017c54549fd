"""The ranks of these tests, which have Megatron loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ranks import RankPool, RunRanks


@pytest.fixture(scope="session")
def megatron_ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunRanks]:
    """`megatron_ranks(n, function, *args)` runs a function on n ranks that find Megatron without a GPU."""
    python = request.config.getoption("--engine-python")
    assert python is not None, "`./do lanes megatron` names the Python that has Megatron"
    pool = RankPool(tmp_path_factory.mktemp("ranks"), preload=("tests.support.megatron_cpu",), python=str(python))
    try:
        yield pool.run
    finally:
        pool.close()
