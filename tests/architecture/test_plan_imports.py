"""Which modules the verbs that only compile have loaded when they are done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

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
SPECS = (QUICKSTART, *(f"experiments/grpo_{name}.toml" for name in ("qwen3_4b", "llama3_8b", "glm_z1_9b")))

# Of the standard library, what costs a warm plan as much as a phase of the compiler.
SLOW = (
    "ast",
    "contextlib",
    "dataclasses",
    "decimal",
    "enum",
    "fractions",
    "hashlib",
    "inspect",
    "ipaddress",
    "json",
    "pathlib",
    "re",
    "tempfile",
    "tomllib",
    "tomli",
    "traceback",
    "typer",
    "typing",
    "urllib",
)

WARM_PLAN = """
import sys
before = set(sys.modules)
from rlc.cli.entry import run_line
code = run_line(["plan", *sys.argv[1:]])
print(code, *(set(sys.modules) - before), file=sys.stderr)
"""


@pytest.fixture(scope="module", autouse=True)
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache in which all specs have been planned before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        for spec in SPECS:
            subprocess.run([sys.executable, "-c", WARM_PLAN, spec], cwd=ROOT, check=True, capture_output=True)
        yield


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


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("option", ["", "--json"])
def test_a_warm_plan_loads_little_of_the_standard_library(spec: str, option: str) -> None:
    # Without `site`: what an environment loads by itself is not the plan's.
    command = [sys.executable, "-S", "-c", WARM_PLAN, spec, *option.split()]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    code, *modules = done.stderr.split()
    assert code == "0", done.stderr
    assert [name for name in SLOW if name in modules] == []
    assert "compiler.compile" in modules


def test_a_plan_without_gpus_loads_nothing_of_how_engines_are_started() -> None:
    for spec, is_there in ((QUICKSTART, False), ("experiments/grpo_qwen3_4b.toml", True)):
        command = [sys.executable, "-S", "-c", WARM_PLAN, spec]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        loaded = done.stderr.split()
        assert ("targets.gpu.launches" in loaded) is is_there, spec
        assert "compiler.ir.processes" not in loaded, spec
