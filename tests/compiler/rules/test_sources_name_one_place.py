"""A source names one place, and a data set of the hub its split."""

from pathlib import Path

import pytest

from tests.support.good_spec import SFT, codes, compiled, messages

HUB = 'hub = "some/sums"'


@pytest.mark.parametrize(
    ("source", "raised"),
    [
        ('path = "a.jsonl"', []),
        (f'{HUB}, split = "train"', []),
        (HUB, ["RLC0360"]),
        ('input_key = "q"', ["RLC0360"]),
        (f'path = "a.jsonl", {HUB}, split = "train"', ["RLC0360"]),
    ],
)
def test_which_places_a_source_may_name(tmp_path: Path, source: str, raised: list[str]) -> None:
    assert codes(tmp_path, {"data.train": f"[{{ {source} }}]"}) == raised
    assert codes(tmp_path, {"data.train": f"[{{ {source} }}]"}, base=SFT) == raised


def test_what_is_measured_on_names_a_place_as_well(tmp_path: Path) -> None:
    found = messages(tmp_path, {"eval.sets": f'[{{ name = "heldout", {HUB} }}]'})
    assert found == ["some/sums of the hub is named without its split"]


RANKS = {**SFT, "use": '["//recipes:reward_model_bt"]'}
SCORES = {**SFT, "use": '["//recipes:reward_model_regression"]'}


@pytest.mark.parametrize(("base", "table"), [(RANKS, "pairs"), (SCORES, "scored")])
@pytest.mark.parametrize(
    ("source", "raised"),
    [
        ('path = "a.parquet"', []),
        (f'{HUB}, split = "train"', []),
        (HUB, ["RLC0360"]),
        ('path = "a.json"', ["RLC0362"]),
        ('path = "a.jsonl", rows = "5:1"', ["RLC0363"]),
        ('path = "a.jsonl", split = "train"', ["RLC0361"]),
        ('path = "a.jsonl", weight = 1.0', ["RLC0201"]),
        ('path = "a.jsonl", streaming = true', ["RLC0201"]),
    ],
)
def test_pairs_and_scores_to_measure_on_are_sources_as_well(
    tmp_path: Path, base: dict[str, str], table: str, source: str, raised: list[str]
) -> None:
    found = compiled(tmp_path, {f"eval.{table}": f'[{{ name = "heldout", {source} }}]'}, base=base)
    assert [one.code for one in found.diagnostics if one.severity == "error"] == raised
    if "hub" in source and found.plan is not None:
        names = [one.name for one in found.plan.experiment.cluster.environment]
        assert "HF_HUB_OFFLINE" not in names


def test_a_misspelt_place_is_told_once(tmp_path: Path) -> None:
    assert codes(tmp_path, {"data.train": '[{ paht = "a.jsonl" }]'}) == ["RLC0201"]


def test_a_function_is_found_or_named_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def rows():\n    yield {}\n\ndef given(path):\n    yield {}\n")
    assert codes(tmp_path, {"data.train": '[{ function = "mine.py:rows" }]'}) == []
    told = {
        name: messages(tmp_path, {"data.train": f'[{{ function = "mine.py:{name}" }}]'}) for name in ("row", "given")
    }
    assert told == {
        "row": [f"{tmp_path}/mine.py has no function row"],
        "given": ["given takes 1 argument, and a source of rows is given none"],
    }
