"""The plans of the experiments that are shipped: golden pages, reviewed as code, of every one but the quickstart."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.tree import ROOT
from compiler.compile import compile_all, compile_spec
from compiler.emit.plan_page import plan_page
from compiler.ir.evaluated import pair_sets, sampled_sets, scored_sets
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from rlc.catalogue import scan
from tests.compiler.bad_specs import working_in
from tests.golden_files import Golden

EXPERIMENTS = sorted(p for kind in ("*.toml", "*.star") for p in (ROOT / "experiments").glob(kind))
ALONE = [path.stem for path in EXPERIMENTS if path.suffix == ".toml" and path.stem != "quickstart"]
CATALOGUE = scan()


@pytest.mark.parametrize("name", ALONE)
def test_the_plan_of_a_shipped_experiment(name: str, golden: Golden) -> None:
    spec = Path("experiments") / f"{name}.toml"
    with working_in(ROOT):
        found = compile_spec(spec, CATALOGUE)
    assert [d.message for d in found.diagnostics] == []
    assert found.plan is not None
    known = CATALOGUE.load_hardware()
    page = plan_page(found.plan, found.subject, known, source=spec.as_posix(), ascii_only=False, color=False)
    golden(f"plan_pages/experiments/{name}.txt", page)


def test_a_saved_plan_says_of_memory_and_time_what_its_spec_says() -> None:
    with working_in(ROOT):
        found = compile_spec(Path("experiments/ppo_qwen3_4b.toml"), CATALOGUE)
    assert found.plan is not None
    known = CATALOGUE.load_hardware()
    pages = [
        plan_page(found.plan, origins, known, source="ppo", ascii_only=False, color=False)
        for origins in (found.subject, None)
    ]
    ours, saved = (page.partition("Memory, forecast")[2].partition("\n\nno mark:")[0].rstrip() for page in pages)
    assert "KV cache 62.6, engine weights 7.5" in saved
    assert saved == ours


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_experiment_of_a_file_compiles_without_a_word_and_names_its_own_data(path: Path) -> None:
    for name, found in compile_all(path, CATALOGUE):
        assert [d.message for d in found.diagnostics] == [], name
        assert found.plan is not None
        for stage in found.plan.experiment.stages:
            sets = (*sampled_sets(stage.eval), *pair_sets(stage.eval), *scored_sets(stage.eval))
            paths = [source.called for source in (*stage.data.train, *sets)]
            assert [p for p in paths if not (ROOT / "experiments" / p).is_file()] == []


def test_every_algorithm_and_every_recipe_has_an_experiment() -> None:
    plans = [found.plan for path in EXPERIMENTS for _, found in compile_all(path, CATALOGUE)]
    named = {s.algorithm.algo.name for plan in plans if plan is not None for s in plan.experiment.stages}
    assert named == set(CATALOGUE.algorithms)
    texts = [path.read_text(encoding="utf-8") for path in EXPERIMENTS]
    recipes = {path.stem for path in (CATALOGUE.stdlib / "recipes").iterdir()}
    assert {name for name in recipes if not any(f"//recipes:{name}" in text for text in texts)} == set()


def test_the_experiments_cover_kinds_of_training_targets_and_networks() -> None:
    """Imitation and policies, both vendors, one machine and several, GPUs shared or not, dense and experts."""
    plans = [found.plan for path in EXPERIMENTS for _, found in compile_all(path, CATALOGUE)]
    experiments = [plan.experiment for plan in plans if plan is not None]
    assert len(experiments) == len(plans)
    assert {e.cluster.target for e in experiments} == {"cpu", "cpu_cluster", "cuda", "rocm"}
    assert {e.cluster.nodes > 1 for e in experiments} == {True, False}
    assert {e.placement.mode for e in experiments} == {"colocate", "split"}
    assert {stage.schedule.mode for e in experiments for stage in e.stages} == {"async", "sync"}
    assert {isinstance(e.model.moe, Off) for e in experiments} == {True, False}
    assert {isinstance(stage.rollout, Rollout) for e in experiments for stage in e.stages} == {True, False}
    assert {e.model.family for e in experiments} >= {"glm4", "glm4_moe", "llama", "qwen2", "qwen3", "qwen3_moe"}
