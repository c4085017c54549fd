"""Any bytes as a plan.json: shown, compared with another plan, run, and found in the directory of a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.emit.plan_diff import plan_diff
from compiler.emit.plan_page import plan_page
from compiler.ir.canonical import decode
from compiler.ir.experiment import Experiment
from compiler.ir.plan import Forecast, Plan
from compiler.ir.sourced_plan import SourcedPlan
from rlc.running import Place, prepare, read_saved_plan
from tests.fuzz import seeds
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import can_be_shown
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue, written

_GOLDEN = seeds.PROJECT / "tests/golden/plans"


def check(data: bytes) -> None:
    """Read a plan; what has a content is given the hash of it, since nothing else would be read beyond that."""
    signed = _signed(data)
    _read(data if signed is None else signed)


def _read(data: bytes) -> None:
    path = written("plan.json", data)
    try:
        plan = read_saved_plan(path, catalogue())
    except SpecError as fault:
        can_be_shown(fault.diagnostics)
    else:
        assert read_saved_plan(written("again.json", plan.to_text().encode()), catalogue()) == plan
        assert plan_page(plan, None, catalogue().load_hardware(), source="p", ascii_only=True, color=False).isascii()
        mine = SourcedPlan(_plan_of_the_spec(), None, "spec")
        plan_diff(mine, SourcedPlan(plan, None, "plan.json"), ascii_only=True, color=False)
        plan_diff(SourcedPlan(plan, None, "plan.json"), mine, ascii_only=True, color=False)
    for place in (Place(), Place(root=Path("tiny")), Place(run_dir=Path("runs/other"))):
        can_be_shown(prepare(path, overrides=(), place=place).diagnostics)
    _in_a_run(data)


def _in_a_run(data: bytes) -> None:
    """A run directory that holds the plan is continued, with it and with a spec."""
    run = Path("runs/begun")
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("{}\n")
    (run / "origin.json").write_text('{"root": "../.."}\n')
    (run / "plan.json").write_bytes(data)
    can_be_shown(prepare(Path("one_stage.toml"), overrides=(), place=Place(run_dir=run)).diagnostics)
    can_be_shown(prepare(run / "plan.json", overrides=(), place=Place()).diagnostics)


def _signed(data: bytes) -> bytes | None:
    """The same plan with the hash of its content, where it has one."""
    try:
        found = json.loads(data)
        experiment = decode(Experiment, found["experiment"], params_of=catalogue().params_of)
        forecast = decode(Forecast, found["forecast"], params_of=catalogue().params_of)
        found["hash"] = Plan(experiment=experiment, forecast=forecast).hash
        return json.dumps(found, indent=1).encode()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, InternalError):
        return None  # what is wrong with it, `_read` is to say


def _plan_of_the_spec() -> Plan:
    plan = compile_spec(Path("one_stage.toml"), catalogue()).plan
    assert plan is not None
    return plan


def _seeds() -> Iterator[bytes]:
    for path in sorted(_GOLDEN.rglob("*.json")):
        yield path.read_bytes()
    for spec in sorted((seeds.PROJECT / "experiments").glob("*.toml")):
        plan = compile_spec(spec, catalogue()).plan
        if plan is not None:
            yield plan.to_text().encode()


def words() -> tuple[str, ...]:
    """Return what a plan holds, and JSON's own words."""
    return (*seeds.words_of_specs(), "null", "true", "false", "[]", "{}", "NaN", "-Infinity", '"\\ud800"', '"\\u0000"')


TARGET = Target(check, _seeds, words, 2 * CPU_S)
