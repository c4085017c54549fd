"""Keys that nothing read: each is told apart from a misspelt one, and knows what would have read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.subject import UnreadKey
from rlc.catalogue import scan
from tests.support.good_spec import SFT, spec_text

PROJECT = Path(__file__).parents[3]

SPEC = spec_text({}, base=SFT)


def unread(tmp_path: Path, line: str, *overrides: str) -> tuple[UnreadKey, ...]:
    spec = tmp_path / "exp.toml"
    spec.write_text(f"{SPEC}{line}\n", encoding="utf-8")
    subject = compile_spec(spec, scan(), overrides=overrides).subject
    assert subject is not None
    return subject.unread


def test_a_spec_whose_keys_are_all_read_has_none(tmp_path: Path) -> None:
    assert unread(tmp_path, "") == ()


def test_a_misspelt_key_knows_those_beside_it(tmp_path: Path) -> None:
    (key,) = unread(tmp_path, "optim.weight_decai = 0.1")
    assert (key.path, key.why) == ("optim.weight_decai", "unknown")
    assert {"weight_decay", "lr", "warmup_steps"} <= set(key.siblings)


@pytest.mark.parametrize(("line", "meant"), [("uses = []", "use"), ("stage = []", "stages"), ("mode.x = 1", "model")])
def test_a_misspelt_key_at_the_top_knows_all_that_may_stand_there(tmp_path: Path, line: str, meant: str) -> None:
    (key,) = unread(tmp_path, line)
    assert key.why == "unknown"
    assert meant in key.siblings


@pytest.mark.parametrize("path", ["seeds.data", "budget.rollouts", "cluster.environment.name", "reference"])
def test_a_key_that_the_compiler_computes_is_derived_however_deep_it_stands(tmp_path: Path, path: str) -> None:
    (key,) = unread(tmp_path, f"{path} = 1")
    assert (key.path, key.why) == (path, "derived")


def test_nothing_derived_is_offered_for_a_misspelt_key(tmp_path: Path) -> None:
    (key,) = unread(tmp_path, "seed.data = 1")
    assert "seeds" not in key.siblings
    assert not [path for path in key.elsewhere if path.startswith(("seeds", "budget", "reward.code."))]


@pytest.mark.parametrize(
    ("line", "readers"),
    [
        ("loss.clip_low = 0.1", ("by the algorithms cispo, gdpo, grpo, gspo, opd, ppo, reinforce_plus_plus",)),
        ("loss.gate_positive = 2.0", ("by algorithm sapo",)),
        ("rollout.prompts_per_step = 8", ("by stages that sample",)),
        ("rollout.max_response_tokens = 8", ("by stages that sample or evaluate",)),
        ("reward.timeout_s = 8", ("by stages that sample or evaluate",)),
        ("optim.min_lr = 1e-9", ('where optim.schedule = "linear" or "cosine"',)),
    ],
)
def test_a_key_without_effect_knows_what_would_read_it(tmp_path: Path, line: str, readers: tuple[str, ...]) -> None:
    (key,) = unread(tmp_path, line)
    assert (key.why, key.readers) == ("inert", readers)


def test_a_key_of_the_whole_run_has_no_effect_in_a_stage(tmp_path: Path) -> None:
    (key,) = unread(tmp_path, 'stages = [{ name = "one", run.seed = 3 }]')
    assert (key.path, key.why, key.readers) == ("run.seed", "misplaced", ("at the top of the spec",))


def test_a_list_of_stages_has_no_effect_in_a_stage(tmp_path: Path) -> None:
    (key,) = unread(tmp_path, 'stages = [{ name = "one", stages = [{ name = "two" }] }]')
    assert (key.path, key.why, key.readers) == ("stages", "misplaced", ("at the top of the spec",))


def test_a_recipe_of_a_stage_cannot_change_the_model_or_the_machine(tmp_path: Path) -> None:
    top = 'rlc = 1\nmodel.num_layers = 4\ncluster.target = "cuda"\nrun.seed = 3\n'
    (tmp_path / "own.toml").write_text(top + 'optim.beta2 = 0.9\n[[stages]]\nname = "two"\n', encoding="utf-8")
    found = unread(tmp_path, 'stages = [{ name = "one", use = ["own.toml"] }]')
    assert [key.path for key in found if key.why == "misplaced"] == [
        "model.num_layers",
        "cluster.target",
        "run.seed",
        "stages",
    ]
    assert {key.origin for key in found} == {"recipe"}
    compiled = compile_spec(tmp_path / "exp.toml", scan())
    assert [(d.code, d.paths) for d in compiled.diagnostics] == [
        ("RLC0202", ("model.num_layers",)),
        ("RLC0202", ("cluster.target",)),
        ("RLC0202", ("run.seed",)),
        ("RLC0202", ("stages",)),
    ]


def test_a_warm_plan_loads_no_algorithm_but_its_own(tmp_path: Path) -> None:
    spec = tmp_path / "exp.toml"
    spec.write_text(SPEC, encoding="utf-8")
    program = (
        "import sys; from pathlib import Path;"
        "from compiler.compile import compile_spec; from rlc.catalogue import scan;"
        "compiled = compile_spec(Path(sys.argv[1]), scan()); assert compiled.plan is not None;"
        "print([name for name in sys.modules if name.startswith('stdlib.algorithms.') and '._' not in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(spec)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['stdlib.algorithms.sft']\n"
