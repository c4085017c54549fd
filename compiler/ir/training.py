"""[train] and [optim]: how a batch becomes a weight update."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.options import Options
from compiler.ir.record import Record, setting


class SequenceFlops(Record):
    """What a forward pass over a sequence of n tokens costs: n x per_token + n x n x per_pair."""

    per_token: int = setting("FLOPs of one token, whatever stands before it.", unit="FLOPs", ge=0)
    per_pair: int = setting(
        "FLOPs of attention for n tokens over n x n, half of which the causal mask leaves.", unit="FLOPs", ge=0
    )


class Packing(Record, Generic[A]):
    """[train.packing]: sequences laid end to end, without padding."""

    tokens: Tokens | Off | A = setting("Most tokens of one micro-batch.", unit="tokens", ge=1)
    algorithm: Literal[
        "best_fit_decreasing",
        "modified_first_fit_decreasing",
        "first_fit_decreasing",
        "first_fit_shuffle",
        "concatenative",
    ] = setting("Which sequences share a micro-batch.", default="best_fit_decreasing")
    balance: Literal["tokens", "flops"] | Off = setting(
        "What micro-batches are to have the same of, in as many of them as the algorithm needs, or a few more.",
        default=OFF,
    )
    pad_multiple: int = setting(
        "Tokens of which every micro-batch is filled up to a multiple.", default=1, unit="tokens", ge=1
    )
    flops: SequenceFlops | Off | A = setting(
        "What a sequence costs, where FLOPs are balanced.", default=OFF, derived=True
    )


_CHECKPOINTED = ("activation_checkpointing", ("full",))


class Fsdp2(Record):
    """[train.engine.fsdp2]: how torch's fully_shard spreads a model over GPUs, and what it computes twice."""

    activation_checkpointing: Literal["full", "selective"] | Off = setting(
        "What of a layer the backward pass computes again: all of it from its input, or all but the outputs of its "
        "matrix products and of its attention.",
        default=OFF,
    )
    activation_checkpointing_freq: int = setting(
        "One layer of so many is computed again.", default=1, unit="layers", ge=1, read_if=_CHECKPOINTED
    )
    reshard_after_forward: bool | int = setting(
        "Whether a layer's weights are given back after its forward pass and gathered again for the backward pass; a "
        "number keeps them spread over groups of so many GPUs in between.",
        default=True,
    )
    dp_replicate_size: int = setting(
        "Groups of GPUs that hold all of the weights each (HSDP); weights are sharded within a group, gradients summed "
        "over all of them.",
        default=1,
        unit="groups",
        ge=1,
    )
    cpu_offload: bool = setting(
        "Whether weights, gradients and the optimizer's state lie in host memory, where the optimizer runs.",
        default=False,
    )
    pin_memory: bool = setting(
        "Whether that memory is pinned: copies to the GPU then go on beside computing.",
        default=True,
        read_if=("cpu_offload", (True,)),
    )
    reduce_dtype: Literal["float32", "bfloat16"] = setting(
        "Number format in which gradients are summed over GPUs.", default="float32"
    )
    compile: bool = setting("Whether torch.compile fuses the kernels of a layer.", default=False)


class TrainEngine(Record, Generic[A]):
    """[train.engine]: what computes gradients."""

    name: str | A = setting("The engine; the target says which it has.")
    version: str | Off | A = setting(
        "The version; unless it is set, the one that the target pins.  Off for an engine of rlc's own."
    )
    megatron: Options | Off = setting("Settings that Megatron takes by its own names.", default=OFF)
    fsdp2: Fsdp2 | Off = setting(
        "How FSDP2 shards the model and what it computes twice.", default=OFF, read_if=("name", ("fsdp2",))
    )


class MultiTokenPrediction(Record):
    """[train.mtp]: the layers that predict further tokens are trained beside the model."""

    loss_coef: float = setting("Multiplies the mean of their losses, which is added to the loss.", default=0.2, gt=0)
    trains_trunk: bool = setting(
        "Whether their gradients reach the model's own layers, its embedding and its head; else they learn to predict "
        "what the model says, and change nothing of it.",
        default=False,
    )


class Train(Record, Generic[A]):
    """[train]: the optimizer batch and how it is cut."""

    global_batch: int | A = setting(
        "Samples of one optimizer step, over all devices; a pair of answers is one.", unit="samples", ge=1
    )
    micro_batch: int | Off = setting(
        "Samples of one forward and backward pass; instead of the token budget train.packing.tokens.",
        default=OFF,
        unit="samples",
        ge=1,
    )
    packing: Packing[A] = setting("Micro-batches by token budget.")
    precision: Literal["fp32", "bf16"] = setting(
        "Number format of the forward and backward pass; master weights and optimizer state stay fp32.",
        default="fp32",
    )
    vocab_chunk: int | A = setting(
        "Columns of the vocabulary whose logits exist at once when log-probs and entropy are computed.",
        unit="vocabulary entries",
        ge=1,
    )
    engine: TrainEngine[A] = setting("What computes gradients.")
    mtp: MultiTokenPrediction | Off = setting(
        "Training of the layers that predict further tokens; off leaves them in their files.", default=OFF
    )


class PolicyTrain(Train[A]):
    """[train] of a stage that trains on what it samples."""

    steps_per_rollout: int | A = setting(
        "Optimizer steps of one pass over the samples of a rollout.", unit="optimizer steps", ge=1, assumed=1
    )
    epochs_per_rollout: int = setting(
        "Passes over the samples of a rollout, each in an order of its own; advantages, values and old log-probs are "
        "those from before the first.",
        default=1,
        unit="passes",
        ge=1,
    )
    routing_replay: Literal["rollout", "trainer"] | Off = setting(
        "Which experts a token visits when it is trained on: those that it visited when it was sampled, or those of "
        "the trainer's pass for old log-probs; off lets the router choose anew.",
        default=OFF,
    )


class Optim(Record, Generic[A]):
    """[optim]: the update rule and its schedule."""

    name: Literal["adamw", "sgd"] = setting("The update rule.", default="adamw")
    lr: float = setting("Peak learning rate.", gt=0, le=10)
    min_lr: float = setting(
        "Learning rate at the end of the decay.", default=0.0, ge=0, read_if=("schedule", ("linear", "cosine"))
    )
    schedule: Literal["constant", "linear", "cosine"] = setting(
        "How the learning rate falls after the warm-up.", default="constant"
    )
    warmup_steps: int = setting(
        "Optimizer steps over which the learning rate rises from zero.", default=0, unit="optimizer steps", ge=0
    )
    total_steps: int | A = setting(
        "Optimizer steps of the stage: the horizon of the schedule.",
        unit="optimizer steps",
        ge=1,
        on_resume="may_change",
    )
    weight_decay: float = setting("Decoupled weight decay; not applied to vectors.", default=0.0, ge=0)
    beta1: float = setting("Decay of the first moment.", default=0.9, ge=0, lt=1, read_if=("name", ("adamw",)))
    beta2: float = setting("Decay of the second moment.", default=0.999, ge=0, lt=1, read_if=("name", ("adamw",)))
    eps: float = setting("Added to the root of the second moment.", default=1e-8, gt=0, read_if=("name", ("adamw",)))
    momentum: float = setting("Decay of the velocity.", default=0.0, ge=0, lt=1, read_if=("name", ("sgd",)))
    clip_grad_norm: float | Off = setting("Largest norm of the whole gradient.", default=1.0, gt=0)
