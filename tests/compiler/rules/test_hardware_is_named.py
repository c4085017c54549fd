"""RLC0505 (MEM-07): GPUs are named, known, and of the target's vendor."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlc.catalogue import load_hardware
from tests.support.good_spec import GPU, GRPO, codes, compiled

NAMED = [(gpu.vendor, gpu.name) for gpu in load_hardware().values()]


@pytest.mark.parametrize(("vendor", "name"), NAMED)
def test_every_gpu_of_the_library_is_known_to_its_vendors_target_and_to_no_other(
    tmp_path: Path, vendor: str, name: str
) -> None:
    def found(target: str) -> set[str]:
        changes: dict[str, str | None] = {"cluster.target": f'"{target}"', "cluster.gpus_per_node": f'"2x{name}"'}
        return set(codes(tmp_path, changes, base=GPU)) & {"RLC0505"}

    targets = {"nvidia": "cuda", "amd": "rocm", "cpu": "cpu_cluster"}
    own = targets.pop(vendor)
    assert found(own) == set()
    assert [found(other) for other in targets.values()] == [{"RLC0505"}, {"RLC0505"}]


@pytest.mark.parametrize("text", [None, '"H100-80-SXM"', '"0xH100-80-SXM"', '"8 x H100-80-SXM"', '"8xH100"', '""'])
def test_a_machine_that_is_not_named_is_an_error_and_no_guess(tmp_path: Path, text: str | None) -> None:
    assert codes(tmp_path, {"cluster.gpus_per_node": text}, base=GPU) == ["RLC0505"]


def test_a_name_without_a_number_is_completed_with_the_gpus_of_such_a_machine(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"cluster.gpus_per_node": '"GB200-192"'}, base=GPU).diagnostics
    assert [way.sets for d in found for way in d.help] == [(("cluster.gpus_per_node", '"4xGB200-192"'),)]


def test_the_beginning_of_a_name_offers_what_begins_like_it(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"cluster.gpus_per_node": '"4xA100"'}, base=GPU).diagnostics
    ways = [way for d in found for way in d.help]
    assert [way.text.split('"')[1] for way in ways] == ["4xA100-40-SXM", "4xA100-80-SXM"]
    assert all(not way.sets for way in ways), "which of them is no tool's choice"


def test_a_name_that_only_one_begins_like_is_completed(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"cluster.gpus_per_node": '"8xB200"'}, base=GPU).diagnostics
    assert [way.sets for d in found for way in d.help] == [(("cluster.gpus_per_node", '"8xB200-180"'),)]


def test_a_processor_needs_no_gpu(tmp_path: Path) -> None:
    assert codes(tmp_path, {}, base=GRPO) == []


def test_case_makes_no_difference_to_what_is_offered(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"cluster.gpus_per_node": '"8xh100"'}, base=GPU).diagnostics
    assert [way.sets for way in found[0].help] == [(("cluster.gpus_per_node", '"8xH100-80-SXM"'),)]
