"""`rlc plan --diff REVISION`: the spec as git has it, with the recipes and the code of that revision."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from rlc.cli.main import main
from tests.compiler.emit.plan_specs import CONFIG, FROM_CHECKPOINT, JUDGE, ONE_STAGE, OWN_REWARD

Captured = pytest.CaptureFixture[str]
BASE = "[optim]\nweight_decay = 0.1\n"
USING = ONE_STAGE.replace('"//recipes:grpo"', '"base.toml", "//recipes:grpo"')


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which the folder `exp` is the working directory."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "exp").mkdir()
    git(tmp_path, "init", "--quiet")
    monkeypatch.chdir(tmp_path / "exp")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def commit(lab: Path, **files: str) -> None:
    for name, text in files.items():
        (lab / "exp" / name.replace("__", ".")).write_text(text)
    git(lab, "add", "--all")
    git(lab, "commit", "--quiet", "--message", "x")


def diff(revision: str, capsys: Captured) -> tuple[int, str, str]:
    code = main(["plan", "spec.toml", "--diff", revision])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_change_of_the_spec_is_told_with_both_places(lab: Path, capsys: Captured) -> None:
    commit(lab, spec__toml=ONE_STAGE)
    Path("spec.toml").write_text("# one more line\n" + ONE_STAGE.replace("max_steps = 10", "max_steps = 5"))
    code, out, _ = diff("HEAD", capsys)
    assert code == 0
    assert "  HEAD:exp/spec.toml\n" in out
    assert "    old  HEAD:exp/spec.toml:12   max_steps = 10\n      new  spec.toml:13   max_steps = 5\n" in out


def test_a_change_of_a_recipe_is_told_with_both_places(lab: Path, capsys: Captured) -> None:
    commit(lab, spec__toml=USING, base__toml=BASE)
    commit(lab, base__toml=BASE.replace("0.1", "0.2"))
    code, out, _ = diff("HEAD~1", capsys)
    assert code == 0
    assert "optim.weight_decay: 0.1 -> 0.2\n" in out
    assert "    old  HEAD~1:exp/base.toml:2   weight_decay = 0.1\n      new  base.toml:2   weight_decay = 0.2\n" in out


def test_changed_code_of_a_reward_is_a_change(lab: Path, capsys: Captured) -> None:
    commit(lab, spec__toml=OWN_REWARD, judge__py=JUDGE)
    Path("judge.py").write_text(JUDGE.replace("1.0", "0.5"))
    code, out, _ = diff("HEAD", capsys)
    assert code == 0
    assert (
        "1 field of the plan changed, from 1 cause\n\nmeaning: what is learned, and from what\n\n  reward.code.sha256: "
        in out
    )
    assert "    old  HEAD:exp/judge.py:4   def best_of(group):\n      new  judge.py:4   def best_of(group):\n" in out


def test_code_that_a_reward_no_longer_needs_follows_from_its_name(lab: Path, capsys: Captured) -> None:
    commit(lab, spec__toml=OWN_REWARD, judge__py=JUDGE)
    Path("spec.toml").write_text(OWN_REWARD.replace('"judge.py:best_of"', '"exact"'))
    code, out, _ = diff("HEAD", capsys)
    assert code == 0
    assert ", from 1 cause\n\nmeaning: what is learned, and from what\n\n  reward.name: " in out
    assert "reward.code.sha256: " in out


def test_an_unchanged_spec_has_no_difference(lab: Path, capsys: Captured) -> None:
    commit(lab, spec__toml=USING, base__toml=BASE)
    assert diff("HEAD", capsys)[1].endswith("\nno difference\n")


def test_a_model_that_git_does_not_hold_is_that_of_the_working_tree(lab: Path, capsys: Captured) -> None:
    (lab / ".gitignore").write_text("checkpoint\n")
    commit(lab, spec__toml=FROM_CHECKPOINT)
    Path("checkpoint").mkdir()
    Path("checkpoint/config.json").write_text(json.dumps(CONFIG))
    assert diff("HEAD", capsys)[1].endswith("\nno difference\n")


def test_a_spec_that_had_errors_is_reported_under_the_name_of_its_revision(lab: Path, capsys: Captured) -> None:
    commit(lab, spec__toml=ONE_STAGE.replace("global_batch = 32", "global_batch = 48"))
    Path("spec.toml").write_text(ONE_STAGE)
    code, out, err = diff("HEAD", capsys)
    assert (code, out) == (1, "")
    assert "error[RLC0301]" in err
    assert "HEAD:exp/spec.toml\n" in err


def test_a_spec_that_was_not_there_is_reported(lab: Path, capsys: Captured) -> None:
    commit(lab, other__toml=ONE_STAGE)
    Path("spec.toml").write_text(ONE_STAGE)
    code, _, err = diff("HEAD", capsys)
    assert code == 1
    assert "error[RLC0001]: there is no file HEAD:exp/spec.toml" in err


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "HEAD:spec", ""])
def test_a_revision_that_git_does_not_know_is_reported(lab: Path, revision: str, capsys: Captured) -> None:
    commit(lab, spec__toml=ONE_STAGE)
    code, out, err = diff(revision, capsys)
    assert (code, out) == (1, "")
    assert "error[RLC0023]" in err
    assert sorted(p.name for p in Path().iterdir()) == ["spec.toml"]


def test_a_spec_outside_of_a_repository_has_no_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(ONE_STAGE)
    code, _, err = diff("HEAD", capsys)
    assert code == 1
    assert "error[RLC0023]" in err
    assert "not a git repository" in err


def test_a_machine_without_git_is_told_so(lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    commit(lab, spec__toml=ONE_STAGE)
    monkeypatch.setenv("PATH", str(lab / "nothing"))
    code, _, err = diff("HEAD", capsys)
    assert code == 1
    assert "git cannot be called" in err


def test_a_root_above_the_repository_is_no_obstacle(lab: Path, capsys: Captured) -> None:
    inner = lab / "exp"
    (lab / "rlc.toml").touch()
    git(inner, "init", "--quiet")
    (inner / "spec.toml").write_text(ONE_STAGE)
    git(inner, "add", "--all")
    git(inner, "commit", "--quiet", "--message", "x")
    assert diff("HEAD", capsys)[1].endswith("  spec.toml\n\nno difference\n")


def test_a_spec_that_is_a_link_in_git_is_followed(lab: Path, capsys: Captured) -> None:
    Path("spec.toml").symlink_to("real.toml")
    commit(lab, real__toml=ONE_STAGE)
    Path("real.toml").write_text(ONE_STAGE.replace("max_steps = 10", "max_steps = 11"))
    assert "run.max_steps: 10 -> 11\n" in diff("HEAD", capsys)[1]


HOUSE = ONE_STAGE.replace('"//recipes:grpo"', '"@house//recipes:base", "//recipes:grpo"')


def house(folder: Path, decay: float) -> None:
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    (folder / "recipes/base.toml").write_text(BASE.replace("0.1", str(decay)))


def test_a_further_root_in_the_repository_is_that_of_the_revision(lab: Path, capsys: Captured) -> None:
    house(lab / "house", 0.1)
    commit(lab, rlc__toml='[roots]\nhouse = "../house"\n', spec__toml=HOUSE)
    house(lab / "house", 0.2)
    code, out, err = diff("HEAD", capsys)
    assert (code, err) == (0, "")
    assert "old  @house//recipes/base.toml:2   weight_decay = 0.1" in out
    assert "new  @house//recipes/base.toml:2   weight_decay = 0.2" in out


def test_a_submodule_is_at_the_commit_that_the_revision_records(lab: Path, capsys: Captured) -> None:
    inner = lab / "exp/house"
    house(inner, 0.1)
    git(inner, "init", "--quiet")
    git(inner, "add", "--all")
    git(inner, "commit", "--quiet", "--message", "x")
    commit(lab, rlc__toml='[roots]\nhouse = "house"\n', spec__toml=HOUSE)
    house(inner, 0.3)
    code, out, err = diff("HEAD", capsys)
    assert (code, err) == (0, "")
    assert "weight_decay = 0.1" in out
    assert "weight_decay = 0.3" in out


def test_a_further_root_outside_of_the_repository_is_that_of_the_working_tree(
    tmp_path_factory: pytest.TempPathFactory, lab: Path, capsys: Captured
) -> None:
    beside = tmp_path_factory.mktemp("beside")
    house(beside, 0.1)
    way = os.path.relpath(beside, lab / "exp")
    commit(lab, rlc__toml=f'[roots]\nhouse = "{way}"\n', spec__toml=HOUSE)
    house(beside, 0.4)
    code, out, err = diff("HEAD", capsys)
    assert (code, err) == (0, "")
    assert out.endswith("no difference\n")
