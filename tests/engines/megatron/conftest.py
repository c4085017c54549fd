"""The ranks of these tests, which have Megatron loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ranks import RankPool, RunRanks


@pytest.fixture(scope="session")
def megatron_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunRanks]:
    """`megatron_ranks(n, function, *args)` runs a function on n ranks that find Megatron without a GPU."""
    pool = RankPool(tmp_path_factory.mktemp("ranks"), preload=("tests.support.megatron_cpu",))
    try:
        yield pool.run
    finally:
        pool.close()
