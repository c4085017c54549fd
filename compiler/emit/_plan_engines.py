"""How rollout engines stand together, on the page of a plan: pairs of them, the router, and domains of machines."""

from __future__ import annotations

from compiler.emit._plan_text import Sheet, Values, counted, said, sentence
from compiler.ir.catalogue import Gpu
from compiler.ir.machine import JUDGE_SHARE, GpuPlacement, Judge
from compiler.ir.openness import Off
from compiler.ir.plan import Plan


def nodes_per_domain(plan: Plan, gpu: Gpu | None) -> int:
    """Return over how many machines GPUs reach each other without a network card; 1 where nobody knows."""
    cluster = plan.experiment.cluster
    on_a_node = cluster.num_gpus // cluster.nodes
    return max(1, gpu.scaleup_gpus // on_a_node) if gpu is not None and on_a_node else 1


def write_engines(sheet: Sheet, placement: Values, plan: Plan, gpu: Gpu | None) -> None:
    """Write rows for engines of two kinds, for the router, and for domains of several machines."""
    record = plan.experiment.placement
    assert isinstance(record, GpuPlacement), "engines of a machine without GPUs are rlc's own"
    if not isinstance(record.disaggregation, Off):
        pairs, generating = placement.below("disaggregation"), record.engine_groups()[-1]
        sheet.row(
            "pairs",
            sentence(
                f"{pairs.count('prefill_engines', 'engines')} of {pairs.count('prefill_gpus_per_engine', 'GPUs')} "
                f"read prompts",
                f"{generating.engines:,} of {counted(generating.gpus, 'GPUs')} generate",
                f"keys and values go by {pairs('transfer_backend')}",
            ),
        )
    if not isinstance(record.router, Off):
        sheet.row("router", *_router(placement.below("router"), is_cache_aware=record.router.policy == "cache_aware"))
    if not isinstance(record.judge, Off):
        sheet.row("judge", *_judge(placement.below("judge"), record.judge, gpu))
    domain = nodes_per_domain(plan, gpu)
    if domain > 1 and gpu is not None:
        nodes = plan.experiment.cluster.nodes
        domains = -(-nodes // domain)
        where = "which all are in one" if domains == 1 else f"of which there are {domains:,}"
        sheet.row(
            "domains",
            f"{counted(min(domain, nodes), 'nodes')} reach each other at {said(f'{gpu.scaleup_gb_per_s:,.0f}')} GB/s, "
            f"without a network card: a domain of at most {gpu.scaleup_gpus:,} GPUs, {where}",
        )


def _judge(judge: Values, record: Judge, gpu: Gpu | None) -> tuple[str, ...]:
    """Who judges, and what a GPU of it holds: weights, and as much cache as the engine may take beside them."""
    weights, pool = record.weights_gib / record.gpus_per_engine, 0.0 if gpu is None else JUDGE_SHARE * gpu.memory_gib
    held = f", beside {pool - weights:,.1f} GiB of cache, of {gpu.memory_gib:,} GiB" if gpu is not None else ""
    return (
        f"{judge('weights')}, {counted(record.gpus // record.gpus_per_engine, 'engines')} of "
        f"{judge.count('gpus_per_engine', 'GPUs')} on {judge.count('gpus', 'GPUs')} of its own",
        f"up to {judge.count('concurrency', 'questions')} of {judge.count('max_context_tokens', 'tokens')} at once",
        f"{weights:,.1f} GiB of weights a GPU, {judge('weights_gib')} of an engine{held}",
    )


def _router(router: Values, *, is_cache_aware: bool) -> tuple[str, ...]:
    balance = (
        f", to who has seen {router('cache_threshold')} of a prompt unless it is "
        f"{router.count('balance_abs_threshold', 'requests')} and {router('balance_rel_threshold')} times ahead"
        if is_cache_aware
        else ""
    )
    return (
        f"{router('policy')}{balance}, on port {router('port')}, "
        f"a request takes at most {router('request_timeout_s')} s",
        f"asked every {router('health_check_interval_s')} s an engine answers within "
        f"{router('health_check_timeout_s')} s; it is left out after {router('health_failure_threshold')} answers that "
        f"fail, until {router('health_success_threshold')} do not",
    )
