"""Further roots: `[roots]` in rlc.toml, and labels that begin with `@NAME//`."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.marker import read_roots
from compiler.frontend.roots import Place
from compiler.frontend.session import Session
from compiler.ir.openness import Off
from rlc.catalogue import scan

SPEC = """\
rlc = 1
name = "case"
use = ["@lab//recipes:house"]

[model]
name = "@lab//models:house_small"
weights = "random"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 8
max_response_tokens = 16

[train]
global_batch = 32
"""
RECIPE = """\
use = ["base.toml", "//recipes:grpo"]

[optim]
lr = 0.25

[[data.train]]
path = "../data/train.jsonl"
"""
FACTS = """\
TINY = dict(
    family = "qwen3",
    qk_norm = "head",
    num_layers = 1,
    hidden_size = 64,
    intermediate_size = 128,
    num_heads = 2,
    num_kv_heads = 1,
    head_dim = 32,
    vocab_size = 52,
    max_position_tokens = 512,
    rope_base = 10000.0,
    norm_eps = 1e-6,
    tie_embeddings = True,
    tokenizer = dict(kind = "characters", alphabet = "0123456789+-*=() abcdefghijklmnopqrstuvwxyz?.,:\\n"),
)
"""
MODELS = """\
load("../lib/facts.star", "TINY")

def house_small(**changes):
    return model(name = "@lab//models:house_small", facts = TINY, changes = changes)
"""
JUDGE = "def judge(sample):\n    return 1.0\n"
FILES = {
    "recipes/house.toml": RECIPE,
    "recipes/base.toml": "reward.name = '../judges/math.py:judge'\n",
    "lib/facts.star": FACTS,
    "models/house.star": MODELS,
    "judges/math.py": JUDGE,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An experiment's root, beside a further one that it calls `lab`."""
    laid_out(tmp_path / "lab", FILES)
    laid_out(tmp_path / "home", {"rlc.toml": '[roots]\nlab = "../lab"\n', "exp/spec.toml": SPEC})
    return tmp_path / "home"


def laid_out(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def planned(home: Path, *overrides: str) -> Compiled:
    found = compile_spec(home / "exp/spec.toml", scan(), overrides=overrides)
    assert found.plan is not None, found.diagnostics
    return found


def test_recipes_models_data_and_code_of_a_further_root_make_a_plan(home: Path) -> None:
    found = planned(home)
    assert found.plan is not None
    assert found.subject is not None
    (stage,) = found.plan.experiment.stages
    assert stage.optim.lr == 0.25
    assert found.plan.experiment.model.hidden_size == 64
    assert [source.path for source in stage.data.train] == ["../lab/data/train.jsonl"]
    assert not isinstance(stage.reward, Off)
    assert not isinstance(stage.reward.code, Off)
    assert stage.reward.code.path == "../lab/judges/math.py"
    names = {path: origin.span.file.name for path, origin in found.subject.origins.items() if origin.span is not None}
    assert names["stages.0.optim.lr"] == "@lab//recipes/house.toml"
    assert names["model.hidden_size"] == "@lab//lib/facts.star"
    assert names["stages.0.reward.code.path"].endswith("lab/judges/math.py")


def test_a_plan_does_not_say_where_the_roots_lie(home: Path, tmp_path: Path) -> None:
    here = planned(home).plan
    other = tmp_path / "elsewhere"
    other.mkdir()
    (tmp_path / "lab").rename(other / "lab")
    home.rename(other / "home")
    there = planned(other / "home").plan
    assert here is not None
    assert there is not None
    assert here.hash == there.hash


def test_a_folder_behind_a_link_is_called_as_the_marker_calls_it(home: Path, tmp_path: Path) -> None:
    (home / "vendor").mkdir()
    (home / "vendor/lab").symlink_to(tmp_path / "lab", target_is_directory=True)
    (home / "rlc.toml").write_text('[roots]\nlab = "vendor/lab"\n')
    plan = planned(home).plan
    assert plan is not None
    assert [source.path for source in plan.experiment.stages[0].data.train] == ["vendor/lab/data/train.jsonl"]


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("reward.name='@lab//judges:math.py:judge'", "../lab/judges/math.py"),
        ("reward.name='@lab//judges.math:judge'", "../lab/judges/math.py"),
        ("reward.name='own:judge'", "own.py"),
    ],
)
def test_custom_code_is_a_file_or_a_module_of_a_root(home: Path, override: str, path: str) -> None:
    (home / "own.py").write_text(JUDGE)
    plan = planned(home, override).plan
    assert plan is not None
    reward = plan.experiment.stages[0].reward
    assert not isinstance(reward, Off)
    assert not isinstance(reward.code, Off)
    assert reward.code.path == path


def test_a_module_that_a_file_of_a_root_names_stands_below_that_root(home: Path, tmp_path: Path) -> None:
    (tmp_path / "lab/recipes/base.toml").write_text('reward.name = "judges.math:judge"\n')
    plan = planned(home).plan
    assert plan is not None
    reward = plan.experiment.stages[0].reward
    assert not isinstance(reward, Off)
    assert not isinstance(reward.code, Off)
    assert reward.code.path == "../lab/judges/math.py"


