"""RLC0542: another version that is known is held against what plans are lowered to."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.catalogue import Catalogue
from compiler.ir.options import EngineSchema, options_record
from rlc.catalogue import load_engine, scan
from tests.support.good_spec import GPU, Changes, spec_text

OLDER = "sglang-0.5.9"
VERSION: Changes = {"rollout.engine.version": '"0.5.9"', "allow": '[{ rule = "RLC0513", why = "an older cluster" }]'}


def catalogue(changes: dict[str, str | None]) -> Catalogue:
    """What there is, and an older SGLang whose settings are those of the pinned one but for these."""
    pinned = load_engine("sglang-0.5.23")
    # What the planner may choose is added to a setting by whoever makes the record.
    kinds = {name: str(_annotation(pinned, name)).removesuffix(" | A") for name in pinned.options.fields()}
    kinds = {name: kind for name, kind in {**kinds, **changes}.items() if kind is not None}
    decided = {name: field for name, field in pinned.decided.items() if name in kinds}
    older = pinned._replace(version="0.5.9", options=options_record("sglang", "older", kinds, decided))

    def load(name: str) -> EngineSchema:
        return older if name == OLDER else load_engine(name)

    return scan()._replace(load_engine=load, known_engines=lambda: (OLDER,))


def _annotation(schema: EngineSchema, name: str) -> object:
    return schema.options.__annotations__[name]


def messages(folder: Path, there_is: Catalogue) -> list[str]:
    spec = folder / "spec.toml"
    spec.write_text(spec_text(VERSION, base=GPU))
    found = compile_spec(spec, there_is).diagnostics
    return [d.message for d in found if d.code == "RLC0542"]


def test_a_version_that_takes_the_same_is_fine(tmp_path: Path) -> None:
    assert messages(tmp_path, catalogue({})) == []


def test_a_version_that_nothing_is_known_of_is_left_to_the_warning_about_versions(tmp_path: Path) -> None:
    assert messages(tmp_path, catalogue({"tp_size": None})._replace(known_engines=tuple)) == []


@pytest.mark.parametrize("kind", [None, "str"])
def test_a_setting_that_is_missing_or_of_another_type_is_named(tmp_path: Path, kind: str | None) -> None:
    said = "sglang 0.5.9 does not take tp_size as 0.5.23 does, which plans are lowered to"
    assert messages(tmp_path, catalogue({"tp_size": kind})) == [said]


def test_a_setting_that_no_plan_is_lowered_to_may_be_missing(tmp_path: Path) -> None:
    assert messages(tmp_path, catalogue({"asr_max_concurrent_sessions": None})) == []
