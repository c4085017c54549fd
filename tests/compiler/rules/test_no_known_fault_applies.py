"""RLC0540 (ENV-03): rows of the advisory table that describe an experiment, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.tree import ROOT
from compiler.compile import compile_spec
from compiler.ir.catalogue import Advisory, Limit
from compiler.rules._versions import is_within, version_key
from rlc.catalogue import load_advisories, load_target, scan
from tests.compiler.rules.good_spec import GPU, Changes

SPLIT: Changes = {"schedule.mode": '"async"', "placement.mode": '"split"', "placement.train_gpus": "4"}
ENGINE = load_target("cuda").version_of("sglang") or ""
NEXT = f"{version_key(ENGINE)[0][0] + 1}.0"


def told(folder: Path, changes: Changes, *rows: Advisory) -> list[tuple[str, str]]:
    spec = folder / "spec.toml"
    fields = {**GPU, **changes}
    spec.write_text("".join(f"{path} = {value}\n" for path, value in fields.items() if value is not None))
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


# Of each family that a row names, a model of the library.
MODELS = {
    "qwen3_5": "qwen3_5_27b",
    "qwen3_5_moe": "qwen3_5_35b_a3b",
    "glm_moe_dsa": "glm5_744b_a40b",
    "deepseek_v3": "deepseek_v3",
}


def meeting(advisory: Advisory) -> Changes:
    """Return a spec that does what a row describes."""
    role = "train" if advisory.engine in load_target("cuda").train_engines else "rollout"
    changes: Changes = {f"{role}.engine.name": f'"{advisory.engine}"'}
    bounds = [bound.strip() for bound in advisory.versions.split(",") if bound.strip()]
    within = (
        [bound.lstrip("<>=") for bound in bounds if "=" in bound] or [f"{bounds[0].lstrip('<')}rc0"] if bounds else []
    )
    if within and not is_within(load_target("cuda").version_of(advisory.engine) or "0", advisory.versions):
        changes[f"{role}.engine.version"] = f'"{within[0]}"'
    for path, wanted in advisory.when:
        choices = [one for one in wanted if one != "unset"] if isinstance(wanted, list) else [wanted]
        value = choices[0]
        if path == "model.moe.num_experts":
            changes["model.name"] = '"//models:qwen3_30b_a3b"'
        elif path == "model.family":
            changes["model.name"] = f'"//models:{MODELS[str(value)]}"'
        elif path == "cluster.gpu":
            changes["cluster.gpus_per_node"] = f'"8x{value}"'
        elif path == "cluster.target":
            changes |= {"cluster.target": f'"{value}"', "cluster.gpus_per_node": '"8xMI300X-192"'}
        elif path == "schedule.mode" or (path, value) == ("placement.mode", "split"):
            changes |= SPLIT
        elif isinstance(value, str) and value.startswith(">"):
            changes[path] = str(int(value[1:]) + 1)
        elif value == "given":
            changes[path] = '"EAGLE"'
        else:
            changes[path] = str(value).lower() if isinstance(value, bool) else f'"{value}"'
    return changes


@pytest.mark.parametrize("advisory", load_advisories(), ids=lambda row: f"{row.engine}-{row.source.split(',')[0]}")
def test_every_row_can_be_met_by_some_spec(tmp_path: Path, advisory: Advisory) -> None:
    found = told(tmp_path, meeting(advisory))
    assert any(message.endswith(advisory.why) for _, message in found), found


def test_some_rows_of_each_engine_are_about_the_pinned_version() -> None:
    target = load_target("cuda")
    for engine, version in target.versions:
        assert any(is_within(version, row.versions) for row in load_advisories() if row.engine == engine)


def test_a_plain_experiment_on_each_engine_meets_none(tmp_path: Path) -> None:
    for engine in load_target("cuda").rollout_engines:
        for model in ("qwen3_4b", "qwen3_30b_a3b"):
            plain: Changes = {"rollout.engine.name": f'"{engine}"', "model.name": f'"//models:{model}"'}
            assert told(tmp_path, plain) == []


def test_the_version_that_a_spec_names_decides(tmp_path: Path) -> None:
    dense: Changes = {"model.name": '"//models:qwen3_5_27b"', "placement.gpus_per_engine": "2"}
    assert told(tmp_path, dense) == []
    assert [severity for severity, _ in told(tmp_path, {**dense, "rollout.engine.version": '"0.5.9"'})] == ["error"]
    assert told(tmp_path, {**dense, "rollout.engine.version": '"0.5.10"'}) == []
    assert told(tmp_path, {**dense, "rollout.engine.version": '"latest"'})[0][0] == "warning"


def test_a_setting_may_be_given_or_unset(tmp_path: Path) -> None:
    radix = "rollout.engine.sglang.disable_radix_cache"
    off, given = (
        row("", rollout__engine__sglang__disable_radix_cache=["unset", False]),
        row("", rollout__engine__sglang__disable_radix_cache="given"),
    )
    specs: list[Changes] = [{radix: None}, {radix: "false"}, {radix: "true"}]
    assert [len(told(tmp_path, changes, off)) for changes in specs] == [1, 1, 0]
    assert [len(told(tmp_path, changes, given)) for changes in specs] == [0, 1, 1]


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
