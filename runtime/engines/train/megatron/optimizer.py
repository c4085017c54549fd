"""The update rule, split over data-parallel ranks: what a step does, and its state as whole tensors of a model.

Rates, decay, clipping and moments are those of the trainer of one process (runtime/engines/train/optimizer.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Never

import torch
import torch.distributed as dist
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.training import Optim
from runtime.engines.train.learning_rate import learning_rate
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.optimizer import MOMENTS


class SplitOptimizer:
    """Steps the parameters of the chunks of this process.

    What it holds of a parameter are the elements of a range: all of them, or this rank's share where the optimizer is
    distributed.
    """

    def __init__(self, optim: Optim[Never], records: Records, chunks: Sequence[Any]) -> None:
        self._optim = optim
        self.num_steps = 0
        self.config = OptimizerConfig(**records.of("OptimizerConfig"))
        self._rule: Any = get_megatron_optimizer(self.config, list(chunks))
        self._parts: list[Any] = getattr(self._rule, "chained_optimizers", [self._rule])
        self._parts = [part for part in self._parts if getattr(part, "optimizer", None) is not None]
        self._owners = {id(p): part for part in self._parts for p in _parameters_of(part)}
        self._fill_state()

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of what is kept of every parameter."""
        if self._optim.name == "sgd" and self._optim.momentum == 0.0:
            return ()
        return MOMENTS[self._optim.name]

    def forget_gradients(self) -> None:
        """Drop all gradients that the optimizer holds; those of the chunks are theirs."""
        self._rule.zero_grad()

    def gradient_norm(self) -> float:
        """Return the joint norm of all gradients, the same on every rank."""
        self._rule.prepare_grads()
        return float(self._rule.get_grad_norm())

    def step(self, grad_norm: float) -> float:
        """Clip, take a step at the rate of the schedule, and return the rate.  `gradient_norm` comes first."""
        rate = learning_rate(self._optim, self.num_steps)
        if self.config.clip_grad > 0.0:
            for part in self._parts:
                parameters = part.get_parameters()
                if parameters:
                    clip_grad_by_total_norm_fp32(parameters, max_norm=self.config.clip_grad, total_norm=grad_norm)
        for group in self._groups():
            group["lr"] = rate
        self._rule.step_with_ready_grads()
        self.num_steps += 1
        return rate

    def update(
        self,
        loss: float,
        means: Mapping[str, float],
        *,
        role: str,
        not_finite: Callable[[int, float, float], Diagnostic],
    ) -> dict[str, float]:
        """Take a step on the gradients of the chunks, and return its metrics: `<role>/loss`, `grad_norm`, `lr`, and the
        means; the same on every rank.

        Raises: SpecError with what `not_finite` says of the number of steps taken, the loss and the gradient's norm, if
        either is not finite, before any weight has changed.
        """
        grad_norm = self.gradient_norm()
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise SpecError(not_finite(self.num_steps, loss, grad_norm))
        metrics = {"loss": loss, "grad_norm": grad_norm, "lr": self.step(grad_norm), **means}
        return {f"{role}/{name}": value for name, value in metrics.items()}

    def read(self, parameter: Any, what: str) -> Tensor:
        """Return, of the shape of a model's parameter, its main weights ("weight") or one of its moments; collective
        over its data-parallel group.
        """
        part = self._owners[id(parameter)]
        whole = torch.zeros(parameter.numel(), dtype=torch.float32, device=parameter.device)
        held = _held(part, parameter)
        if held is not None:
            main, start, end = held
            whole[start:end] = (main if what == "weight" else part.optimizer.state[main][what]).detach().flatten()
        if _is_distributed(part):
            dist.all_reduce(whole, group=part.data_parallel_group)
        return whole.view(parameter.shape)

    def write(self, parameter: Any, what: str, value: Tensor) -> None:
        """Take over what `read` returned."""
        part = self._owners[id(parameter)]
        held = _held(part, parameter)
        if held is not None:
            main, start, end = held
            own = (main if what == "weight" else part.optimizer.state[main][what]).detach()
            own.copy_(value.reshape(-1)[start:end].view(own.shape))

    def is_trained(self, parameter: Any) -> bool:
        """Whether it is a parameter, and no bias that no gradient reaches."""
        return id(parameter) in self._owners

    def resume_at(self, num_steps: int) -> None:
        """Let the next step be that after so many."""
        self.num_steps = num_steps
        self._fill_state()

    def _groups(self) -> list[Any]:
        return [group for part in self._parts for group in part.optimizer.param_groups]

    def _fill_state(self) -> None:
        """Moments exist from the start, and every parameter counts steps by itself: one counter that several share
        would count each of them.
        """
        for part in self._parts:
            counts_each = isinstance(part.optimizer, torch.optim.Adam | torch.optim.AdamW)
            for group in part.optimizer.param_groups:
                if self._optim.name == "adamw" and not counts_each:
                    group["step"] = self.num_steps
                for parameter in group["params"]:
                    own = part.optimizer.state[parameter]
                    for moment in self.moments:
                        if own.get(moment) is None:
                            own[moment] = torch.zeros_like(parameter, dtype=torch.float32)
                    if counts_each:
                        own["step"] = torch.tensor(float(self.num_steps), dtype=torch.float32)


def _is_distributed(part: Any) -> bool:
    return hasattr(part, "model_param_group_index_map")


def _parameters_of(part: Any) -> list[Any]:
    """Return the parameters of the model that an optimizer steps, those whose share is elsewhere among them."""
    if _is_distributed(part):
        return [p for buffer in part.buffers for p in buffer.params]
    groups = getattr(part, "float16_groups", None)
    if groups is None:
        return [p for group in part.optimizer.param_groups for p in group["params"]]
    return [p for group in [*groups, *part.fp32_from_fp32_groups] for p in group]


def _held(part: Any, parameter: Any) -> tuple[Any, int, int] | None:
    """Return what the rule steps of a parameter, and which of its elements these are."""
    if not _is_distributed(part):
        return getattr(parameter, "main_param", parameter), 0, parameter.numel()
    if parameter not in part.model_param_group_index_map:
        return None
    group, at = part.model_param_group_index_map[parameter]
    span = part._get_model_param_range_map(parameter)["param"]  # which elements, for which there is no public name
    return part.optimizer.param_groups[group]["params"][at], span.start, span.end
