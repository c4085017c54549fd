"""Provisional."""

from __future__ import annotations

from compiler.ir.openness import Off
from compiler.planner.flops import sequence_flops
from compiler.planner.memory.engine import EngineJob, weight_lines
from compiler.planner.memory.kv_cache import kv_bytes_per_token
from compiler.planner.memory.lines import total
from compiler.planner.memory.phases import StageJob
from compiler.planner.search.problem import Problem, StageFacts


def training_seconds(problem: Problem, facts: StageFacts, job: StageJob) -> float:
    one, gpu = job.job, problem.gpu
    layout, n = one.layout, one.micro_batches
    flops = sequence_flops(problem.experiment.model)
    tokens = one.tokens.count
    work = (flops.per_token * tokens + flops.per_pair * one.tokens.pairs) / (layout.tp * layout.cp * layout.pp)
    passes = {"none": 3.0, "selective": 3.1, "full": 4.0}[one.recompute.granularity] + (1 if job.scores else 0)
    compute = passes * work / (gpu.bf16_tflops * 1e12 * 0.45)
    here = tokens / layout.cp
    link = gpu.scaleup_gb_per_s * 1e9 * 0.7
    nic = gpu.nic_gbit_per_s / 8 * 1e9 * 0.7
    layers = one.network.num_layers / layout.pp
    comm = 8 * layers * here * one.network.hidden * 2 * (1 - 1 / layout.tp) / link
    if layout.cp > 1:
        comm += (
            2
            * layers
            * here
            * one.network.kv_heads
            * one.network.head_dim
            * 4
            / (link if layout.tp * layout.cp <= 8 else nic)
        )
    if layout.ep > 1 and not isinstance(one.network.moe, Off):
        bw = link if layout.ep * layout.etp <= problem.per_node else nic
        comm += 4 * layers * here / layout.tp * one.network.moe.experts_per_token * one.network.hidden * 2 / bw
    overhead = layers * 3 * 40e-6
    bubble = (layout.pp - 1) / layout.vpp
    return (n + bubble) * (compute + comm + overhead) + 0.002 * layout.vpp * layout.pp


def sampling_seconds(problem: Problem, facts: StageFacts, engine: EngineJob, engines: int) -> float:
    gpu, rollout = problem.gpu, facts.stage.rollout
    each = engine.gpus
    assert not isinstance(rollout, Off)
    steps = rollout.max_response_tokens * 0.6
    weights = total(weight_lines(engine))
    batch = engine.sequences
    kv = kv_bytes_per_token(problem.experiment.model, 2) * rollout.max_context_tokens / 2 / each
    room = max(1.0, engine.pool_bytes - weights)
    waves = max(1.0, batch * kv / room)
    step = weights / (gpu.memory_tb_per_s * 1e12 * 0.7) + batch / waves * kv / (gpu.memory_tb_per_s * 1e12 * 0.7)
    step += 2 * problem.experiment.model.num_layers * (0 if each == 1 else 12e-6) + 0.002
    return steps * step * waves


def least_seconds(problem: Problem, gpus: int) -> float:
    flops = sequence_flops(problem.experiment.model)
    total_flops = 0.0
    for facts in problem.stages:
        tokens = facts.stage.train.global_batch * facts.longest
        total_flops += facts.steps * 3 * flops.per_token * tokens
    return total_flops / (gpus * problem.gpu.bf16_tflops * 1e12)
