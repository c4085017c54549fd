"""Specs in Starlark, compiled: what they say, where each value comes from, and which experiments a file holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_all, compile_spec, experiments_of
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.loader import Loaded, load
from compiler.frontend.session import Session
from compiler.frontend.value import List, node_at
from compiler.ir.paths import leaves
from compiler.ir.provenance import Origin
from rlc.catalogue import scan

TABLES = """
    model = dict(name = "//models:tiny_qwen3"),
    cluster = dict(target = "cpu"),
    run = dict(max_steps = 10),
    rollout = dict(prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16),
    reward = dict(name = "exact"),
    train = dict(global_batch = 32),
    data = dict(train = [dict(path = "train.jsonl")]),
"""
TOML = """
name = "one"
use = ["//recipes:grpo"]
model.name = "//models:tiny_qwen3"
cluster.target = "cpu"
run.max_steps = 10
rollout = { prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16 }
reward.name = "exact"
train.global_batch = 32
data.train = [{ path = "train.jsonl" }]
"""
ROOT = Path(__file__).parents[4]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name}.star"
        path.write_text(text)
    return folder / "spec.star"


def experiment(extra: str = "", *, name: str = '"one"', use: str = '["//recipes:grpo"]') -> str:
    return f"experiment(name = {name}, use = {use}, {TABLES}{extra})\n"


def values(compiled: Compiled) -> dict[str, object]:
    assert [d.message for d in compiled.diagnostics] == []
    assert compiled.subject is not None
    return dict(leaves(compiled.subject.experiment))


def origin(compiled: Compiled, path: str) -> Origin:
    assert compiled.subject is not None
    return compiled.subject.origins[path]


def plan_hash(compiled: Compiled) -> str:
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    return compiled.plan.hash


def loaded(spec: Path) -> Loaded:
    reporter = Reporter()
    found = load(spec, (), Session(scan().stdlib), reporter)
    assert reporter.diagnostics == []
    assert found is not None
    return found


def test_an_experiment_has_the_plan_of_the_same_one_in_toml(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(TOML)
    spec = write(tmp_path, spec=experiment())
    assert plan_hash(compile_spec(spec, scan())) == plan_hash(compile_spec(tmp_path / "spec.toml", scan()))


def test_stages_have_the_plan_of_the_same_ones_in_toml(tmp_path: Path) -> None:
    for spec in (ROOT / "experiments/quickstart.toml", Path(__file__).parent / "quickstart.star"):
        (tmp_path / spec.name).write_text(spec.read_text())
    starlark, toml = (compile_spec(tmp_path / f"quickstart.{end}", scan()) for end in ("star", "toml"))
    assert plan_hash(starlark) == plan_hash(toml)


def test_a_recipe_of_the_library_says_what_its_toml_said(tmp_path: Path) -> None:
    by_hand = TOML.replace('use = ["//recipes:grpo"]', "") + (
        'algo = { name = "grpo", normalize_std = true }\n'
        'loss = { clip_low = 0.2, clip_high = 0.28, reduction = "token" }\n'
        'optim = { name = "adamw", lr = 1e-6, beta2 = 0.95, clip_grad_norm = 1.0 }\n'
    )
    (tmp_path / "recipe.toml").write_text(TOML)
    (tmp_path / "hand.toml").write_text(by_hand)
    assert plan_hash(compile_spec(tmp_path / "recipe.toml", scan())) == plan_hash(
        compile_spec(tmp_path / "hand.toml", scan())
    )


def test_a_value_knows_its_argument_and_the_calls_that_lead_to_it(tmp_path: Path) -> None:
    base = 'def base(high = 0.28):\n    return fragment(use = ["//recipes:grpo"], loss = dict(clip_high = high))\n'
    spec = write(
        tmp_path,
        base=base,
        spec='load("base.star", "base")\n\ndef arm(c):\n    return '
        + experiment(use="[base(high = c)]").replace("\n", "\n    ")
        + "\n\narm(0.25)\n",
    )
    compiled = compile_spec(spec, scan())
    assert values(compiled)["stages.0.loss.clip_high"] == 0.25
    found = origin(compiled, "stages.0.loss.clip_high")
    assert found.span is not None
    assert found.key is not None
    assert (found.kind, found.key.text, found.span.text) == ("recipe", "clip_high", "high")
    assert Path(found.span.file.name).name == "base.star"
    assert [(call.function, call.span.text) for call in found.calls] == [
        ("arm", "arm(0.25)"),
        ("base", "base(high = c)"),
    ]
    assert [call.function for call in origin(compiled, "stages.0.train.global_batch").calls] == ["arm"]


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ("optim = dict(lr = 2e-5)", "lr", "2e-5"),
        ('optim = {"lr": 2e-5}', '"lr"', "2e-5"),
        ("optim = dict([('lr', 2e-5)])", "optim", "dict([('lr', 2e-5)])"),
        ("optim = dict(dict(lr = 1e-5), lr = 2e-5)", "lr", "2e-5"),
        ("optim = dict(lr = 1e-5) | {'lr': 2e-5}", "'lr'", "2e-5"),
        ("**dict(optim = dict(lr = 2e-5))", "lr", "2e-5"),
        ("optim = {k: 2e-5 for k in ['lr']}", "k", "2e-5"),
    ],
)
def test_every_way_to_write_an_entry_keeps_its_place(given: str, key: str, value: str, tmp_path: Path) -> None:
    found = origin(compile_spec(write(tmp_path, spec=experiment(given)), scan()), "stages.0.optim.lr")
    assert found.key is not None
    assert found.span is not None
    if key != "optim":
        assert (found.key.text, found.span.text) == (key, value)
    assert found.kind == "spec"


def test_none_is_not_written(tmp_path: Path) -> None:
    spec = write(tmp_path, spec=experiment("optim = dict(lr = None), log = None"))
    assert values(compile_spec(spec, scan()))["stages.0.optim.lr"] == 1e-6


def test_a_fragment_loses_against_the_experiment_and_wins_against_what_it_uses(tmp_path: Path) -> None:
    base = 'def base():\n    return fragment(use = ["//recipes:grpo"], optim = dict(lr = 2e-6, beta2 = 0.9))\n'
    spec = write(
        tmp_path, base=base, spec='load("base.star", "base")\n' + experiment("optim = dict(lr = 3e-6)", use="[base]")
    )
    found = values(compile_spec(spec, scan()))
    assert (found["stages.0.optim.lr"], found["stages.0.optim.beta2"]) == (3e-6, 0.9)
    assert found["stages.0.loss.clip_high"] == 0.28


def test_set_changes_a_starlark_spec(tmp_path: Path) -> None:
    compiled = compile_spec(write(tmp_path, spec=experiment()), scan(), overrides=["optim.lr=1e-4"])
    assert values(compiled)["stages.0.optim.lr"] == 1e-4


def test_toml_uses_a_starlark_recipe(tmp_path: Path) -> None:
    write(tmp_path, base="def base(lr = 5e-6):\n    return fragment(optim = dict(lr = lr))\n")
    (tmp_path / "spec.toml").write_text(TOML.replace('"//recipes:grpo"', '"//recipes:dr_grpo", "base.star"'))
    # Two recipes that are equally near must not disagree, so the spec decides.
    compiled = compile_spec(tmp_path / "spec.toml", scan(), overrides=["optim.lr=1e-4"])
    assert values(compiled)["stages.0.algo.normalize_std"] is False
    found = origin(compiled, "stages.0.optim.lr")
    assert [lost.span.text for lost in found.shadowed if lost.span is not None].count("lr") == 2


FACTS = """
def tiny(**changes):
    return model(
        name = "tiny",
        facts = dict(family = "qwen3", qk_norm = "head", num_layers = 2, hidden_size = 64, intermediate_size = 96,
                     num_heads = 4, num_kv_heads = 2, head_dim = 16, vocab_size = 52, max_position_tokens = 256,
                     rope_base = 1e4, norm_eps = 1e-6, tie_embeddings = True,
                     tokenizer = dict(kind = "characters", alphabet = "0123456789+= ")),
        changes = changes,
    )
