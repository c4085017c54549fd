"""What other tools call: the hooks of pre-commit, and the action that comments on a change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.frontend.test_further_roots import laid_out
from tests.rlc.test_check_kinds import FILES
from tests.support.good_spec_texts import GOOD, STAR

PROJECT = Path(__file__).parents[2]
HOOKS = PROJECT / ".pre-commit-hooks.yaml"
ACTION = PROJECT / ".github" / "actions" / "plan-diff"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes below inherit: this rlc, and a git that knows nobody in particular."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")


def hooks() -> dict[str, dict[str, str]]:
    """The hooks by id; the file has one key a line, so that no reader of YAML is needed."""
    found: dict[str, dict[str, str]] = {}
    for block in re.split(r"^- ", HOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^ *(\w+): (.*)$", block, re.MULTILINE))
        found[fields["id"]] = fields
    return found


def called(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def run_hook(name: str, folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    program, *words = hooks()[name]["entry"].split()
    assert program == "rlc"
    return called(folder, sys.executable, "-m", program, *words, *files)


def test_the_check_hook_passes_a_good_spec_and_fails_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(GOOD.replace("= 32", "= 0"))
    assert run_hook("rlc-check", tmp_path, "good.toml").returncode == 0
    assert run_hook("rlc-check", tmp_path, "good.toml", "bad.toml").returncode == 1


def test_the_check_hook_takes_what_specs_use_as_what_it_is(tmp_path: Path) -> None:
    laid_out(tmp_path, FILES)
    assert all(re.search(hooks()["rlc-check"]["files"], name) for name in FILES)
    assert not any(re.search(hooks()["rlc-check"]["exclude"], name) for name in FILES)
    assert run_hook("rlc-check", tmp_path, *FILES).returncode == 0
    (tmp_path / "recipes/house.star").write_text("def hose():\n    return fragment()\n")
    done = run_hook("rlc-check", tmp_path, "recipes/house.star")
    assert done.returncode == 1
    assert "RLC0155" in done.stderr


def test_a_changed_recipe_has_the_specs_that_use_it_checked(tmp_path: Path) -> None:
    spec = GOOD.replace('"//recipes:grpo"', '"house.toml"').replace("global_batch = 32  # 4 x 8\n", "")
    recipe = 'use = ["//recipes:grpo"]\n[train]\nglobal_batch = {}\n'
    laid_out(tmp_path, {"spec.toml": spec, "house.toml": recipe.format(32)})
    assert hooks()["rlc-check-all"]["pass_filenames"] == "false"
    assert run_hook("rlc-check-all", tmp_path, ".").returncode == 0
    # 5 samples are a good batch by themselves, and no part of 4 x 8.
    (tmp_path / "house.toml").write_text(recipe.format(5))
    assert run_hook("rlc-check", tmp_path, "house.toml").returncode == 0
    assert run_hook("rlc-check-all", tmp_path, ".").returncode == 1


def test_the_fmt_hook_changes_the_file_which_pre_commit_counts_as_a_failure(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD.replace(" = ", "="))
    assert run_hook("rlc-fmt", tmp_path, "good.toml").returncode == 0
    assert (tmp_path / "good.toml").read_text() == GOOD


@pytest.mark.parametrize("name", ["rlc-check", "rlc-fmt"])
def test_a_hook_is_given_specs_only(name: str) -> None:
    fields = hooks()[name]
    taken = [
        p for p in ("a.toml", "b/c.star", "pyproject.toml", "x/Cargo.toml", "d.py") if re.search(fields["files"], p)
    ]
    assert [p for p in taken if not re.search(fields["exclude"], p)] == ["a.toml", "b/c.star"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose last change edits, adds, breaks and deletes a spec."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    for name in ("edited", "same", "gone"):
        (folder / f"{name}.toml").write_text(GOOD)
    (tmp_path / "pyproject.toml").write_text("[tool.x]\n")
    commit(tmp_path)
    (folder / "edited.toml").write_text(GOOD.replace("max_steps = 10", "max_steps = 20"))
    (folder / "same.toml").write_text(GOOD + "# a comment\n")
    (folder / "gone.toml").unlink()
    (folder / "new.toml").write_text(GOOD)
    (folder / "broken.toml").write_text(GOOD.replace("= 32", "= 0"))
    (tmp_path / "pyproject.toml").write_text("[tool.y]\n")
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "change")):
        done = called(folder, "git", *words)
        assert done.returncode == 0, done.stderr


def test_the_report_says_what_changes_in_each_plan(repository: Path) -> None:
    done = called(repository, sys.executable, str(ACTION / "report.py"), "--base", "HEAD~1")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "<!-- rlc plan diff -->"
    assert "**`experiments/edited.toml`**" in lines
    assert "  run.max_steps: 10 -> 20" in lines
    assert "**`experiments/new.toml`** is new." in lines
    assert "**`experiments/gone.toml`** is deleted." in lines
    assert "**`experiments/broken.toml`** has errors:" in lines
    assert "same.toml" not in done.stdout
    assert "pyproject" not in done.stdout


def test_a_sweep_is_reported_experiment_by_experiment(tmp_path: Path) -> None:
    arm = STAR.replace('name = "case"', 'name = "lr_%d" % i').replace("max_steps = 10", "max_steps = i")
    body = "".join(f"    {line}\n" for line in arm.splitlines())
    for arms in ("[1, 2]", "[2, 3]"):
        (tmp_path / "sweep.star").write_text(f"def arm(i):\n{body}\n[arm(i) for i in {arms}]\n")
        commit(tmp_path)
    done = called(tmp_path, sys.executable, str(ACTION / "report.py"), "--base", "HEAD~1")
    assert done.stderr == ""
    assert "**`sweep.star:lr_3`** is new." in done.stdout
    assert "sweep.star:lr_2" not in done.stdout
    assert "**`sweep.star:lr_1`** is deleted." in done.stdout


def test_a_base_that_is_not_fetched_is_said_in_a_line(repository: Path) -> None:
    done = called(repository, sys.executable, str(ACTION / "report.py"), "--base", "main~99")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "Is main~99 fetched (fetch-depth: 0)?"
    assert "Traceback" not in done.stderr


def test_a_report_without_differences_says_so(repository: Path) -> None:
    done = called(repository, sys.executable, str(ACTION / "report.py"), "--base", "HEAD", "experiments")
    assert "has errors" in done.stdout  # the broken spec is in the folder
    (repository / "experiments" / "broken.toml").unlink()
    commit(repository)
    done = called(repository, sys.executable, str(ACTION / "report.py"), "--base", "HEAD", "experiments")
    assert "No plan differs from" in done.stdout


def test_the_comment_is_posted_once_and_then_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >>calls\ncase "$*" in *--paginate*) cat comments;; esac\n')
    gh.chmod(0o755)
    (tmp_path / "report.md").write_text("<!-- rlc plan diff -->\ntext\n")
    for known, expected in (
        ("", "POST repos/o/r/issues/7/comments"),
        ("11\n12\n", "PATCH repos/o/r/issues/comments/11"),
    ):
        (tmp_path / "comments").write_text(known)
        (tmp_path / "calls").write_text("")
        command = ("bash", str(ACTION / "post.sh"), "o/r", "7", "report.md")
        done = subprocess.run(command, cwd=tmp_path, check=False)
        assert done.returncode == 0
        assert f"{expected} --field body=@report.md" in (tmp_path / "calls").read_text().splitlines()[-1]
