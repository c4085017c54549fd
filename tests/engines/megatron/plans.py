"""Plans of tiny models on a few GPUs, whose records Megatron is built from; what needs a GPU's libraries is turned off
as a spec turns it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Never

from compiler.ir.algorithm import AlgorithmParams
from compiler.ir.machine import ConfigRecord, GpuPlacement, Parallel
from compiler.ir.model import Model, Tokenizer
from compiler.ir.openness import Off
from compiler.ir.plan import Plan, read_plan
from compiler.ir.record import Record
from rlc.catalogue import scan
from runtime.engines.train.torch_ import TrainerSpec
from tests.support.good_spec import GPU, Changes, compiled

# Fused kernels, of TransformerEngine or apex, and what torch initialises on a GPU.
_PLAIN = {
    "use_cpu_initialization": "true",
    "bias_activation_fusion": "false",
    "bias_dropout_fusion": "false",
    "masked_softmax_fusion": "false",
    "apply_rope_fusion": "false",
    "persist_layer_norm": "false",
    "gradient_accumulation_fusion": "false",
    "attention_backend": '"auto"',
    "attention_softmax_in_fp32": "true",
}
_UNREAD = {  # facts of a record that only one of its kinds has
    "llama3": ("beta_fast", "beta_slow", "mscale", "mscale_all_dim"),
    "yarn": ("low_freq_factor", "high_freq_factor"),
}
_ROUTED = '[{ rule = "RLC0536", why = "a test" }]'
_PLAIN_EXPERTS = {"moe_grouped_gemm": "false", "moe_permute_fusion": "false"}


class Launch(NamedTuple):
    """A plan as it is saved, which is how processes are given it."""

    plan: str

    @property
    def parallel(self) -> Parallel[Never]:
        """How the model is spread."""
        parallel = self._read().experiment.parallel
        assert not isinstance(parallel, Off)
        return parallel

    @property
    def records(self) -> tuple[ConfigRecord, ...]:
        """What the trainer is configured with."""
        placement = self._read().experiment.placement
        assert isinstance(placement, GpuPlacement)
        return next(launch.records for launch in placement.launches if launch.role == "trainer")

    def spec(self, params: AlgorithmParams[Never], **changes: Any) -> TrainerSpec:
        """What a trainer reads of the plan, with an algorithm's own settings."""
        experiment = self._read().experiment
        stage = experiment.stages[0]
        spec = TrainerSpec(model=experiment.model, train=stage.train, optim=stage.optim, params=params)
        return replace(spec, **changes)

    def _read(self) -> Plan:
        return read_plan(self.plan, name="plan.json", params_of=scan().params_of)


def launch_of(folder: Path, model: Model[Never], changes: Changes, *, num_ranks: int) -> Launch:
    """Return what the plan says of a model that is trained by some ranks, with changes of the spec."""
    engine = _PLAIN if isinstance(model.moe, Off) else _PLAIN | _PLAIN_EXPERTS
    base = {
        **{key: value for key, value in GPU.items() if not key.startswith("model.")},
        **dict(_lines("model", model)),
        "model.weights": '"checkpoint"',
        "cluster.gpus_per_node": f'"{num_ranks}xH100-80-SXM"',
        "train.precision": '"fp32"',
        "train.packing.tokens": "80",
        "train.vocab_chunk": "16",
        "optim.lr": "1e-2",
        "optim.eps": "1e-2",
        "rollout.max_response_tokens": "40",
        "rollout.max_prompt_tokens": "40",
        **{f"train.engine.megatron.{name}": value for name, value in engine.items()},
    }
    if not isinstance(model.moe, Off) and "train.routing_replay" not in changes:
        base["allow"] = _ROUTED
    found = compiled(folder, changes, base=base)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return Launch(found.plan.to_text())


def _lines(prefix: str, record: Record) -> Mapping[str, str]:
    found: dict[str, str] = {}
    unread = ("init_std", "overrides", *_UNREAD.get(str(record.__dict__.get("kind")), ()))
    for name, value in record.__dict__.items():
        if isinstance(value, Off | Tokenizer) or name in unread:
            continue
        if isinstance(value, Record):
            found.update(_lines(f"{prefix}.{name}", value))
        else:
            found[f"{prefix}.{name}"] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
