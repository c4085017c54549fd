"""Compiling as a whole: every shipped spec compiles, deterministically, anywhere, and no text breaks it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.tree import ROOT
from compiler.compile import Compiled, compile_spec
from compiler.ir.spec_tables import spec_keys
from rlc.catalogue import scan
from tests.compiler.bad_specs import working_in
from tests.compiler.passes.lowered_specs import spec_texts
from tests.support.good_spec import GRPO, SFT

EXPERIMENTS = ROOT / "experiments"
_FENCE = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def whole_specs() -> dict[str, str]:
    """The fenced specs of the pages that a reader may copy: those that say their name and their version."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *EXPERIMENTS.rglob("*.md")]
    found = {}
    for page in sorted(pages):
        for number, text in enumerate(_FENCE.findall(page.read_text(encoding="utf-8"))):
            if re.search(r"^rlc\s*=", text, re.MULTILINE) and re.search(r"^name\s*=", text, re.MULTILINE):
                found[f"{page.relative_to(ROOT)}:{number}"] = text
    return found


SHIPPED = sorted(p.relative_to(ROOT) for p in EXPERIMENTS.rglob("*.toml") if p.name != "rlc.toml")
FENCED = whole_specs()


def problems(found: Compiled) -> list[str]:
    return [f"{d.code}: {d.message}" for d in found.diagnostics]


@pytest.mark.parametrize("spec", SHIPPED, ids=str)
def test_a_shipped_experiment_compiles_without_a_word(spec: Path) -> None:
    found = compile_spec(ROOT / spec, scan())
    assert problems(found) == []
    assert found.plan is not None


@pytest.mark.parametrize("place", FENCED)
def test_a_spec_of_a_page_compiles_as_if_it_stood_in_experiments(place: str, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(FENCED[place])
    found = compile_spec(tmp_path / "spec.toml", scan())
    assert problems(found) == []
    assert found.plan is not None
    for stage in found.plan.experiment.stages:
        assert [s.path for s in stage.data.train if not (EXPERIMENTS / s.called).is_file()] == []


def test_the_first_page_shows_a_spec() -> None:
    assert any(place.startswith("README.md:") for place in FENCED)
    assert Path("experiments/quickstart.toml") in SHIPPED


PROGRAM = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from compiler.compile import compile_spec
from rlc.catalogue import scan
sys.stdout.write(compile_spec(Path(sys.argv[1]), scan()).plan.to_text())
"""


def plan_text(spec: Path, *, cwd: Path, hash_seed: str) -> str:
    variables = [f"PYTHONHASHSEED={hash_seed}", f"PYTHONPATH={ROOT}"]
    command = ["env", *variables, sys.executable, "-c", PROGRAM, str(spec)]
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


def test_a_plan_depends_neither_on_the_order_of_sets_nor_on_where_it_is_compiled(tmp_path: Path) -> None:
    spec = EXPERIMENTS / "quickstart.toml"
    one = plan_text(spec.relative_to(ROOT), cwd=ROOT, hash_seed="1")
    two = plan_text(spec, cwd=tmp_path, hash_seed="2")
    assert one == two
    assert str(ROOT) not in one
    assert str(tmp_path) not in one


def test_a_plan_holds_no_place_of_this_machine_however_the_spec_is_named(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    spec = tmp_path / "a/spec.toml"
    spec.write_text("".join(f"{k} = {v}\n" for k, v in GRPO.items()))
    texts = set()
    for folder, name in ((tmp_path, "a/spec.toml"), (tmp_path / "a/b", "../spec.toml"), (tmp_path, str(spec))):
        with working_in(folder):
            plan = compile_spec(Path(name), scan()).plan
        assert plan is not None
        texts.add(plan.to_text())
    (text,) = texts
    assert str(tmp_path) not in text
    assert '"path": "train.jsonl"' in text


def test_nothing_of_this_machine_enters_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text("".join(f"{k} = {v}\n" for k, v in GRPO.items()))
    before = compile_spec(spec, scan()).plan
    for name, value in (("OMP_NUM_THREADS", "7"), ("HF_HUB_OFFLINE", "0"), ("TZ", "Asia/Tokyo"), ("USER", "x")):
        monkeypatch.setenv(name, value)
    assert compile_spec(spec, scan()).plan == before
    assert before is not None


VALUES = st.sampled_from(
    ["1", "-1", "1.5", "true", '"x"', '"off"', '"auto"', '""', "[]", "[1]", "[{}]", "{ a = 1 }", "nan", "1979-05-27"]
)
KEYS = st.sampled_from(sorted(spec_keys(scan())))


@settings(max_examples=60)
@given(st.sampled_from([GRPO, SFT]), KEYS, VALUES)
def test_a_value_of_any_type_for_any_key_is_a_plan_or_a_diagnostic(base: dict[str, str], key: str, value: str) -> None:
    others = {k: v for k, v in base.items() if not (k == key or k.startswith(f"{key}.") or key.startswith(f"{k}."))}
    plan_or_diagnostics("".join(f"{k} = {v}\n" for k, v in {**others, key: value}.items()))


@pytest.mark.parametrize("table", ["model", "optim", "train", "eval", "rollout", "reward", "loss.kl", "train.packing"])
@pytest.mark.parametrize("value", ["0.1", "[]"])
def test_a_value_in_the_place_of_a_table_is_said_once(table: str, value: str) -> None:
    others = {k: v for k, v in GRPO.items() if not k.startswith(f"{table}.")}
    found = plan_or_diagnostics("".join(f"{k} = {v}\n" for k, v in {**others, table: value}.items()))
    assert [d.code for d in found.diagnostics] == ["RLC0203"]


@settings(max_examples=30)
@given(spec_texts())
def test_a_spec_has_a_plan_exactly_if_there_is_no_error(text: str) -> None:
    found = plan_or_diagnostics(text)
    assert (found.plan is None) == any(d.severity == "error" for d in found.diagnostics)


def plan_or_diagnostics(text: str) -> Compiled:
    with TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.toml"
        spec.write_text(text)
        found = compile_spec(spec, scan())
    assert found.plan is not None or found.diagnostics
    return found
