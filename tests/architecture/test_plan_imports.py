"""Which modules the verbs that only compile have loaded when they are done."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from checks.tree import ROOT

HEAVY = (
    "torch",
    "ray",
    "transformers",
    "tokenizers",
    "numpy",
    "pydantic",
    "rich",
    "jinja2",
    "lark",
    "safetensors",
    "tensorboard",
    "runtime",
)

PROGRAM = """
import json, sys
from rlc.cli.main import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""

QUICKSTART = "experiments/quickstart.toml"


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", QUICKSTART),
        ("plan", QUICKSTART, "--json"),
        ("plan", QUICKSTART, "--diff", QUICKSTART),
        ("check", QUICKSTART),
        ("check", "experiments", "--json"),
        ("explain", QUICKSTART, "stages.grpo.train.steps_per_rollout"),
        ("explain", "RLC0301"),
    ],
    ids=" ".join,
)
def test_a_verb_that_only_compiles_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["code"] == 0, done.stderr
    assert [name for name in HEAVY if name in report["modules"]] == []
    assert "compiler" in report["modules"]
