"""Reward functions: where they are found, and custom code that is refused."""

import hashlib
import sys
from pathlib import Path
from typing import Never

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.openness import OFF
from compiler.ir.rollout import CustomCode, Reward
from runtime.rewards.functions import LoadedReward, load_reward, locate_reward


def custom(root: Path, text: str, *, function: str = "judge") -> Reward[Never]:
    (root / "r.py").write_text(text)
    code = CustomCode(path="r.py", function=function, sha256=hashlib.sha256(text.encode()).hexdigest())
    return Reward(name=f"r.py:{function}", level="sample", code=code)


def load(reward: Reward[Never], root: Path) -> LoadedReward:
    return load_reward(locate_reward(reward, root=root))


def refusal(reward: Reward[Never], root: Path) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        load(reward, root)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize("name", ["exact", "math"])
def test_rewards_of_the_standard_library_are_found_by_name(name: str) -> None:
    loaded = load(Reward(name=name, level="sample", code=OFF), Path())
    assert loaded.call.__module__ == f"stdlib.rewards.{name}"
    assert not loaded.is_custom
    assert (loaded.isolation is not None) == (name == "math")


@pytest.mark.parametrize("name", ["exakt", "_isolation", "", "os.path", "../exact"])
def test_other_names_are_refused(name: str) -> None:
    assert refusal(Reward(name=name, level="sample", code=OFF), Path()).code == "RLC0610"


def test_custom_code_is_loaded_without_touching_the_import_path(tmp_path: Path) -> None:
    before = list(sys.path)
    loaded = load(custom(tmp_path, "def judge(sample):\n    return 3.0\n"), tmp_path)
    assert loaded.call(None) == 3.0
    assert loaded.is_custom
    assert sys.path == before
    assert not list(tmp_path.glob("__pycache__"))


def test_dataclasses_of_custom_code_work(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Found:\n    score: float\n"
        "def judge(sample):\n    return Found(2.0).score\n"
    )
    assert load(custom(tmp_path, text), tmp_path).call(None) == 2.0


def test_changed_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    reward = custom(tmp_path, "def judge(sample):\n    return 1.0\n")
    (tmp_path / "r.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    diagnostic = refusal(reward, tmp_path)
    assert diagnostic.code == "RLC0611"
    assert "r.py has changed" in diagnostic.message
    assert not (tmp_path / "ran").exists()


def test_code_that_cannot_be_loaded_is_shown_at_its_line(tmp_path: Path) -> None:
    diagnostic = refusal(custom(tmp_path, "x = 1\n\n  \nraise KeyError('no')\n"), tmp_path)
    assert diagnostic.code == "RLC0610"
    assert "KeyError: 'no'" in diagnostic.message
    assert str(diagnostic.labels[0].span) == "r.py:4"
    assert diagnostic.labels[0].span.text == "raise KeyError('no')"


def test_a_syntax_error_is_shown_at_its_line(tmp_path: Path) -> None:
    diagnostic = refusal(custom(tmp_path, "x = 1\ndef judge(:\n"), tmp_path)
    assert str(diagnostic.labels[0].span) == "r.py:2"


def test_a_function_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert (
        "no function juge" in refusal(custom(tmp_path, "def judge(sample): ...\n", function="juge"), tmp_path).message
    )


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    reward = custom(tmp_path, "def judge(sample): ...\n")
    (tmp_path / "r.py").unlink()
    assert refusal(reward, tmp_path).code == "RLC0610"
