"""The update rule: AdamW or SGD with momentum, decoupled weight decay on matrices only, clipping by global norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.openness import Off
from compiler.ir.training import Optim
from runtime.engines.train.learning_rate import learning_rate

MOMENTS = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}

Norm = Callable[[Mapping[str, Tensor]], Tensor]


def whole_norm(gradients: Mapping[str, Tensor]) -> Tensor:
    """Return the norm of all gradients together, each of which is whole."""
    return torch.nn.utils.get_total_norm(list(gradients.values()))


class Optimizer:
    """Steps named parameters.  Moments exist from the start (zeros), so that its state always has the same names.

    Args:
        norm: of all gradients together, by name, where this process has parts of them only.
    """

    def __init__(self, optim: Optim[Never], parameters: Mapping[str, Tensor], *, norm: Norm = whole_norm) -> None:
        self._optim = optim
        self._norm = norm
        self._parameters = dict(parameters)
        self.num_steps = 0
        decayed = [p for p in self._parameters.values() if p.ndim > 1]
        plain = [p for p in self._parameters.values() if p.ndim <= 1]
        self._decayed = decayed
        groups = [{"params": g, "weight_decay": w} for g, w in ((decayed, optim.weight_decay), (plain, 0.0)) if g]
        self._rule: torch.optim.Optimizer
        if optim.name == "adamw":
            betas = (optim.beta1, optim.beta2)
            self._rule = torch.optim.AdamW(groups, lr=optim.lr, betas=betas, eps=optim.eps, fused=True)
        else:
            self._rule = torch.optim.SGD(self._parameters.values(), lr=optim.lr, momentum=optim.momentum)
        self._fill_state()

    def clip_gradients(self) -> float:
        """Scale all gradients so that their joint norm is at most clip_grad_norm; return the norm before that.

        Leaves them as they are if the norm is not finite.
        """
        norm = self._norm({name: p.grad for name, p in self._parameters.items() if p.grad is not None})
        if not isinstance(self._optim.clip_grad_norm, Off) and math.isfinite(norm):
            torch.nn.utils.clip_grads_with_norm_(self._parameters.values(), self._optim.clip_grad_norm, norm)
        return float(norm)

    def step(self) -> float:
        """Take one step at the rate of the schedule, forget the gradients, and return the rate."""
        rate = learning_rate(self._optim, self.num_steps)
        for group in self._rule.param_groups:
            group["lr"] = rate
        if self._optim.name == "sgd" and self._optim.weight_decay != 0.0:
            with torch.no_grad():
                for parameter in self._decayed:
                    parameter.mul_(1.0 - rate * self._optim.weight_decay)
        self._rule.step()
        self.num_steps += 1
        self.forget_gradients()
        return rate

    def update(
        self,
        loss: float,
        means: Mapping[str, float],
        *,
        role: str,
        not_finite: Callable[[int, float, float], Diagnostic],
    ) -> dict[str, float]:
        """Clip the gradients, take a step, and return its metrics: `<role>/loss`, `grad_norm`, `lr`, and the means.

        Args:
            not_finite: says what is wrong, of the number of steps taken, the loss and the gradient's norm.

        Raises: SpecError with that if loss or gradient is not finite, before any weight has changed.
        """
        grad_norm = self.clip_gradients()
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            self.forget_gradients()
            raise SpecError(not_finite(self.num_steps, loss, grad_norm))
        found = {"loss": loss, "grad_norm": grad_norm, "lr": self.step(), **means}
        return {f"{role}/{name}": value for name, value in found.items()}

    def forget_gradients(self) -> None:
        """Drop all gradients."""
        self._rule.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Return `step` and `<moment>.<parameter name>`; the tensors are the live ones."""
        found = {"step": torch.tensor(self.num_steps, dtype=torch.int64)}
        for moment in self._moments():
            for name, parameter in self._parameters.items():
                found[f"{moment}.{name}"] = self._rule.state[parameter][moment]
        return found

    def load_state(self, state: Mapping[str, Tensor], fill: Callable[[str, Tensor, Tensor], None]) -> None:
        """Take over what state() returned; names and shapes must be the same.

        Args:
            fill: copies into a live tensor what is its of a given one, by the name of the parameter.
        """
        self.num_steps = int(state["step"])
        self._fill_state()
        for name, live in self.state().items():
            if name != "step":
                fill(name.split(".", 1)[1], live, state[name])

    def _moments(self) -> tuple[str, ...]:
        if self._optim.name == "sgd" and self._optim.momentum == 0.0:
            return ()
        return MOMENTS[self._optim.name]

    def _fill_state(self) -> None:
        for parameter in self._parameters.values():
            own = self._rule.state[parameter]
            for moment in self._moments():
                own.setdefault(moment, torch.zeros_like(parameter, memory_format=torch.preserve_format))
            if self._optim.name == "adamw":
                own["step"] = torch.tensor(float(self.num_steps), dtype=torch.float32)
