"""What is checked before a model is built: what this trainer does not compute, and settings under which Megatron
computes something else without saying so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.loss import DistillationLoss
from compiler.ir.machine import Parallel
from compiler.ir.openness import Off
from compiler.ir.training import PolicyTrain
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.torch_ import TrainerSpec


def check_plan(spec: TrainerSpec, parallel: Parallel[Never], records: Records) -> None:
    """Raise SpecError RLC0772 with what is not computed, or RLC0773 with what would be wrong, if anything."""
    for path, what in _not_computed(spec, records):
        raise SpecError(
            Diagnostic(
                "RLC0772",
                f"the Megatron trainer does not compute {what}",
                help=(Help("leave it out, or train with an engine that computes it"),),
                paths=(path,),
            )
        )
    for wrong in _wrong(spec, parallel, records):
        raise SpecError(Diagnostic("RLC0773", wrong.what, help=(Help(wrong.fix),), paths=(wrong.path,)))


class _Wrong(NamedTuple):
    """A setting, what it does, and what to do."""

    path: str
    what: str
    fix: str


def _setting(name: str, value: object, needed: str, why: str) -> _Wrong:
    path = f"train.engine.megatron.{name}"
    return _Wrong(path, f"{path} = {value!r}: {why}", f"set {path} = {needed}, or leave it out")


def _not_computed(spec: TrainerSpec, records: Records) -> Iterator[tuple[str, str]]:
    rule = records.of("OptimizerConfig")
    if rule.get("optimizer_cpu_offload", False):
        yield "train.engine.megatron.optimizer_cpu_offload", "updates on the host"
    if rule.get("use_precision_aware_optimizer", False):
        yield "train.engine.megatron.use_precision_aware_optimizer", "updates of weights in parts"
    if isinstance(spec.params.loss, DistillationLoss):
        yield "loss", "a divergence from a teacher over the whole vocabulary"
    if not isinstance(spec.train.mtp, Off):
        yield "train.mtp", "losses of layers that predict further tokens"
    model = spec.model
    if not isinstance(model.linear_attention, Off) or not isinstance(model.indexer, Off) or model.attention_gate:
        yield "model.family", f"the attention of {model.family}"
    if model.qk_norm == "whole":
        yield "model.qk_norm", "a norm of all heads as one vector"


def _wrong(spec: TrainerSpec, parallel: Parallel[Never], records: Records) -> Iterator[_Wrong]:
    network = records.network
    if parallel.vpp > 1 and not network.get("overlap_p2p_comm", False):
        why = f"with parallel.vpp = {parallel.vpp} Megatron exchanges the wrong activations, and reports a loss"
        yield _setting("overlap_p2p_comm", False, "true", why)
    if parallel.vpp > 1 and network.get("batch_p2p_comm", True):
        yield _setting("batch_p2p_comm", True, "false", "an interleaved pipeline sends its messages one at a time")
    if parallel.pp > 1 and not network.get("variable_seq_lengths", False):
        why = "micro-batches differ in length, and a stage would read activations of another length"
        yield _setting("variable_seq_lengths", False, "true", why)
    for name in ("hidden_dropout", "attention_dropout"):
        if network.get(name, 0.1) != 0.0:
            why = "log-probs differ from those of the same weights in the rollout engine"
            yield _setting(name, network.get(name, 0.1), "0.0", why)
    replicated = records.of("DistributedDataParallelConfig")
    for name in ("average_in_collective", "overlap_param_gather", "use_megatron_fsdp"):
        if replicated.get(name, False):
            why = "this trainer adds gradients up, and reads weights as soon as a step is taken"
            yield _setting(name, True, "false", why)
    if not isinstance(spec.model.mla, Off) and parallel.tp > 1 and not parallel.sp:
        yield _Wrong(
            "parallel.sp",
            f"parallel.sp = false with parallel.tp = {parallel.tp}: Megatron leaves out of the gradient of latent "
            "attention's turning keys the heads of all other ranks",
            "set parallel.sp = true",
        )
    is_split = records.of("OptimizerConfig").get("use_distributed_optimizer", False)
    if is_split and spec.optim.name != "adamw":
        yield _setting("use_distributed_optimizer", True, "false", "Megatron splits the state of Adam only")
    if is_split != replicated.get("use_distributed_optimizer", False):
        yield _setting("use_distributed_optimizer", is_split, "the same for both", "two records of it differ")
    yield from _wrong_experts(spec, network)


def _wrong_experts(spec: TrainerSpec, network: Mapping[str, Any]) -> Iterator[_Wrong]:
    moe = spec.model.moe
    if isinstance(moe, Off):
        return
    judged = moe.experts_per_token // moe.groups_per_token
    if moe.num_groups > 1 and judged != 2:
        yield _Wrong(
            "model.moe.groups_per_token",
            f"Megatron judges a group of experts by its best {judged} (model.moe.experts_per_token = "
            f"{moe.experts_per_token} over groups_per_token = {moe.groups_per_token}), the model by its best 2: tokens "
            "would visit other experts than in the rollout engine",
            "train this model with another engine",
        )
    capacity = network.get("moe_expert_capacity_factor")
    if capacity is not None:
        yield _setting("moe_expert_capacity_factor", capacity, "off", "tokens beyond an expert's capacity are dropped")
    balance, coefficient = network.get("moe_router_load_balancing_type", "none"), network.get("moe_aux_loss_coeff", 0.0)
    if "sinkhorn" in balance:
        why = "in training experts are chosen by another rule than in the rollout engine"
        yield _setting("moe_router_load_balancing_type", balance, '"none"', why)
    if network.get("moe_router_force_load_balancing", False):
        yield _setting("moe_router_force_load_balancing", True, "false", "tokens visit experts at random")
    if isinstance(spec.train, PolicyTrain) and not isinstance(spec.train.routing_replay, Off):
        graphs = network.get("cuda_graph_impl", "none")
        if graphs != "none":
            why = "a recorded graph replays the routing of the batch that it was recorded with"
            yield _setting("cuda_graph_impl", graphs, '"none"', why)
    if balance != "none" and coefficient:
        why = "a loss is added whose size depends on how the batch is cut"
        yield _setting("moe_aux_loss_coeff", coefficient, "0.0", why)
