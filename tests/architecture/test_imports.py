"""What a process loads: a warm plan is quick because it loads nothing heavy, and a compiler needs no engine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from checks.tree import ROOT

NOT_FOR_A_PLAN = ("torch", "ray", "transformers", "numpy", "pydantic", "rich", "jinja2", "lark")
# Nor what only expressions in a spec need.
NOT_FOR_VALUES = ("compiler.constraints", "compiler.lowering.references", "compiler.frontend.starlark.evaluate")
ENGINES = ("torch", "ray", "transformers", "sglang", "vllm", "megatron", "numpy", "pydantic")

PLAN = """
import json, sys
from rlc.cli.main import main
code = main(["plan", "experiments/quickstart.toml"])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""

IMPORT_WITHOUT_ENGINES = """
import importlib, pkgutil, sys

ENGINES = set(sys.argv[2].split(","))

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ENGINES:
            raise ModuleNotFoundError(f"{name} is absent here", name=name)

sys.meta_path.insert(0, Absent())
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not ENGINES & set(sys.modules)
"""


def test_a_warm_plan_loads_nothing_heavy() -> None:
    _run(PLAN)  # fills the caches of bytecode and of parsed trees
    report = json.loads(_run(PLAN).stderr.splitlines()[-1])
    assert report["code"] == 0
    assert [name for name in (*NOT_FOR_A_PLAN, *NOT_FOR_VALUES) if name in report["modules"]] == []


@pytest.mark.parametrize("package", ["compiler", "stdlib", "targets", "rlc"])
def test_every_module_can_be_imported_without_an_engine(package: str) -> None:
    _run(IMPORT_WITHOUT_ENGINES, package, ",".join(ENGINES))


def test_the_seams_of_the_runtime_can_be_imported_without_an_engine() -> None:
    _run(IMPORT_WITHOUT_ENGINES.replace("for module in", "for module in [] and"), "runtime", ",".join(ENGINES))
    _run("import sys, runtime.protocols, stdlib.samples; assert 'torch' not in sys.modules")


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done
