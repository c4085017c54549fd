"""What a held-out set does not say, [eval] says."""

from __future__ import annotations

from pathlib import Path

from compiler.compile import Compiled, compile_spec
from compiler.ir.data import Eval, EvalSet
from rlc.catalogue import scan
from tests.support.good_spec import GRPO, Changes, compiled

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "evaluation.md"


def sets_of(found: Compiled) -> tuple[EvalSet[object], ...]:
    assert found.plan is not None, [d.message for d in found.diagnostics]
    settings = found.plan.experiment.stages[0].eval
    assert isinstance(settings, Eval)
    return settings.sets


def test_a_set_inherits_from_eval_and_eval_from_the_rollout(tmp_path: Path) -> None:
    changes: Changes = {
        "eval.sets": '[{ name = "a", path = "h.jsonl" }, { name = "b", path = "h.jsonl", samples_per_prompt = 2 }]',
        "eval.samples_per_prompt": "4",
        "eval.greedy": "false",
        "rollout.sampling.temperature": "0.9",
    }
    found = compiled(tmp_path, changes)
    a, b = sets_of(found)
    assert (a.samples_per_prompt, a.k, a.greedy, a.max_response_tokens, a.sampling.temperature) == (
        4,
        (2, 4),
        False,
        16,
        0.9,
    )
    assert b.replacing(name="a", samples_per_prompt=4, k=(2, 4)) == a
    assert (b.samples_per_prompt, b.k) == (2, (2,))
    assert found.subject is not None
    origins = found.subject.origins
    kinds = {path: origins[f"stages.0.eval.sets.{path}"].kind for path in ("0.greedy", "1.samples_per_prompt", "1.k")}
    assert kinds == {"0.greedy": "inherited", "1.samples_per_prompt": "spec", "1.k": "derived"}
    assert origins["stages.0.eval.sets.0.sampling.temperature"].inputs == ("stages.0.eval.sampling.temperature",)


def test_a_small_experiment_measures_all_sets_alike(tmp_path: Path) -> None:
    sets = '[{ name = "a", path = "h.jsonl", samples_per_prompt = 32, k = [4, 6], max_prompts = 90 }]'
    bound: Changes = {"eval.sets": sets, "until": '"eval.a.pass@6 > 0.5"'}
    assert compiled(tmp_path, bound).plan is not None
    spec = tmp_path / "spec.toml"
    (kept,) = sets_of(compile_spec(spec, scan(), shrink=True))
    assert (kept.samples_per_prompt, kept.k, kept.max_prompts) == (32, (4, 6), 4)
    assert compiled(tmp_path, {"eval.sets": sets}).plan is not None
    (small,) = sets_of(compile_spec(spec, scan(), shrink=True))
    assert (small.samples_per_prompt, small.k, small.max_prompts) == (1, (), 4)


def test_the_example_of_the_guide_compiles(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    model = {"model.max_position_tokens": '"32Ki"', "rollout.max_prompt_tokens": "100"}
    lines = [f"{path} = {value}\n" for path, value in {**GRPO, **model, "rollout.max_context_tokens": '"20Ki"'}.items()]
    spec = tmp_path / "spec.toml"
    spec.write_text("".join(lines) + text, encoding="utf-8")
    _, competition = sets_of(compile_spec(spec, scan()))
    assert (competition.k, competition.answer) == ((2, 4, 8, 16, 32), "boxed")