"""


def test_facts_of_a_model_are_a_recipe_and_changes_are_the_experiments_own(tmp_path: Path) -> None:
    text = experiment().replace('dict(name = "//models:tiny_qwen3")', 'tiny(weights = "random")')
    compiled = compile_spec(write(tmp_path, tiny=FACTS, spec='load("tiny.star", "tiny")\n' + text), scan())
    found = values(compiled)
    assert (found["model.name"], found["model.hidden_size"], found["model.weights"]) == ("tiny", 64, "random")
    assert origin(compiled, "model.hidden_size").kind == "recipe"
    assert origin(compiled, "model.weights").kind == "spec"


def test_a_model_that_lost_brings_no_facts(tmp_path: Path) -> None:
    text = experiment().replace('dict(name = "//models:tiny_qwen3")', 'tiny(weights = "random")')
    spec = write(tmp_path, tiny=FACTS, spec='load("tiny.star", "tiny")\n' + text)
    compiled = compile_spec(spec, scan(), overrides=["model.name=//models:tiny_qwen3"])
    assert values(compiled)["model.hidden_size"] == 128


def test_the_experiments_of_a_file_are_those_that_running_it_makes(tmp_path: Path) -> None:
    made = 'other = experiment(name = "other")\n\ndef arm(c):\n    return experiment(name = "arm-%s" % c)\n'
    spec = write(tmp_path, made=made, spec='load("made.star", "arm")\nsweep([arm(c) for c in (1, 2)])\n')
    assert experiments_of(spec, Session(scan().stdlib)) == ("arm-1", "arm-2")


def test_a_name_after_a_colon_chooses(tmp_path: Path) -> None:
    arms = "".join(experiment(f"optim = dict(lr = {lr})", name=f'"{lr}"') for lr in (1e-5, 2e-5))
    write(tmp_path, spec=arms)
    assert values(compile_spec(tmp_path / "spec.star:2e-05", scan()))["stages.0.optim.lr"] == 2e-5
    wrong = compile_spec(tmp_path / "spec.star:2e-5", scan())
    assert [d.code for d in wrong.diagnostics] == ["RLC0024"]
    assert wrong.diagnostics[0].help[0].text.endswith("spec.star:2e-05")
    assert [name for name, _ in compile_all(tmp_path / "spec.star", scan())] == ["1e-05", "2e-05"]


def test_a_file_whose_name_has_a_colon_is_that_file(tmp_path: Path) -> None:
    spec = tmp_path / "a.star:b.toml"
    spec.write_text(TOML)
    assert plan_hash(compile_spec(spec, scan()))
    (tmp_path / "c:d.star").write_text(experiment())
    assert plan_hash(compile_spec(tmp_path / "c:d.star", scan()))


def test_requirements_come_with_their_places_and_hold_for_what_their_call_makes(tmp_path: Path) -> None:
    base = 'def base():\n    require("a > 1", "of the recipe")\n    return fragment()\n'
    checks = 'def checks():\n    require("c > 3", "of the arm")\n'
    arm = "def arm(n):\n    checks()\n    return " + experiment(name="n", use='["//recipes:grpo", base]')
    spec = write(
        tmp_path,
        base=base,
        spec=f'load("base.star", "base")\n{checks}\n{arm.replace(chr(10), chr(10) + "    ")}\n'
        'arm("x")\nexperiment(name = "y")\nrequire("b > 2", "of the file")\n',
    )
    found = loaded(tmp_path / "spec.star:x").requires
    assert {(r.text, r.why, r.span.text) for r in found} == {
        ("a > 1", "of the recipe", '"a > 1"'),
        ("b > 2", "of the file", '"b > 2"'),
        ("c > 3", "of the arm", '"c > 3"'),
    }
    assert [c.function for r in found if r.text == "c > 3" for c in r.calls] == ["arm", "checks"]
    assert [r.text for r in loaded(tmp_path / "spec.star:y").requires] == ["b > 2"]
    assert spec.exists()


def test_requirements_of_toml_and_of_what_it_uses_add_up(tmp_path: Path) -> None:
    write(tmp_path, base='def base():\n    require("a > 1", "of the recipe")\n    return fragment()\n')
    spec = tmp_path / "spec.toml"
    spec.write_text('use = ["base.star"]\nrequire = [{ that = "b > 2", why = "of the spec" }]\n')
    found = loaded(spec)
    assert [(r.text, r.span.text) for r in found.requires] == [("b > 2", '"b > 2"'), ("a > 1", '"a > 1"')]
    assert "require" not in found.value.entries


def test_a_fragment_that_two_stages_use_is_read_in_each(tmp_path: Path) -> None:
    text = """
