"""RLC0540 (ENV-03): rows of the advisory table that describe an experiment, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.tree import ROOT
from compiler.compile import compile_spec
from compiler.ir.catalogue import Advisory, Limit
from compiler.rules.gpu._versions import is_within, version_key
from rlc.catalogue import load_advisories, load_target, scan
from tests.support.good_spec import GPU, Changes

SPLIT: Changes = {"schedule.mode": '"async"', "placement.mode": '"split"', "placement.train_gpus": "4"}
ENGINE = load_target("cuda").version_of("sglang") or ""
NEXT = f"{version_key(ENGINE)[0][0] + 1}.0"


def told(folder: Path, changes: Changes, *rows: Advisory) -> list[tuple[str, str]]:
    spec = folder / "spec.toml"
    fields = {**GPU, **changes}
    spec.write_text("".join(f"{path} = {value}\n" for path, value in fields.items()))
    catalogue = scan()._replace(load_advisories=lambda: rows) if rows else scan()
    found = compile_spec(spec, catalogue).diagnostics
    return [(d.severity, d.message) for d in found if d.code == "RLC0540"]


def row(versions: str, verdict: str = "fails", **when: object) -> Advisory:
    settings = tuple((name.replace("__", "."), value) for name, value in when.items())
    return Advisory("sglang", versions, settings, "fails" if verdict == "fails" else "may_fail", "it breaks", "x#1")


def test_a_fault_of_another_version_says_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, {}, row(f">={NEXT}", cluster__nodes=1)) == []
    assert told(tmp_path, {}, row(f"<{ENGINE}", cluster__nodes=1)) == []
    assert told(tmp_path, {}, row(f"<={ENGINE}", cluster__nodes=1)) == [
        ("error", f"sglang {ENGINE} with cluster.nodes = 1: it breaks")
    ]


def test_one_that_need_not_show_up_is_a_warning(tmp_path: Path) -> None:
    assert [severity for severity, _ in told(tmp_path, {}, row("", "may_fail", cluster__nodes=1))] == ["warning"]


def test_all_settings_have_to_hold(tmp_path: Path) -> None:
    assert told(tmp_path, {}, row("", cluster__nodes=1, parallel__tp=">1")) == []
    assert len(told(tmp_path, {"parallel.tp": "2"}, row("", cluster__nodes=1, parallel__tp=">1"))) == 1
    assert len(told(tmp_path, {}, row("", cluster__gpu=["A100-40-SXM", "H100-80-SXM"]))) == 1
    assert told(tmp_path, {}, row("", cluster__gpu=["A100-40-SXM"])) == []


def test_a_fault_of_an_engine_that_is_not_taken_says_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, {"rollout.engine.name": '"vllm"'}, row("", cluster__nodes=1)) == []


def test_the_library_knows_of_a_loop_that_was_seen_to_hang(tmp_path: Path) -> None:
    hanging: Changes = {**SPLIT, "parallel.tp": "2", "train.engine.name": '"fsdp2"'}
    assert [severity for severity, _ in told(tmp_path, hanging)] == ["warning"]
    assert told(tmp_path, {**hanging, "parallel.tp": "1"}) == []
    assert told(tmp_path, {**hanging, "train.engine.name": '"megatron"'}) == []


def test_every_row_names_an_engine_versions_fields_and_a_thread() -> None:
    engines = {
        e for name in ("cuda", "rocm") for e in (*load_target(name).rollout_engines, *load_target(name).train_engines)
    }
    assert {path.stem for path in (ROOT / "stdlib" / "advisories").glob("*.toml")} <= engines
    for advisory in load_advisories():
        assert advisory.engine in engines
        assert is_within("1.0", advisory.versions) in (True, False)
        assert advisory.when
        assert advisory.verdict in ("fails", "may_fail")
        assert "#" in advisory.source
        assert Limit(advisory.when, "unproven", advisory.why, advisory.source).why


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("0.5.9", "0.5.10"), ("0.5.12", "0.5.12.post1"), ("0.5.0rc0", "0.5.0"), ("0.24", "0.24.1"), ("0.9", "1")],
)
def test_versions_are_ordered_as_releases_are(lower: str, higher: str) -> None:
    assert version_key(lower) < version_key(higher)
    assert is_within(higher, f">{lower}, >={higher}, <={higher}, =={higher}")
    assert not is_within(lower, f">={higher}")
    assert not is_within(higher, f"<{higher}")


def test_trailing_zeros_make_no_difference() -> None:
    assert version_key("0.24") == version_key("0.24.0")


@pytest.mark.parametrize("bounds", ["0.24", "~=0.24", ">= x"])
def test_what_is_no_bound_is_refused(bounds: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        is_within("0.24", bounds)
