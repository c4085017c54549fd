"""A trainer on PyTorch and a Hugging Face model, in one process.

It holds fp32 master weights, optimizer state and, if asked, frozen reference weights.  A global batch is cut into
micro-batches; each contributes a sum divided by totals of the global batch, so the cut changes nothing but rounding.
The loss comes from the algorithm; nothing here knows which.

Shape letters: T tokens of the global batch, M predicted tokens of one micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.algorithm import AlgorithmParams, TaughtParams
from compiler.ir.loss import DistillationLoss
from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.training import Optim, PolicyTrain, Train
from runtime.engines.architecture import architecture
from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats
from runtime.engines.train.forward import accumulated, micro_batches, totals_of
from runtime.engines.train.loss_terms import (
    Predicted,
    loss_of,
    loss_temperature,
    not_finite,
    nothing_to_learn,
    sampling_temperature,
    without,
)
from runtime.engines.train.network import Network
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.packed_batch import PackedBatch, predictable
from runtime.engines.train.prediction import Prediction
from runtime.engines.train.routing import Routing, check_recorded
from runtime.engines.train.spread import OneProcess, Spread, without_prediction
from runtime.engines.train.state import Held, check_state, held_by, held_by_rule, load, load_rule, saved, wholes
from runtime.engines.train.teacher import Teacher, divergences, other_teacher
from runtime.logprob_gap import GapMeter
from stdlib.algorithms._terms import (
    Algorithm,
    DistillationTerms,
    LossOutput,
    MetricSum,
    Totals,
)
from stdlib.samples import TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerSpec:
    """What a trainer reads of a plan.

    `temperature` is the rollout's; 0 means 1, as for an engine's log-probs.  `seed` is that of first_fit_shuffle.
    `gap_token_bound` is the gap to the engine's log-probs beyond which a token is counted.
    """

    model: Model[Never]
    train: Train[Never]
    optim: Optim[Never]
    params: AlgorithmParams[Never]
    temperature: float = 1.0
    keep_reference: bool = False
    seed: int = 0
    gap_token_bound: float | None = None


class _Counted(NamedTuple):
    """What is counted over a global batch; `further` are the tokens that each layer for further tokens predicts."""

    totals: Totals
    further: Sequence[int]


class TorchTrainer:
    """Implements runtime.protocols.Trainer.

    Args:
        algorithm: a module of stdlib/algorithms/, whose Params `spec.params` is an instance of.
        weights: initial weights by Hugging Face name; copied.
        teacher: those of the teacher, where the algorithm has one.
        spread: over which processes; this one alone, if nothing is said.

    Raises: SpecError RLC0640 if weights do not fit their model.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        algorithm: Algorithm,
        weights: Mapping[str, Tensor],
        teacher: Mapping[str, Tensor] | None = None,
        *,
        spread: Spread | None = None,
    ) -> None:
        self._spec = spec
        self._algorithm = algorithm
        self._spread = OneProcess() if spread is None else spread
        predicts = not isinstance(spec.train.mtp, Off)
        self._policy = self._spread.network(spec.model, weights, trained=True, predicts=predicts)
        self._reference: Network | None = None
        if spec.keep_reference:
            own = without_prediction(spec.model, weights)
            self._reference = self._spread.network(spec.model, own, trained=False, predicts=False)
        self._teacher: Teacher | None = None
        if isinstance(spec.params, TaughtParams) and teacher is not None:
            taught = self._spread.network(spec.params.teacher, teacher, trained=False, predicts=False)
            self._teacher = Teacher(taught, teacher)
        self._replayed = spec.train.routing_replay if isinstance(spec.train, PolicyTrain) else OFF
        experts = architecture(spec.model).experts
        self._routing: Routing | None = None
        if experts is not None and not isinstance(self._replayed, Off):
            self._routing = Routing(self._policy.model, experts)
        self._optimizer = Optimizer(spec.optim, self._policy.trained(), norm=self._policy.norm)
        is_bf16 = spec.train.precision == "bf16"
        self._head = HeadSpec(
            chunk=spec.train.vocab_chunk,
            temperature=loss_temperature(spec),
            matmul_dtype=torch.bfloat16 if is_bf16 else torch.float32,
        )
        self._prediction: Prediction | None = None
        if not isinstance(spec.train.mtp, Off):
            model, heads = self._policy.model, self._policy.heads
            self._prediction = Prediction(model, spec.train, spec.train.mtp, head=self._head, heads=heads)

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return [T] float32 log-probs of each token given those before it; 0 at the first token of each sequence.

        The policy's tokens visit the experts that the batch names, if routing is replayed; all other models choose.

        Raises: SpecError RLC0643 if there is no such model; RLC0642 if a sequence is above the token budget.
        """
        if of == "teacher":
            network = None if self._teacher is None else self._teacher.network
        else:
            network = self._policy if of == "policy" else self._reference
        if network is None:
            raise SpecError(without(of))
        wanted_T = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)
        found_T = torch.full_like(batch.mask_T, -torch.inf, dtype=torch.float32)
        dealt = self._spread.deal(batch, self._spec, wanted_T)
        with torch.no_grad():
            for packed, is_idle in micro_batches(batch, dealt, wanted_T, network.heads):
                stats = network.run(partial(self._stats, network, packed, is_idle=is_idle))
                if not is_idle:
                    found_T[packed.tokens_M] = stats.logprobs_M
        network.rest()
        return self._spread.joined(found_T).masked_fill_(wanted_T == 0, 0.0)

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with the policy's log-probs as old ones, and with the experts of this pass if they are what
        is replayed.
        """
        if self._routing is None or self._replayed != "trainer":
            return replace(batch, old_logprobs_T=self.logprobs(batch, of="policy"))
        with self._routing.recording(batch.tokens_T.shape[0]) as expert_ids_TLC:
            old_T = self.logprobs(replace(batch, expert_ids_TLC=None), of="policy")
        return replace(batch, old_logprobs_T=old_T, expert_ids_TLC=self._spread.joined(expert_ids_TLC))

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a whole global batch and return its metrics, `train/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed; RLC0645 if no token
        counts in the loss; RLC0642 and RLC0643 as the batch cannot be cut or lacks log-probs; RLC0770 if routing is
        replayed that nobody recorded.
        """
        wanted_T = predictable(batch.mask_T, batch.lengths_N)
        totals = totals_of(wanted_T, batch.lengths_N, batch.is_right_T)
        if totals.num_tokens == 0:
            raise SpecError(nothing_to_learn(batch))
        counted = _Counted(
            totals=totals,
            further=() if self._prediction is None else self._prediction.num_predicted(wanted_T, batch.lengths_N),
        )
        gap = GapMeter(self._spec.gap_token_bound)
        dealt = self._spread.deal(batch, self._spec, wanted_T)
        shares = (
            self._idle_share(packed, counted) if is_idle else self._share(batch, packed, counted, gap)
            for packed, is_idle in micro_batches(batch, dealt, wanted_T, self._policy.heads)
        )
        loss, means = accumulated(shares, totals, self._spread)
        self._policy.settle()
        if self._teacher is not None:
            self._teacher.network.rest()
        metrics = self._optimizer.update(loss, means, role="train", not_finite=not_finite)
        gaps = gap.joined(self._spread.gathered(gap.sums())).metrics()
        return metrics | gaps | {"train/num_tokens": float(totals.num_tokens)}

    def refresh_reference(self) -> None:
        """Let the reference take over the policy's weights.  Raises: SpecError RLC0643 if there is no reference."""
        if self._reference is None:
            raise SpecError(without("reference"))
        with torch.no_grad():
            live = self._policy.held()
            for name, kept in self._reference.held().items():
                kept.copy_(live[name])

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the live policy weights by their Hugging Face names, fp32; a tied head is not repeated."""
        for name, part in self._policy.held().items():
            yield name, self._policy.whole(name, part)

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by flat names.

        `model.<name>`, `reference.<name>` (where kept), `optim.step`, `optim.<moment>.<name>`; of a teacher, which
        never changes, only `teacher.sha256`.
        """
        return saved(self._held(), keeps=self._spread.keeps_state)

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every process goes through all of them."""
        return wholes(self._held())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned; from here on training continues bit by bit as it would have.

        Raises: SpecError RLC0644 if names or shapes differ from this trainer's own, RLC0654 if the teacher does.
        """
        held = self._held()
        check_state(held, state, what="the checkpoint does not fit the trainer")
        if self._teacher is not None and not torch.equal(self._teacher.sha256, state["teacher.sha256"]):
            raise SpecError(other_teacher())
        load({name: own for name, own in held.items() if not name.startswith("optim.")}, state)
        load_rule(self._optimizer, self._policy, state, "optim")

    def _held(self) -> dict[str, Held]:
        found = held_by(self._policy, "model")
        if self._reference is not None:
            found |= held_by(self._reference, "reference")
        if self._teacher is not None:
            found["teacher.sha256"] = Held(self._teacher.sha256)
        return found | held_by_rule(self._optimizer, self._policy, "optim")

    def _stats(self, network: Network, packed: PackedBatch, *, is_idle: bool = False) -> TokenStats:
        routing = self._routing if network is self._policy and not is_idle else None
        if is_idle and self._routing is not None:
            self._routing.forget()
        nodes_UD = network.nodes(packed, self._spec.train, routing)
        return network.stats(network.hidden(nodes_UD, packed), packed, self._head)

    def _share(self, batch: TrainBatch, packed: PackedBatch, counted: _Counted, gap: GapMeter) -> LossOutput:
        """The loss of a micro-batch, that of further tokens included."""
        if not isinstance(self._replayed, Off):
            check_recorded(packed.expert_ids_ULC, packed.tokens_1U.shape[1], replayed=self._replayed)
        return self._policy.run(lambda: self._output(batch, packed, counted, gap))

    def _output(self, batch: TrainBatch, packed: PackedBatch, counted: _Counted, gap: GapMeter) -> LossOutput:
        nodes_UD = self._policy.nodes(packed, self._spec.train, self._routing)
        hidden_WD = self._policy.hidden(nodes_UD, packed)
        if isinstance(self._spec.params.loss, DistillationLoss):
            output = self._distillation(hidden_WD, batch, packed, counted.totals, gap)
        else:
            output = self._loss(hidden_WD, batch, packed, counted.totals, gap)
        if self._prediction is None:
            return output
        return self._prediction.added_to(output, packed, nodes_UD, counted.further, counted.totals)

    def _idle_share(self, packed: PackedBatch, counted: _Counted) -> LossOutput:
        """Nothing, by the way that _share goes: every weight has a gradient, of zeros, and every rank is waited for."""

        if self._routing is not None:
            self._routing.forget()

        def zero() -> LossOutput:
            nodes_UD = self._policy.nodes(packed, self._spec.train)
            hidden_WD = self._policy.hidden(nodes_UD, packed)
            if self._teacher is not None:
                loss = self._divergences(hidden_WD, packed).forward_kl_T.sum()
            else:
                loss = self._policy.stats(hidden_WD, packed, self._head).logprobs_M.sum()
            output = LossOutput(loss, {})
            if self._prediction is not None:
                output = self._prediction.added_to(output, packed, nodes_UD, counted.further, counted.totals)
            return LossOutput(output.loss * 0.0, {})

        return self._policy.run(zero)

    def _loss(
        self, hidden_WD: Tensor, batch: TrainBatch, packed: PackedBatch, totals: Totals, gap: GapMeter
    ) -> LossOutput:
        stats = self._policy.stats(hidden_WD, packed, self._head)
        predicted = Predicted(stats, packed.tokens_M, packed.sequence_M)
        output = loss_of(self._spec, self._algorithm, batch, predicted, totals, gap)
        if self._routing is None:
            return output
        rerouted_W = self._routing.rerouted(self._policy.sources(packed))
        rerouted = MetricSum(self._policy.of_all(packed, rerouted_W).sum(), "tokens")
        return LossOutput(output.loss, {**output.metrics, "rerouted_frac": rerouted})

    def _distillation(
        self, hidden_WD: Tensor, batch: TrainBatch, packed: PackedBatch, totals: Totals, gap: GapMeter
    ) -> LossOutput:
        if batch.compared_T is not None:
            sampled = self._head._replace(temperature=sampling_temperature(self._spec))
            with torch.no_grad():
                stats = self._policy.stats(hidden_WD, packed, sampled)
            at = packed.tokens_M
            gap.add(stats.logprobs_M, batch.rollout_logprobs_T[at], batch.compared_T[at])
        return self._algorithm.loss(self._spec.params, self._divergences(hidden_WD, packed), totals)

    def _divergences(self, hidden_WD: Tensor, packed: PackedBatch) -> DistillationTerms:
        loss = self._spec.params.loss
        if self._teacher is None or not isinstance(loss, DistillationLoss):
            raise SpecError(without("teacher"))
        teacher = self._teacher.side(packed, self._spec.train, heads=self._policy.heads)
        found = divergences(loss, self._policy.side(hidden_WD), teacher, spec=self._policy.head_spec(self._head))
        forward_M, reverse_M = (self._policy.of_all(packed, values) for values in found)
        return DistillationTerms(forward_M, reverse_M, torch.ones_like(forward_M), packed.sequence_M)
