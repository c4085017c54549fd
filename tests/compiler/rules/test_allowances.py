"""What an allowance lets through: a breach of judgement with a reason, and nothing else."""

from __future__ import annotations

from pathlib import Path

from compiler.compile import compile_spec
from rlc.catalogue import scan

FILTERED = (Path(__file__).parents[2] / "cases" / "RLC0311_top_p.toml").read_text(encoding="utf-8")


def codes(folder: Path, text: str) -> list[str]:
    spec = folder / "spec.toml"
    spec.write_text(text)
    return [d.code for d in compile_spec(spec, scan()).diagnostics]


def allowing(rule: str) -> str:
    return f'allow = [{{ rule = "{rule}", why = "a keep-mask is carried" }}]\n' + FILTERED


def test_a_breach_of_judgement_is_let_through_by_code_and_by_id(tmp_path: Path) -> None:
    assert codes(tmp_path, FILTERED) == ["RLC0311"]
    assert codes(tmp_path, allowing("RLC0311")) == []
    assert codes(tmp_path, allowing("ALGO-03")) == []


def test_the_same_rule_does_not_let_through_what_cannot_learn(tmp_path: Path) -> None:
    greedy = allowing("ALGO-03").replace("top_p = 0.9", "temperature = 0.0")
    assert codes(tmp_path, greedy) == ["RLC0311", "RLC0330"]


def test_an_allowance_does_not_change_the_plan_hash(tmp_path: Path) -> None:
    text = FILTERED.replace("top_p = 0.9", "top_p = 1.0")
    spec = tmp_path / "spec.toml"
    spec.write_text(text)
    plain = compile_spec(spec, scan()).plan
    spec.write_text('allow = [{ rule = "ALGO-01", why = "kept for later" }]\n' + text)
    allowed = compile_spec(spec, scan()).plan
    assert plain is not None
    assert allowed is not None
    assert plain.hash == allowed.hash
    assert allowed.experiment.allow[0].why == "kept for later"


def test_an_allowance_that_the_small_experiment_does_not_need_is_no_fault_of_the_large_one(tmp_path: Path) -> None:
    text = FILTERED.replace("top_p = 0.9", "top_p = 1.0")
    spec = tmp_path / "spec.toml"
    spec.write_text('allow = [{ rule = "ALGO-01", why = "kept for later" }]\n' + text)
    assert [d.code for d in compile_spec(spec, scan()).diagnostics] == ["RLC0331"]
    assert [d.code for d in compile_spec(spec, scan(), shrink=True).diagnostics] == []
