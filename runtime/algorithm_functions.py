"""Functions of the experiment's own in the place of parts of an algorithm: loaded, called, and held to their duty.

They are given copies of what is known of a whole rollout, or of one optimizer step, so that nothing they do to it
reaches the step, and they answer before it is cut into micro-batches: packing cannot change what they say.

Shape letters: T tokens and N samples of a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Never, TypeVar

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.algorithm import PolicyAlgo
from compiler.ir.experiment import Stage
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from runtime.custom_function import CustomFunction, Duty
from runtime.slow_call import Warn
from runtime.train_batches import sequence_of_token
from stdlib.algorithms._advantages import over_tokens
from stdlib.algorithms._correction import Gap, Weigh, Weighed
from stdlib.algorithms._ops import kept
from stdlib.algorithms._terms import Experience, Reducible
from stdlib.samples import TrainBatch

WEIGHTS = Duty(
    "RLC0655",
    "a correction returns a tensor with a finite weight of at least 0 for each token, or a pair of it and a mask of "
    "zeros and ones",
)
ADVANTAGES = Duty(
    "RLC0656", "a function of advantages returns a tensor with a finite number for each sample, or for each token"
)
REDUCTION = Duty("RLC0647", "a reducer returns a tensor with a finite weight of at least 0 for each token")
K = TypeVar("K", Gap, Experience, Reducible)


@dataclass(frozen=True, kw_only=True, slots=True)
class AlgorithmFunctions:
    """The functions of a stage; None where the standard library's do."""

    weights: CustomFunction | None
    advantages: CustomFunction | None
    reducer: CustomFunction | None = None

    def weigh(self, when: str) -> Weigh | None:
        """Return what weighs the gap between engine and trainer; `when` is what messages say of the step."""
        function = self.weights
        return None if function is None else lambda gap: _weighed(function, gap, when)

    def advantages_of(self, experience: Experience, when: str) -> Tensor | None:
        """Return [T] float32 what each unmasked token is worth, 0 elsewhere; None without a function.

        Raises: SpecError RLC0656 if the function raises, or returns something else than it is asked for.
        """
        return None if self.advantages is None else _advantages(self.advantages, experience, when)

    def reduced(self, batch: TrainBatch, when: str) -> TrainBatch:
        """Return a batch of one optimizer step with what each token weighs in its loss, where a function says it.

        Raises: SpecError RLC0647 if the function raises, or returns something else than it is asked for.
        """
        return batch if self.reducer is None else replace(batch, reduction_T=_reduced(self.reducer, batch, when))


def load_algorithm_functions(stage: Stage[Never], *, root: Path, warn: Warn) -> AlgorithmFunctions:
    """Return the functions that [algo] and [loss] name.

    Args:
        warn: is told of a call that takes long.

    Raises: SpecError RLC0610 or RLC0611 if one cannot be loaded.
    """
    algo, loss = stage.algorithm.algo, stage.algorithm.loss
    weights = advantages = reducer = None
    if isinstance(loss, PolicyLoss) and not isinstance(loss.code, Off):
        reducer = CustomFunction(loss.code, root=root, field="loss.reducer", duty=REDUCTION, warn=warn)
    if isinstance(loss, PolicyLoss) and not isinstance(loss.mismatch.code, Off):
        weights = CustomFunction(loss.mismatch.code, root=root, field="loss.mismatch.function", duty=WEIGHTS, warn=warn)
    if isinstance(algo, PolicyAlgo) and not isinstance(algo.code, Off):
        advantages = CustomFunction(algo.code, root=root, field="algo.advantages", duty=ADVANTAGES, warn=warn)
    return AlgorithmFunctions(weights=weights, advantages=advantages, reducer=reducer)


