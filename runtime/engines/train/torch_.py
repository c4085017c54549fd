"""A trainer on PyTorch and a Hugging Face model, in one process.

It holds fp32 master weights, optimizer state and, if asked, frozen reference weights.  A global batch is cut into
micro-batches; each contributes a sum divided by totals of the global batch, so the cut changes nothing but rounding.
The loss comes from the algorithm; nothing here knows which.

Shape letters: T tokens of the global batch, M predicted tokens of one micro-batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.algorithm import AlgorithmParams, TaughtParams
from compiler.ir.loss import DistillationLoss
from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.training import Optim, PolicyTrain, Train
from runtime.engines.architecture import architecture
from runtime.engines.train.chunked_divergence import Side
from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats, token_stats
from runtime.engines.train.forward import accumulated, cut, hidden_states, node_states, totals_of
from runtime.engines.train.hf_model import build_model, check_names_and_shapes, held_weights
from runtime.engines.train.loss_terms import (
    Predicted,
    loss_of,
    loss_temperature,
    not_finite,
    nothing_to_learn,
    sampling_temperature,
    without,
)
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.packed_batch import PackedBatch, pack, predictable
from runtime.engines.train.prediction import Prediction
from runtime.engines.train.routing import Routing, check_recorded
from runtime.engines.train.teacher import Teacher, divergence_terms, other_teacher
from runtime.logprob_gap import GapMeter
from stdlib.algorithms._terms import (
    Algorithm,
    LossOutput,
    MetricSum,
    Totals,
)
from stdlib.samples import TrainBatch

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel


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

    Raises: SpecError RLC0640 if weights do not fit their model.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        algorithm: Algorithm,
        weights: Mapping[str, Tensor],
        teacher: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._spec = spec
        self._algorithm = algorithm
        self._policy = build_model(spec.model, weights)
        self._reference: CausalModel | None = None
        if spec.keep_reference:
            self._reference = copy.deepcopy(self._policy).requires_grad_(False)
            del self._reference.model.layers[spec.model.num_layers :]  # those that predict further tokens
        if isinstance(spec.train.mtp, Off):
            self._policy.model.layers[spec.model.num_layers :].requires_grad_(False)
        self._teacher: Teacher | None = None
        if isinstance(spec.params, TaughtParams) and teacher is not None:
            self._teacher = Teacher(spec.params.teacher, teacher)
        # Behind the copy, which chooses for itself: a reference is never replayed.
        self._replayed = spec.train.routing_replay if isinstance(spec.train, PolicyTrain) else OFF
        experts = architecture(spec.model).experts
        self._routing: Routing | None = None
        if experts is not None and not isinstance(self._replayed, Off):
            self._routing = Routing(self._policy, experts)
        trained = {name: p for name, p in self._policy.named_parameters() if p.requires_grad}
        self._optimizer = Optimizer(spec.optim, trained)
        is_bf16 = spec.train.precision == "bf16"
        self._head = HeadSpec(
            chunk=spec.train.vocab_chunk,
            temperature=loss_temperature(spec),
            matmul_dtype=torch.bfloat16 if is_bf16 else torch.float32,
        )
        self._prediction: Prediction | None = None
        if not isinstance(spec.train.mtp, Off):
            self._prediction = Prediction(self._policy, spec.train, spec.train.mtp, head=self._head, heads=self._heads)

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return [T] float32 log-probs of each token given those before it; 0 at the first token of each sequence.

        The policy's tokens visit the experts that the batch names, if routing is replayed; all other models choose.

        Raises: SpecError RLC0643 if there is no such model; RLC0642 if a sequence is above the token budget.
        """
        if of == "teacher":
            model, heads = (None, self._heads) if self._teacher is None else (self._teacher.model, self._teacher.heads)
        else:
            model, heads = self._policy if of == "policy" else self._reference, self._heads
        if model is None:
            raise SpecError(without(of))
        wanted_T = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)
        found_T = torch.zeros_like(batch.mask_T, dtype=torch.float32)
        with torch.no_grad():
            for sequences in cut(batch, self._spec):
                packed = pack(batch, sequences, wanted_T, heads=heads)
                if packed is not None:
                    found_T[packed.tokens_M] = self._forward(model, packed).logprobs_M
        return found_T

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with the policy's log-probs as old ones, and with the experts of this pass if they are what
        is replayed.
        """
        if self._routing is None or self._replayed != "trainer":
            return replace(batch, old_logprobs_T=self.logprobs(batch, of="policy"))
        with self._routing.recording(batch.tokens_T.shape[0]) as expert_ids_TLC:
            old_T = self.logprobs(replace(batch, expert_ids_TLC=None), of="policy")
        return replace(batch, old_logprobs_T=old_T, expert_ids_TLC=expert_ids_TLC)

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
        shares = (
            self._share(batch, packed, counted, gap)
            for sequences in cut(batch, self._spec)
            if (packed := pack(batch, sequences, wanted_T, heads=self._heads)) is not None
        )
        loss, means = accumulated(shares, totals)
        metrics = self._optimizer.update(loss, means, role="train", not_finite=not_finite)
        return metrics | gap.metrics() | {"train/num_tokens": float(totals.num_tokens)}

    def refresh_reference(self) -> None:
        """Let the reference take over the policy's weights.  Raises: SpecError RLC0643 if there is no reference."""
        if self._reference is None:
            raise SpecError(without("reference"))
        with torch.no_grad():
            live = held_weights(self._policy)
            for name, kept in held_weights(self._reference).items():
                kept.copy_(live[name])

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the live policy weights by their Hugging Face names, fp32; a tied head is not repeated."""
        for name, tensor in held_weights(self._policy).items():
            yield name, tensor.detach()

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by flat names.

        `model.<name>`, `reference.<name>` (where kept), `optim.step`, `optim.<moment>.<name>`; of a teacher, which
        never changes, only `teacher.sha256`.
        """
        return {name: live.detach().clone() for name, live in self._live_state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned; from here on training continues bit by bit as it would have.

        Raises: SpecError RLC0644 if names or shapes differ from this trainer's own, RLC0654 if the teacher does.
        """
        live = self._live_state()
        shapes = {name: tensor.shape for name, tensor in live.items()}
        check_names_and_shapes(shapes, state, code="RLC0644", what="the checkpoint does not fit the trainer")
        with torch.no_grad():
            for name, tensor in live.items():
                if name == "teacher.sha256" and not torch.equal(tensor, state[name]):
                    raise SpecError(other_teacher())
                if not name.startswith("optim."):
                    tensor.copy_(state[name])
            own = {name.removeprefix("optim."): t for name, t in state.items() if name.startswith("optim.")}
            self._optimizer.load_state(own)

    def _live_state(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {f"model.{n}": t for n, t in held_weights(self._policy).items()}
        if self._reference is not None:
            found |= {f"reference.{n}": t for n, t in held_weights(self._reference).items()}
        if self._teacher is not None:
            found["teacher.sha256"] = self._teacher.sha256
        return found | {f"optim.{n}": t for n, t in self._optimizer.state().items()}

    @property
    def _heads(self) -> Heads:
        return Heads(self._spec.model.num_heads, self._spec.model.num_kv_heads)

    def _forward(self, model: CausalModel, packed: PackedBatch) -> TokenStats:
        hidden_MD = hidden_states(model, packed, self._spec.train, self._routing if model is self._policy else None)
        return token_stats(hidden_MD, model.lm_head.weight, packed.targets_M, spec=self._head)

    def _share(self, batch: TrainBatch, packed: PackedBatch, counted: _Counted, gap: GapMeter) -> LossOutput:
        """The loss of a micro-batch, that of further tokens included."""
        if not isinstance(self._replayed, Off):
            check_recorded(packed, replayed=self._replayed)
        nodes_UD = node_states(self._policy, packed, self._spec.train, self._routing)
        hidden_MD = nodes_UD.index_select(0, packed.sources_M)
        if isinstance(self._spec.params.loss, DistillationLoss):
            output = self._distillation(hidden_MD, batch, packed, counted.totals, gap)
        else:
            output = self._loss(hidden_MD, batch, packed, counted.totals, gap)
        if self._prediction is None:
            return output
        return self._prediction.added_to(output, packed, nodes_UD, counted.further, counted.totals)

    def _loss(
        self, hidden_MD: Tensor, batch: TrainBatch, packed: PackedBatch, totals: Totals, gap: GapMeter
    ) -> LossOutput:
        stats = token_stats(hidden_MD, self._policy.lm_head.weight, packed.targets_M, spec=self._head)
        predicted = Predicted(stats, packed.tokens_M, packed.sequence_M)
        output = loss_of(self._spec, self._algorithm, batch, predicted, totals, gap)
        if self._routing is None:
            return output
        rerouted = MetricSum(self._routing.rerouted(packed).sum(), "tokens")
        return LossOutput(output.loss, {**output.metrics, "rerouted_frac": rerouted})

    def _distillation(
        self, hidden_MD: Tensor, batch: TrainBatch, packed: PackedBatch, totals: Totals, gap: GapMeter
    ) -> LossOutput:
        loss = self._spec.params.loss
        if self._teacher is None or not isinstance(loss, DistillationLoss):
            raise SpecError(without("teacher"))
        if batch.compared_T is not None:
            sampled = self._head._replace(temperature=sampling_temperature(self._spec))
            with torch.no_grad():
                stats = token_stats(hidden_MD, self._policy.lm_head.weight, packed.targets_M, spec=sampled)
            at = packed.tokens_M
            gap.add(stats.logprobs_M, batch.rollout_logprobs_T[at], batch.compared_T[at])
        student = Side(hidden_MD, self._policy.lm_head.weight)
        teacher = self._teacher.side(packed, self._spec.train, heads=self._heads)
        terms = divergence_terms(loss, student, teacher, spec=self._head, sequence_M=packed.sequence_M)
        return self._algorithm.loss(self._spec.params, terms, totals)
