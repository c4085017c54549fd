"""How rows are stored follows from the suffix, or is said."""

from pathlib import Path

import pytest

from tests.support.good_spec import codes, compiled


@pytest.mark.parametrize(
    ("source", "stored"),
    [
        ('path = "a.jsonl"', "jsonl"),
        ('path = "a.ndjson"', "jsonl"),
        ('path = "A.PARQUET"', "parquet"),
        ('path = "v1.0/saved"', "arrow"),
        ('path = "a.json", format = "jsonl"', "jsonl"),
        ('path = "shards", format = "parquet"', "parquet"),
        ('hub = "some/sums", split = "train"', "hub"),
    ],
)
def test_what_a_source_is_read_as(tmp_path: Path, source: str, stored: str) -> None:
    found = compiled(tmp_path, {"data.train": f"[{{ {source} }}]"})
    assert found.plan is not None
    assert found.plan.experiment.stages[0].data.train[0].format == stored


@pytest.mark.parametrize(
    "source",
    [
        'path = "a.json"',
        'path = "a.txt"',
        'path = "a.jsonl", format = "function"',
        'hub = "some/sums", split = "train", format = "jsonl"',
    ],
)
def test_what_nobody_can_tell_is_asked_for(tmp_path: Path, source: str) -> None:
    assert codes(tmp_path, {"data.train": f"[{{ {source} }}]"}) == ["RLC0362"]


def test_only_a_plan_that_reads_the_hub_may_reach_it(tmp_path: Path) -> None:
    sources = ('path = "a.jsonl"', 'hub = "some/sums", split = "train"')
    plans = [compiled(tmp_path, {"data.train": f"[{{ {source} }}]"}).plan for source in sources]
    names = [[one.name for one in plan.experiment.cluster.environment] for plan in plans if plan is not None]
    assert ["HF_HUB_OFFLINE" in some for some in names] == [True, False]