def _weighed(function: CustomFunction, gap: Gap, when: str) -> Weighed:
    with torch.no_grad():
        found = function(_copied(gap), at=when)
    answer = _Answer(function, when)
    is_pair = isinstance(found, tuple)
    if is_pair and len(found) != 2:
        raise SpecError(answer.fault(f"returned {len(found)} things, not weights and a mask"))
    shapes = {"token": gap.mask_T.shape}
    weights_T, mask_T = answer.tensor(found[0] if is_pair else found, "weights", shapes), gap.mask_T
    if is_pair:
        said_T = answer.tensor(found[1], "a mask", shapes)
        answer.refuse((said_T != 0) & (said_T != 1), said_T, "in its mask", gap.sequence_T)
        mask_T = mask_T * said_T
    # A token of which a side has no number is left out whatever it is said to weigh.
    is_known_T = (gap.trainer_logprobs_T - gap.rollout_logprobs_T).isfinite()
    weights_T = kept(weights_T, mask_T * is_known_T)
    answer.refuse(~weights_T.isfinite() | (weights_T < 0), weights_T, "as a weight", gap.sequence_T)
    return Weighed(weights_T, mask_T)


def _advantages(function: CustomFunction, experience: Experience, when: str) -> Tensor:
    with torch.no_grad():
        found = function(_copied(experience), at=when)
    answer = _Answer(function, when)
    mask_T, sequence_T = experience.mask_T, experience.sequence_T
    found = answer.tensor(found, "advantages", {"sample": experience.rewards_N.shape, "token": mask_T.shape})
    found_T = over_tokens(found, mask_T, sequence_T) if found.shape == experience.rewards_N.shape else found
    found_T = kept(found_T, mask_T)
    answer.refuse(~found_T.isfinite(), found_T, "as an advantage", sequence_T)
    return found_T


def _reduced(function: CustomFunction, batch: TrainBatch, when: str) -> Tensor:
    sequence_T, mask_T = sequence_of_token(batch.lengths_N), batch.mask_T
    known = Reducible(mask_T, sequence_T, batch.advantages_T, len(batch.lengths_N))
    with torch.no_grad():
        found = function(_copied(known), at=when)
    answer = _Answer(function, when)
    found_T = kept(answer.tensor(found, "weights", {"token": mask_T.shape}), mask_T)
    answer.refuse(~found_T.isfinite() | (found_T < 0), found_T, "as a weight", sequence_T)
    return found_T


class _Answer:
    """What a function returned at a step, held to its duty.  Raises: SpecError with the code of the duty."""

    def __init__(self, function: CustomFunction, when: str) -> None:
        self._function = function
        self._when = when

    def tensor(self, found: Any, what: str, shapes: dict[str, torch.Size]) -> Tensor:
        """Return float32 of one of some shapes, by what there is a number of, detached."""
        if not isinstance(found, Tensor):
            raise SpecError(self.fault(f"returned {_kind(found)}, not a tensor of {what}"))
        if found.is_complex():
            raise SpecError(self.fault(f"returned complex numbers, not {what}"))
        if found.shape not in shapes.values():
            wanted = " or ".join(f"{list(shape)}, one for each {one}" for one, shape in shapes.items())
            raise SpecError(self.fault(f"returned {what} of shape {list(found.shape)}, not {wanted}"))
        return found.detach().to(device="cpu", dtype=torch.float32)

    def refuse(self, is_wrong_T: Tensor, found_T: Tensor, what: str, sequence_T: Tensor) -> None:
        """Refuse numbers, of which the first is named."""
        places = is_wrong_T.nonzero().flatten()
        if len(places):
            first = int(places[0])
            sample = int(sequence_T[first])
            token = first - int((sequence_T < sample).sum())
            where = f"token {token} of sample {sample}"
            more = f", and {len(places) - 1:,} more" if len(places) > 1 else ""
            raise SpecError(self.fault(f"returned {float(found_T[first]):g} {what}: {where}{more}"))

    def fault(self, what: str) -> Diagnostic:
        return self._function.fault(f"{what}, {self._when}")


def _kind(found: Any) -> str:
    return "nothing" if found is None else type(found).__name__


def _copied(known: K) -> K:
    """A record whose tensors, also those by name, are copies."""

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.clone()
        return {name: copied(one) for name, one in value.items()} if isinstance(value, dict) else value

    return known._replace(**{name: copied(value) for name, value in zip(known._fields, known, strict=True)})
