"""What a shell offers, by the protocol in which bash and zsh ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = str(Path(__file__).parents[2])
SPEC = """\
rlc = 1
name = "case"
use = ["//recipes:sft"]
model.name = "//models:tiny_qwen3"
cluster.target = "cpu"
run.max_steps = 10
train.global_batch = 32
data.train = [{ path = "train.jsonl" }]
"""
EXPERIMENT = """\
experiment(
    name = "{}",
    use = ["//recipes:sft"],
    model = dict(name = "//models:tiny_qwen3"),
    cluster = dict(target = "cpu"),
    run = dict(max_steps = 10),
    train = dict(global_batch = 32),
    data = dict(train = [dict(path = "train.jsonl")]),
)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "many.star").write_text(EXPERIMENT.format("one") + EXPERIMENT.format("other"))
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "notes.md").write_text("")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.toml").write_text(SPEC)
    return tmp_path


class Shell:
    """Asks rlc as a shell does: through variables of its environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("PYTHONPATH", PROJECT)

    def asked(self, **variables: str) -> str:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)
        done = subprocess.run([sys.executable, "-m", "rlc"], check=False, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout

    def bash(self, line: str) -> list[str]:
        """Return what is offered at the end of a line; a colon is a word for bash."""
        words = line.replace(":", " : ").split(" ")
        words = words[:-1] if line.endswith(":") else words
        at = str(len(words) - 1)
        return self.asked(_RLC_COMPLETE="complete_bash", COMP_WORDS=" ".join(words), COMP_CWORD=at).split()

    def zsh(self, line: str) -> str:
        """Return the call that zsh makes of what is offered."""
        return self.asked(_RLC_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(monkeypatch)


def test_bash_is_offered_verbs_specs_experiments_fields_and_names(shell: Shell) -> None:
    assert {"plan", "run", "check", "fmt", "explain", "new", "recipes", "rules"} <= set(shell.bash("rlc "))
    assert shell.bash("rlc plan ") == ["inner/", "many.star", "spec.toml", "plan.json"]
    assert shell.bash("rlc check inner/") == ["inner/a.toml"]
    assert shell.bash("rlc plan many.star:o") == ["one", "other"]
    assert shell.bash("rlc explain spec.toml train.gl") == ["train.global_batch"]
    assert "optim." in shell.bash("rlc explain spec.toml ")
    assert shell.bash("rlc explain RLC0309") == ["RLC0309"]
    assert shell.bash("rlc plan spec.toml --set train.global") == ["train.global_batch="]
    assert shell.bash("rlc recipes dr") == ["dr_grpo"]
    assert shell.bash("rlc hardware H100-80-S") == ["H100-80-SXM"]
    assert "cpu" in shell.bash("rlc new experiment x --target c")
    assert shell.bash("rlc plan many.star:") == ["one", "other"]
    assert shell.bash("rlc check spec.toml many.star:ot") == ["other"]
    assert shell.bash("rlc explain many.star:one train.global") == ["train.global_batch"]


def test_zsh_is_offered_the_same_with_its_colons_escaped(shell: Shell) -> None:
    assert '"spec.toml"' in shell.zsh("rlc plan sp")
    assert '"many.star\\\\:one"' in shell.zsh("rlc plan many.star:o")
    assert '"train.global_batch"' in shell.zsh("rlc explain spec.toml train.gl")


def test_a_broken_spec_is_nothing_to_offer(folder: Path, shell: Shell) -> None:
    (folder / "broken.toml").write_text("rlc = \n")
    assert shell.bash("rlc explain broken.toml tr") == []


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_script_for_a_shell_can_be_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PROJECT)
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    command = [sys.executable, "-m", "rlc", "--show-completion", name]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert f"_RLC_COMPLETE=complete_{name}" in done.stdout
