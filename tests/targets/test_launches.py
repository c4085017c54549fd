"""What a plan hands to its engines: a field is one setting, and the vendors differ where their tables say so."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.emit.engine_lines import engine_lines
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel, RoleLaunch
from compiler.ir.plan import Plan, read_plan
from compiler.ir.processes import coordinates, filled, processes, words_of
from rlc.catalogue import scan
from tests.golden_files import Golden
from tests.support.good_spec import GPU, MOE, RECOMPUTED, Changes, compiled

AMD: Changes = {"cluster.target": '"rocm"', "cluster.gpus_per_node": '"8xMI300X-192"'}
VLLM: Changes = {"rollout.engine.name": '"vllm"'}
FSDP2: Changes = {"train.engine.name": '"fsdp2"'}
SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "16", "cluster.nodes": "4"}
PAIRS: Changes = {
    "placement.gpus_per_engine": "4",
    "placement.disaggregation.prefill_engines": "2",
    "placement.disaggregation.prefill_gpus_per_engine": "2",
}
JUDGED: Changes = {
    "placement.judge": '{ weights = "judge", weights_gib = 61.0, gpus = 4, gpus_per_engine = 2 }',
    "reward.name": '"judge"',
    "reward.judge.url": '"http://{judge}/v1/chat/completions"',
    "reward.judge.model": '"a-judge"',
}
ROUTED: Changes = {"allow": '[{ rule = "RLC0536", why = "a test" }]'}
LATENT: Changes = {
    **RECOMPUTED,
    **ROUTED,
    "model.name": '"//models:deepseek_v3_5layer"',
    "cluster.nodes": "4",
    "cluster.gpus_per_node": '"8xH200-141-SXM"',
    "placement.gpus_per_engine": "8",
    "parallel.ep": "8",
    "parallel.tp": "2",
}


def plan_of(folder: Path, changes: Changes, *, base: dict[str, str] = GPU) -> Plan:
    found = compiled(folder, changes, base=base)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan


def launches(plan: Plan) -> dict[str, RoleLaunch]:
    placement = plan.experiment.placement
    assert isinstance(placement, GpuPlacement)
    return {launch.role: launch for launch in placement.launches}


def said(plan: Plan) -> dict[str, object]:
    """Everything that engines are told, by where it stands."""
    return {place: value for launch in launches(plan).values() for place, value in _said(launch)}


def _said(launch: RoleLaunch) -> Iterator[tuple[str, object]]:
    for word in launch.words:
        name, _, value = word.partition("=")
        yield f"{launch.role} {name}", value
    for variable in launch.environment:
        yield f"{launch.role} ${variable.name}", variable.value
    for record in launch.records:
        for name, value in record.values.__dict__.items():
            yield f"{launch.role} {record.name}.{name}", value
    yield f"{launch.role} container", (launch.shm_gib, launch.ipc)


def changed(folder: Path, changes: Changes, *, base: dict[str, str] = GPU) -> dict[str, tuple[object, object]]:
    """What engines are told otherwise after a change of the spec."""
    before, after = said(plan_of(folder, {}, base=base)), said(plan_of(folder, changes, base=base))
    return {k: (before.get(k), after.get(k)) for k in before | after if before.get(k) != after.get(k)}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rollout.concurrency": "96"}, {"rollout --max-running-requests": ("256", "96")}),
        ({"rollout.max_context_tokens": "4096"}, {"rollout --context-length": ("40960", "4096")}),
        ({"placement.gpus_per_engine": "2"}, {"rollout --tp-size": ("1", "2")}),
        ({"optim.eps": "1e-6"}, {"trainer OptimizerConfig.adam_eps": (1e-08, 1e-06)}),
        ({"optim.warmup_steps": "3"}, {"trainer OptimizerParamScheduler.lr_warmup_steps": (0, 3)}),
        ({"optim.clip_grad_norm": '"off"'}, {"trainer OptimizerConfig.clip_grad": (1.0, 0.0)}),
        (
            {"parallel.cp": "2"},
            {
                "trainer initialize_model_parallel.context_parallel_size": (1, 2),
                "trainer TransformerConfig.context_parallel_size": (1, 2),
            },
        ),
        (
            {"rollout.engine.sglang.mem_fraction_static": "0.7"},
            {"rollout --mem-fraction-static": ("0.88", "0.7")},
        ),
        ({"rollout.engine.sglang.disable_radix_cache": "true"}, {"rollout --disable-radix-cache": (None, "")}),
        ({"rollout.engine.sglang.disable_radix_cache": "false"}, {}),
        (
            {"train.engine.megatron.use_distributed_optimizer": "false"},
            {
                "trainer DistributedDataParallelConfig.use_distributed_optimizer": (True, False),
                "trainer OptimizerConfig.use_distributed_optimizer": (True, False),
            },
        ),
        (
            {"train.engine.megatron.overlap_grad_reduce": "true"},
            {"trainer DistributedDataParallelConfig.overlap_grad_reduce": (None, True)},
        ),
    ],
)
def test_a_field_changes_its_own_settings_and_no_other(
    tmp_path: Path, change: Changes, expected: dict[str, object]
) -> None:
    assert changed(tmp_path, change, base={**GPU, **RECOMPUTED}) == expected


def test_routing_that_is_replayed_is_returned_by_one_engine_and_taken_by_the_other(tmp_path: Path) -> None:
    base = {**MOE, **{key: str(value) for key, value in {**RECOMPUTED, **ROUTED, "parallel.ep": "8"}.items()}}
    base["cluster.gpus_per_node"] = '"8xH200-141-SXM"'
    assert changed(tmp_path, {"train.routing_replay": '"rollout"', "allow": None}, base=base) == {
        "rollout --enable-return-routed-experts": (None, ""),
        "trainer TransformerConfig.moe_enable_routing_replay": (None, True),
    }


def test_every_setting_that_a_spec_gives_is_handed_over_once(tmp_path: Path) -> None:
    given: Changes = {
        "rollout.engine.sglang.cuda_graph_bs_decode": "[1, 2]",
        "rollout.engine.sglang.fp8_gemm_runner_backend": '"triton"',
        "rollout.engine.sglang.enable_tf32_matmul": "false",
    }
    words = launches(plan_of(tmp_path, given))["rollout"].words
    assert words[-5:] == ("--cuda-graph-bs-decode", "1", "2", "--no-enable-tf32-matmul", "--fp8-gemm-backend=triton")
    assert len(words) == len(set(words))


def test_vllm_is_told_of_what_is_off(tmp_path: Path) -> None:
    words = launches(plan_of(tmp_path, {**VLLM, "rollout.engine.vllm.enable_prefix_caching": "false"}))["rollout"].words
    assert words[:3] == ("vllm", "serve", "checkpoint")
    assert words[-1] == "--no-enable-prefix-caching"


def test_a_model_with_latent_attention_has_the_record_that_extends_the_other(tmp_path: Path) -> None:
    records = {r.name: r.values.__dict__ for r in launches(plan_of(tmp_path, LATENT, base=MOE))["trainer"].records}
    assert "TransformerConfig" not in records
    latent = records["MLATransformerConfig"]
    assert (latent["kv_lora_rank"], latent["qk_head_dim"], latent["rope_type"]) == (512, 128, "yarn")
    assert "kv_channels" not in latent
    assert latent["moe_layer_freq"] == (0, 0, 0, 1, 1)


def test_fsdp2_is_handed_its_mesh_and_its_rule(tmp_path: Path) -> None:
    adam = {
        r.name: r.values.__dict__ for r in launches(plan_of(tmp_path, {**FSDP2, "parallel.cp": "2"}))["trainer"].records
    }
    assert adam["init_device_mesh"]["mesh_shape"] == (4, 2, 1)
    assert adam["AdamW"]["betas"] == (0.9, 0.95)
    assert adam["MixedPrecisionPolicy"]["param_dtype"] == "bfloat16"
    sgd = {r.name for r in launches(plan_of(tmp_path, {**FSDP2, "optim.name": '"sgd"'}))["trainer"].records}
    assert sgd == {*adam, "SGD"} - {"AdamW"}


def test_fsdp2_is_handed_what_its_table_says(tmp_path: Path) -> None:
    of_fsdp2: Changes = {
        "train.engine.fsdp2.activation_checkpointing": '"selective"',
        "train.engine.fsdp2.cpu_offload": "true",
        "train.engine.fsdp2.dp_replicate_size": "2",
        "train.engine.fsdp2.reduce_dtype": '"bfloat16"',
        "train.engine.fsdp2.reshard_after_forward": "2",
        "train.engine.fsdp2.compile": "true",
    }
    short: Changes = {**FSDP2, "train.packing.tokens": '"4Ki"', "rollout.max_context_tokens": '"4Ki"'}
    found = changed(tmp_path, of_fsdp2, base={**GPU, **{key: str(value) for key, value in short.items()}})
    kept = found.pop("trainer create_selective_checkpoint_contexts.policy_fn_or_list")
    assert "aten.mm.default" in str(kept[1])
    assert found == {
        "trainer init_device_mesh.mesh_shape": ((8, 1, 1), (2, 4, 1, 1)),
        "trainer init_device_mesh.mesh_dim_names": (("dp", "cp", "tp"), ("dp_replicate", "dp_shard", "cp", "tp")),
        "trainer MixedPrecisionPolicy.reduce_dtype": ("float32", "bfloat16"),
        "trainer fully_shard.reshard_after_forward": (True, 2),
        "trainer CPUOffloadPolicy.pin_memory": (None, True),
        "trainer checkpoint.use_reentrant": (None, False),
        "trainer compile.dynamic": (None, True),
    }


def test_stages_that_start_their_engines_alike_share_a_launch(tmp_path: Path) -> None:
    stages: Changes = {"stages": '[{ name = "one" }, { name = "two", optim.eps = 1e-6 }]'}
    placement = plan_of(tmp_path, stages).experiment.placement
    assert isinstance(placement, GpuPlacement)
    found = [(launch.role, launch.stages) for launch in placement.launches]
    assert found == [("rollout", ("one", "two")), ("trainer", ("one",)), ("trainer", ("two",))]


def test_engines_of_two_machines_begin_on_the_first_and_count_their_machines(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, **VLLM, "placement.gpus_per_engine": "16"})
    launch = launches(plan)["rollout"]
    found = list(processes(plan.experiment, launch))
    assert [(p.engine, p.node, p.first_node, p.values["node_rank"]) for p in found] == [(0, 2, 2, "0"), (0, 3, 2, "1")]
    first, second = (words_of(launch, process) for process in found)
    assert "--node-rank=0" in first
    assert "--master-addr={first_address}" in second
    assert set(second) - set(first) == {"--node-rank=1", "--headless"}


def test_no_two_engines_of_a_machine_share_a_gpu_or_a_port(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, "placement.gpus_per_engine": "2"})
    launch = launches(plan)["rollout"]
    found = list(processes(plan.experiment, launch))
    assert len(found) == 8
    gpus = [(p.node, gpu) for p in found for gpu in p.values["gpus"].split(",")]
    assert sorted(gpus) == [(node, str(gpu)) for node in (2, 3) for gpu in range(8)]
    names = ("port", "second_port", "third_port")
    assert len({(p.node, p.values[name]) for p in found for name in names}) == 8 * 3
    assert len({p.values["seed"] for p in found}) == 8


def test_engines_of_both_kinds_share_their_machines_without_a_common_gpu_or_port(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, **PAIRS})
    readers, writers = (list(processes(plan.experiment, launches(plan)[role])) for role in ("prefill", "decode"))
    assert [(p.engine, p.node, p.values["gpus"]) for p in readers] == [(0, 2, "0,1"), (1, 2, "2,3")]
    assert [(p.engine, p.node, p.values["gpus"]) for p in writers] == [
        (2, 2, "4,5,6,7"),
        (3, 3, "0,1,2,3"),
        (4, 3, "4,5,6,7"),
    ]
    assert [p.values["port"] for p in (*readers, *writers)] == ["15000", "15064", "15128", "15000", "15064"]
    assert [p.values["last_port"] for p in readers] == ["15063", "15127"]


def test_a_pair_is_told_which_half_it_is_and_nothing_else_of_it_differs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, **PAIRS, "placement.disaggregation.transfer_backend": '"nixl"'})
    reads, writes = (set(launches(plan)[role].words) for role in ("prefill", "decode"))
    assert reads - writes == {
        "--disaggregation-mode=prefill",
        "--disaggregation-bootstrap-port={last_port}",
        "--tp-size=2",
    }
    assert writes - reads == {"--disaggregation-mode=decode", "--tp-size=4"}
    assert "--disaggregation-transfer-backend=nixl" in reads & writes


def test_the_router_is_told_of_every_engine_and_of_the_bootstrap_port_of_those_that_read(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, **PAIRS})
    (router,) = processes(plan.experiment, launches(plan)["router"])
    words = list(words_of(launches(plan)["router"], router))
    at = words.index("--pd-disaggregation")
    assert words[at + 1 : at + 13] == [
        *("--prefill", "http://{node_2}:15000", "15063", "--prefill", "http://{node_2}:15064", "15127"),
        *("--decode", "http://{node_2}:15128", "--decode", "http://{node_3}:15000"),
        *("--decode", "http://{node_3}:15064"),
    ]


def test_a_router_that_is_asked_for_has_all_engines_of_one_kind_behind_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, "placement.gpus_per_engine": "8", "placement.router.policy": '"round_robin"'})
    (router,) = processes(plan.experiment, launches(plan)["router"])
    words = list(words_of(launches(plan)["router"], router))
    at = words.index("--worker-urls")
    assert words[at + 1 : at + 4] == ["http://{node_2}:15000", "http://{node_3}:15000", "--policy=round_robin"]
    assert not [word for word in words if word.startswith(("--cache", "--balance", "--prefill"))]


def test_a_judge_is_served_on_the_last_gpus_by_the_name_that_it_is_asked_by(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {**SPLIT, **JUDGED})
    launch = launches(plan)["judge"]
    found = list(processes(plan.experiment, launch))
    assert [(p.node, p.values["gpus"], p.values["port"]) for p in found] == [(3, "4,5", "17000"), (3, "6,7", "17064")]
    assert {"--model-path=judge", "--served-model-name=a-judge", "--tp-size=2"} <= set(launch.words)
    rollout = list(processes(plan.experiment, launches(plan)["rollout"]))
    assert [(p.node, p.values["gpus"]) for p in rollout[-2:]] == [(3, "2"), (3, "3")]
    assert len(rollout) == 12


def test_a_judge_of_somebody_else_takes_nothing(tmp_path: Path) -> None:
    changes: Changes = {**JUDGED, "placement.judge": None, "reward.judge.url": '"http://judge.example.com/v1"'}
    assert "judge" not in launches(plan_of(tmp_path, {**SPLIT, **changes}))


def test_without_a_word_there_is_no_router(tmp_path: Path) -> None:
    assert "router" not in launches(plan_of(tmp_path, SPLIT))


def test_seeds_of_engines_have_31_bits(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"run.seed": str(2**31 - 1)})
    seeds = [p.values["seed"] for p in processes(plan.experiment, launches(plan)["rollout"])]
    assert seeds[:3] == [str(2**31 - 1), "0", "1"]


def test_ranks_stand_where_megatron_counts_them() -> None:
    """Of 2 x 2 x 2 x 2 with two experts' groups, by megatron-core 0.16.1's RankGenerator of order tp-cp-ep-dp-pp."""
    axes: dict[str, Any] = dict.fromkeys(("tp", "cp", "pp", "dp"), 2) | {"ep": 4, "etp": 1, "sp": True}
    parallel: Parallel[Any] = Parallel(**axes)
    found = [coordinates(parallel, rank) for rank in range(16)]
    assert [c.tp for c in found] == [0, 1] * 8
    assert [c.cp for c in found] == [0, 0, 1, 1] * 4
    assert [c.dp for c in found] == [0, 0, 0, 0, 1, 1, 1, 1] * 2
    assert [c.pp for c in found] == [0] * 8 + [1] * 8
    assert [c.ep for c in found] == [0, 1, 2, 3] * 4
    assert [c.edp for c in found] == [0, 0, 0, 0, 1, 1, 1, 1] * 2


@pytest.mark.parametrize("engine", ["sglang", "vllm"])
def test_a_line_is_read_back_by_a_shell_as_the_words_of_the_process(tmp_path: Path, engine: str) -> None:
    changes: Changes = {
        **SPLIT,
        "rollout.engine.name": f'"{engine}"',
        "model.weights": '"check point/$HOME/it\'s"',
        "placement.gpus_per_engine": "16",
    }
    plan = plan_of(tmp_path, changes)
    launch = launches(plan)["rollout"]
    lines = [line for line in engine_lines(plan).splitlines() if line and not line.startswith("#")]
    found = list(processes(plan.experiment, launch))
    assert len(lines) == len(found)
    for line, process in zip(lines, found, strict=True):
        at_start = {"address": f"$NODE_{process.node}", "first_address": "$NODE_2", "token": "$RLC_ENGINE_TOKEN"}
        wanted = [filled(word, at_start) for word in words_of(launch, process)]
        assert shlex.split(line)[-len(wanted) :] == wanted


def test_text_of_a_plan_is_no_command_in_its_lines(tmp_path: Path) -> None:
    text = "a\nb; c `d` $(e) 'f'"
    found = engine_lines(plan_of(tmp_path, {"rollout.engine.sglang.log_level": json.dumps(text)}))
    words = shlex.split(found, comments=True)
    assert words.count(f"--log-level={text}") == 8
    assert [word for word in words if word in text.split()] == []


def test_a_plan_without_launches_says_so(tmp_path: Path) -> None:
    found = compiled(tmp_path, {}).plan
    assert found is not None
    assert "rlc's own" in engine_lines(found)


def test_a_saved_plan_has_the_same_launches(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, LATENT, base=MOE)
    again = read_plan(plan.to_text(), name="plan.json", params_of=scan().params_of)
    assert again == plan
    assert isinstance(again.experiment, Experiment)


@pytest.mark.parametrize("engine", ["sglang", "vllm"])
def test_the_vendors_differ_in_this(tmp_path: Path, engine: str, golden: Golden) -> None:
    base = {**GPU, "rollout.engine.name": f'"{engine}"'}
    found = changed(tmp_path, AMD, base=base)
    golden(f"launches/{engine}_on_rocm.txt", "".join(f"{k}: {a} -> {b}\n" for k, (a, b) in sorted(found.items())))


@pytest.mark.parametrize("name", ["dense", "experts", "latent", "vllm", "fsdp2", "pairs", "judge"])
def test_the_lines_of_a_plan(tmp_path: Path, name: str, golden: Golden) -> None:
    experts: Changes = {**RECOMPUTED, **ROUTED, "parallel.ep": "8", "cluster.gpus_per_node": '"8xH200-141-SXM"'}
    specs: dict[str, tuple[Changes, dict[str, str]]] = {
        "dense": ({"placement.gpus_per_engine": "4", "parallel.tp": "2"}, GPU),
        "experts": ({**experts, "placement.gpus_per_engine": "8"}, MOE),
        "latent": (LATENT, MOE),
        "vllm": ({**VLLM, **SPLIT, "placement.gpus_per_engine": "16"}, GPU),
        "judge": ({**SPLIT, **JUDGED}, GPU),
        "pairs": ({**SPLIT, **PAIRS}, GPU),
        "fsdp2": ({**FSDP2, "placement.gpus_per_engine": "8"}, GPU),
    }
    changes, base = specs[name]
    golden(f"launches/{name}.txt", engine_lines(plan_of(tmp_path, changes, base=base)) + "\n")


def test_how_engines_are_started_does_not_depend_on_the_plan_before(tmp_path: Path) -> None:
    """One after the other, and the same in the other order."""
    given: Changes = {"rollout.engine.sglang.schedule_conservativeness": "1.0"}
    others: list[Changes] = [
        {},
        given,
        {"parallel.tp": "2"},
        {**given, "rollout.engine.sglang.schedule_conservativeness": "2.0"},
        {},
    ]
    first = [said(plan_of(tmp_path, changes)) for changes in others]
    again = [said(plan_of(tmp_path, changes)) for changes in reversed(others)]
    assert first == list(reversed(again))
    assert first[1] != first[3]
