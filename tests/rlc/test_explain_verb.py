"""`rlc explain`: what a person reads about a value, and about a code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlc.cli.main import main

PROJECT = Path(__file__).parents[2]

SPEC = """\
name = "small"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
max_response_tokens = 8
prompts_per_step = 4
samples_per_prompt = 2

[rollout.sampling]
temperature = 0.7

[reward]
name = "exact"

[optim]
lr = 1e-3                # the recipe says 1e-6

[[data.train]]
path = "sums.jsonl"

[[eval.sets]]
name = "heldout"
path = "heldout.jsonl"
"""

STAGES = (
    SPEC.replace('use = ["//recipes:grpo"]\n', "")
    + """
[[stages]]
name = "imitate"
use = ["//recipes:sft"]

[stages.train]
global_batch = 16

[[stages]]
name = "explore"
use = ["//recipes:grpo"]

[stages.optim]
lr = 5e-4
"""
)

Explain = Callable[..., str]


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Explain:
    """`explain(spec, *args)` writes a spec, explains it and returns what is printed; errors fail the test."""
    monkeypatch.chdir(tmp_path)

    def call(spec: str, *args: str) -> str:
        Path("exp.toml").write_text(spec, encoding="utf-8")
        assert main(["explain", "exp.toml", *args]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return call


def test_a_solved_field_shows_its_equation_in_names_and_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    monkeypatch.chdir(PROJECT)
    assert main(["explain", "experiments/quickstart.toml", "train.steps_per_rollout"]) == 0
    golden("explain/solved.txt", capsys.readouterr().out)


def test_a_tree_goes_down_to_what_was_written(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/tree.txt", explain(SPEC, "optim.total_steps", "--set", "train.global_batch=4"))


def test_an_assumed_field_says_why_it_had_to_be_assumed(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/assumed.txt", explain(SPEC, "train.steps_per_rollout"))


def test_an_inherited_field_shows_where_from(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/inherited.txt", explain(SPEC, "eval.sampling.temperature"))


def test_a_recipe_that_the_spec_overrides_is_shown(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/overridden_recipe.txt", explain(SPEC, "optim.lr"))


def test_set_wins_and_all_that_lost_is_shown(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/set.txt", explain(SPEC, "optim.lr", "--set", "optim.lr=3e-4"))


def test_a_field_of_one_stage(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/stage.txt", explain(STAGES, "stages.explore.optim.lr"))


def test_stages_that_disagree_have_a_page_each(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/stages_disagree.txt", explain(STAGES, "optim.lr"))


def test_stages_that_share_a_value_share_a_page(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/stages_share.txt", explain(STAGES, "rollout.max_response_tokens"))


def test_without_a_field_all_are_listed(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/overview.txt", explain(SPEC))


def test_a_table_lists_its_fields_in_every_stage(explain: Explain, golden: Callable[[str, str], None]) -> None:
    golden("explain/table.txt", explain(STAGES, "optim"))


def test_a_field_of_a_list_is_found_as_set_writes_it(explain: Explain) -> None:
    assert explain(SPEC, "data.train[0].path").startswith('data.train.0.path = "sums.jsonl"\n')


def test_a_field_that_the_compiler_sets_says_that_a_spec_cannot(explain: Explain) -> None:
    page = explain(SPEC, "seeds.data")
    assert "  origin     derived by the compiler\n" in page
    assert "run.seed = 0   default\n" in page
    assert "  takes      nothing: only the compiler sets it\n" in page


def test_a_field_that_may_change_on_resume_says_so(explain: Explain) -> None:
    assert explain(SPEC, "run.max_steps").endswith("  on resume  may change\n")
    assert explain(SPEC, "optim.lr").endswith("  on resume  must be the same\n")


def test_a_field_that_another_one_switches_off_says_when_it_is_read(explain: Explain) -> None:
    assert '             read only where schedule is "linear" or "cosine"\n' in explain(SPEC, "optim.min_lr")


def test_the_name_of_the_experiment_is_not_that_of_its_only_stage(explain: Explain) -> None:
    assert explain(SPEC, "name").startswith('name = "small"\n')
    assert explain(SPEC, "stages.main.name").startswith('stages.main.name = "main"\n')
    assert explain(STAGES, "name").count(" = ") == 2  # the heading and its line of source: no page of a stage


def test_ascii_draws_the_tree_with_ascii(explain: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    explain(SPEC)
    assert main(["--ascii", "explain", "exp.toml", "eval.sampling.temperature"]) == 0
    page = capsys.readouterr().out
    assert "  from       `- rollout.sampling.temperature = 0.7   exp.toml:19\n" in page
    assert page.isascii()


def test_a_spec_cannot_send_commands_to_the_terminal(explain: Explain) -> None:
    spec = SPEC.replace("# the recipe says 1e-6", "# \u202e turned around")
    assert "\u202e" not in explain(spec, "optim.lr")
    assert "\x1b" not in explain(SPEC.replace('"small"', '"sm\\u001ball"'), "name")


def test_a_spec_with_errors_is_explained_after_them(explain: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    explain(SPEC)
    Path("exp.toml").write_text(SPEC + '\n[optim.more]\nlr = "1"\n', encoding="utf-8")
    assert main(["explain", "exp.toml", "optim.lr"]) == 1
    printed = capsys.readouterr()
    assert "error[RLC0201]: there is no field optim.more" in printed.err
    assert printed.out.startswith("optim.lr = 0.001\n")


def test_what_equations_leave_open_is_called_open(explain: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    explain(SPEC)
    Path("exp.toml").write_text(SPEC.replace("prompts_per_step = 4\n", ""), encoding="utf-8")
    assert main(["explain", "exp.toml", "rollout.prompts_per_step"]) == 1
    page = capsys.readouterr().out
    assert page.startswith('rollout.prompts_per_step = "auto"\n')
    assert "  origin     nobody has set it, and nothing determines it\n" in page


def test_a_value_that_could_not_be_read_is_not_made_up(explain: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    explain(SPEC)
    Path("exp.toml").write_text(SPEC.replace("lr = 1e-3", 'lr = "1e-3"'), encoding="utf-8")
    assert main(["explain", "exp.toml", "optim.lr"]) == 1
    page = capsys.readouterr().out
    assert page.startswith("optim.lr = ?\n")
    assert "  origin     not known: the spec has an error here\n" in page


def test_what_follows_from_a_missing_value_is_not_known_either(
    explain: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(SPEC)
    Path("exp.toml").write_text(SPEC.replace("max_response_tokens = 8\n", ""), encoding="utf-8")
    assert main(["explain", "exp.toml", "rollout.max_context_tokens"]) == 1
    page = capsys.readouterr().out
    assert page.startswith("rollout.max_context_tokens = ?\n")
    assert "\u2514\u2500 rollout.max_response_tokens = ?   not known\n" in page
    assert main(["explain", "exp.toml", "rollout.max_context_tokens", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["fields"]
    assert [found[f"rollout.{name}"]["value"] for name in ("max_context_tokens", "max_response_tokens")] == [None, None]
    assert found["model.max_position_tokens"]["value"] == 512


def test_without_an_algorithm_what_all_stages_share_is_still_explained(
    explain: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(SPEC)
    Path("exp.toml").write_text(SPEC.replace('use = ["//recipes:grpo"]', ""), encoding="utf-8")
    assert main(["explain", "exp.toml"]) == 1
    printed = capsys.readouterr()
    assert "error[RLC0205]: algo.name is required" in printed.err
    assert ["cluster.target", '"cpu"', "exp.toml:8"] in [row.split() for row in printed.out.splitlines()]
    assert "stages" not in printed.out


def test_json_holds_the_field_and_all_that_it_was_derived_from(explain: Explain) -> None:
    found = json.loads(explain(SPEC, "optim.total_steps", "--json"))
    assert found["asked"] == ["optim.total_steps"]
    assert sorted(found["fields"]) == [
        "optim.total_steps",
        "run.max_steps",
        "train.epochs_per_rollout",
        "train.steps_per_rollout",
    ]
    assert found["fields"]["optim.total_steps"]["value"] == 10
    assert found["fields"]["run.max_steps"]["origin"] == {
        "kind": "spec",
        "file": "exp.toml",
        "line": 11,
        "text": "max_steps = 10",
    }


def test_a_misspelt_field_has_near_ones(explain: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    explain(SPEC)
    assert main(["explain", "exp.toml", "optim.lrr"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error[RLC0019]: this experiment has no field optim.lrr\n")
    assert "did you mean optim.lr?" in printed.err


def test_a_field_of_another_algorithm_names_it(explain: Explain, capsys: pytest.CaptureFixture[str]) -> None:
    sft = SPEC.replace("grpo", "sft").replace("prompts_per_step = 4\nsamples_per_prompt = 2\n", "")
    explain(sft, "--set", "train.global_batch=4")
    assert main(["explain", "exp.toml", "loss.kl.coef", "--set", "train.global_batch=4"]) == 1
    assert "= help: it is read by algorithm grpo\n" in capsys.readouterr().err


def test_a_field_that_a_stage_lacks_names_what_would_read_it(
    explain: Explain, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(STAGES)
    assert main(["explain", "exp.toml", "stages.imitate.loss.clip_low"]) == 1
    printed = capsys.readouterr().err
    assert "= help: it is read by algorithm grpo\n" in printed
    assert "= help: did you mean stages.explore.loss.clip_low?\n" in printed


@pytest.mark.parametrize("name", ["RLC0301", "rlc0301", "BATCH-01"])
def test_a_code_or_a_rule_prints_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    page = capsys.readouterr().out
    assert page.startswith("# RLC0301: ")
    assert "\n## Fix\n" in page


@pytest.mark.parametrize("option", ["--json", "--set=optim.lr=1"])
def test_what_is_about_a_spec_is_refused_beside_a_code(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "RLC0301", option]) == 2
    assert "RLC0301 is a code" in capsys.readouterr().err


def test_an_unknown_code_has_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "BATCH-1"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error[RLC0019]: there is no code or rule BATCH-1\n")
    assert "did you mean BATCH-01?" in printed.err


def test_a_spec_that_is_not_there_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "absent.toml", "optim.lr"]) == 1
    assert capsys.readouterr().err.startswith("error[RLC0001]: ")