def test_data_may_be_named_by_a_label(home: Path) -> None:
    (home / "exp/spec.toml").write_text(SPEC + '\n[[data.train]]\npath = "@lab//data/math:easy.jsonl"\n')
    plan = planned(home).plan
    assert plan is not None
    assert [source.path for source in plan.experiment.stages[0].data.train] == ["../lab/data/math/easy.jsonl"]


def test_starlark_loads_from_a_root_and_calls_its_recipe(home: Path, tmp_path: Path) -> None:
    laid_out(
        tmp_path / "lab",
        {
            "recipes/star.star": 'load("//recipes:grpo.star", "grpo")\n\ndef star(lr = 0.5):\n'
            '    return fragment(use = [grpo(), "base.toml"], optim = dict(lr = lr))\n'
        },
    )
    spec = (
        'load("@lab//recipes:star.star", "star")\nload("@lab//models:house.star", "house_small")\n'
        'experiment(name = "case", use = [star(lr = 0.125)], model = house_small(weights = "random"),\n'
        '    cluster = dict(target = "cpu"), run = dict(max_steps = 1), train = dict(global_batch = 8),\n'
        "    rollout = dict(prompts_per_step = 4, samples_per_prompt = 2, max_response_tokens = 16),\n"
        '    data = dict(train = [dict(path = "train.jsonl")]))\n'
    )
    (home / "exp/spec.star").write_text(spec)
    found = compile_spec(home / "exp/spec.star", scan())
    assert found.plan is not None, found.diagnostics
    assert found.plan.experiment.stages[0].optim.lr == 0.125
    (home / "exp/spec.star").write_text(spec.replace("lr = 0.125", ""))
    found = compile_spec(home / "exp/spec.star", scan())
    assert found.plan is not None, found.diagnostics
    assert found.plan.experiment.stages[0].optim.lr == 0.5


def test_a_vendored_file_belongs_to_its_root_however_it_is_named(tmp_path: Path) -> None:
    laid_out(tmp_path / "vendor/lab", FILES)
    laid_out(tmp_path, {"rlc.toml": '[roots]\nlab = "vendor/lab"\n', "exp/spec.toml": SPEC})
    by_label = planned(tmp_path).plan
    (tmp_path / "exp/spec.toml").write_text(SPEC.replace("@lab//recipes:house", "../vendor/lab/recipes/house.toml"))
    by_path = planned(tmp_path)
    assert by_label is not None
    assert by_path.plan is not None
    assert by_path.plan.hash == by_label.hash
    assert by_path.subject is not None
    origin = by_path.subject.origins.get("stages.0.optim.lr")
    assert origin is not None
    assert origin.span is not None
    assert origin.span.file.name == "@lab//recipes/house.toml"


def test_roots_of_a_further_root_name_nothing(home: Path, tmp_path: Path) -> None:
    laid_out(tmp_path / "other", {"recipes/deep.toml": "optim.lr = 0.75\n"})
    laid_out(
        tmp_path / "lab",
        {"rlc.toml": '[roots]\ndeep = "../other"\n', "recipes/house.toml": 'use = ["@deep//recipes:deep"]\n'},
    )
    found = compile_spec(home / "exp/spec.toml", scan())
    assert [d.code for d in found.diagnostics] == ["RLC0010"]
    (home / "rlc.toml").write_text('[roots]\nlab = "../lab"\ndeep = "../other"\n')
    found = compile_spec(home / "exp/spec.toml", scan())
    assert all(d.code != "RLC0010" for d in found.diagnostics)


def test_a_link_that_leaves_a_further_root_is_not_followed(home: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.toml").write_text("optim.lr = 1\n")
    (tmp_path / "lab/recipes/house.toml").unlink()
    (tmp_path / "lab/recipes/house.toml").symlink_to(tmp_path / "outside.toml")
    (found,) = compile_spec(home / "exp/spec.toml", scan()).diagnostics
    assert (found.code, found.message) == ("RLC0011", "`@lab//recipes:house` leaves the root @lab")


def test_a_path_into_a_declared_root_is_answered_with_its_label(home: Path) -> None:
    (home / "exp/spec.toml").write_text(SPEC.replace("@lab//recipes:house", "../../lab/recipes/house.toml"))
    (found,) = compile_spec(home / "exp/spec.toml", scan()).diagnostics
    assert found.code == "RLC0011"
    assert [way.text for way in found.help] == ['write "@lab//recipes:house"']


@pytest.mark.parametrize("label", ["@lab//lib:../x.star", "@lab//../lib:x.star", "@lab//lib", "@lab//lib:a:b.star"])
def test_a_label_of_another_form_is_none(home: Path, label: str) -> None:
    (home / "exp/spec.star").write_text(f'load("{label}", "x")\n')
    (found,) = compile_spec(home / "exp/spec.star", scan()).diagnostics
    assert found.code in ("RLC0010", "RLC0152")


def test_a_root_that_is_faulty_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "fine").mkdir()
    (tmp_path / "rlc.toml").write_text('[roots]\nlab = "none"\nfine = "fine"\n')
    reporter = Reporter()
    found = read_roots(Place(tmp_path / "spec.toml", "spec.toml", tmp_path), Session(scan().stdlib), reporter)
    assert [d.code for d in reporter.diagnostics] == ["RLC0034"]
    assert [(root.name, root.path) for root in found] == [("fine", "fine")]
