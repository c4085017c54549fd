"""RLC0531 (MEM-02): one copy of the logits fits what the weights leave."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import GPU, Changes, codes, compiled

WHOLE: Changes = {"train.packing.tokens": '"128Ki"', "train.vocab_chunk": "151_936"}


def warned(folder: Path, changes: Changes) -> bool:
    return "RLC0531" in codes(folder, changes, base=GPU)


def test_a_whole_vocabulary_for_131072_tokens_takes_74_gib(tmp_path: Path) -> None:
    assert warned(tmp_path, WHOLE)
    assert not warned(tmp_path, {**WHOLE, "cluster.gpus_per_node": '"8xH200-141-SXM"'})
    assert not warned(tmp_path, {**WHOLE, "train.vocab_chunk": "16_384"})
    assert not warned(tmp_path, {**WHOLE, "train.packing.tokens": '"16Ki"'})


def test_gpus_that_split_a_sequence_or_the_vocabulary_have_their_part(tmp_path: Path) -> None:
    assert not warned(tmp_path, {**WHOLE, "parallel.cp": "2"})
    assert not warned(tmp_path, {**WHOLE, "parallel.tp": "2"})


def test_a_number_of_samples_says_nothing_about_tokens(tmp_path: Path) -> None:
    assert not warned(tmp_path, {"train.micro_batch": "32", "train.vocab_chunk": "151_936"})


def test_it_is_a_warning_whose_way_out_ends_it(tmp_path: Path) -> None:
    found = [d for d in compiled(tmp_path, WHOLE, base=GPU).diagnostics if d.code == "RLC0531"]
    assert [d.severity for d in found] == ["warning"]
    (way,) = found[0].help
    assert way.sets == (("train.vocab_chunk", "65536"),)
    assert not warned(tmp_path, {**WHOLE, **dict(way.sets)})