load("//recipes:sft.star", "sft")

def stage(name):
    return dict(name = name, use = [sft(lr = 1e-4)], run = dict(max_steps = 3), idle = dict(x = 1))

experiment(
    name = "two",
    model = dict(name = "//models:tiny_qwen3"),
    cluster = dict(target = "cpu"),
    train = dict(global_batch = 8),
    data = dict(train = [dict(path = "train.jsonl")]),
    stages = [stage("a"), stage("b")],
)
"""
    wrong = compile_spec(write(tmp_path, spec=text), scan())
    assert [d.code for d in wrong.diagnostics] == ["RLC0201"]
    right = compile_spec(write(tmp_path, spec=text.replace(", idle = dict(x = 1)", "")), scan())
    found = values(right)
    assert (found["stages.0.optim.lr"], found["stages.1.optim.lr"]) == (1e-4, 1e-4)


def test_a_value_that_holds_another_many_times_exhausts_a_budget_and_nothing_else(tmp_path: Path) -> None:
    text = "def grow():\n    d = dict(a = 1)\n    for _ in range(50):\n        d = dict(a = d, b = d)\n    return d\n"
    found = compile_spec(write(tmp_path, spec=text + experiment("loss = grow()")), scan())
    assert found.diagnostics[0].code in ("RLC0140", "RLC0141")
    text = "def grow():\n    f = fragment(log = dict(a = 1))\n    for _ in range(50):\n"
    text += "        f = fragment(use = [f, f])\n"
    found = compile_spec(write(tmp_path, spec=text + "    return f\n" + experiment(use="[grow()]")), scan())
    assert found.diagnostics[0].code in ("RLC0140", "RLC0141")


def test_a_leaf_of_a_list_stands_where_the_list_does(tmp_path: Path) -> None:
    spec = write(tmp_path, spec='experiment(name = "one", rollout = dict(stop_token_ids = [1] + [2]))\n')
    node = node_at(loaded(spec).value, "rollout", "stop_token_ids")
    assert isinstance(node, List)
    assert [item.span.text for item in node.items] == ["[1] + [2]"] * 2
