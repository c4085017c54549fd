"""The Plan: what will happen, complete, frozen, reviewable.

`freeze` is its only constructor from an experiment, `read_plan` its only one from a file.  The hash covers what
decides results; it leaves out rlc's version, the forecast, log settings, budgets and the run directory.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal, Never
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.canonical import ParamsOf, decode, dump, encode
from compiler.ir.digest import sha256
from compiler.ir.experiment import Experiment
from compiler.ir.json_text import Json
from compiler.ir.openness import OFF, Off
from compiler.ir.record import Record, setting

SCHEMA_VERSION = 1


class PhaseTime(Record):
    """A phase of a step, and how long it takes."""

    name: str = setting("The phase.")
    side: Literal["both", "train", "rollout"] = setting("Whose GPUs it takes.")
    seconds: float = setting("How long.", unit="seconds")


class StageTime(Record):
    """How long a stage takes, by the planner's model of time."""

    phases: tuple[PhaseTime, ...] = setting("The phases of a step, in their order.")
    overlaps: bool = setting("Whether training and sampling work at the same time.")
    step_seconds: float = setting("From one step to the next.", unit="seconds")
    tokens_per_s: float = setting("Tokens that are trained on.", unit="tokens/s")
    tokens_per_s_per_gpu: float = setting("The same, over all GPUs of the cluster.", unit="tokens/s")
    mfu: float = setting("Share of the peak of the GPUs that train, while they train, which the model's FLOPs are.")
    evaluations: int = setting(
        "How often the stage is measured on held-out prompts; none where no set says how many prompts it has.",
        default=0,
        unit="evaluations",
    )
    evaluation_seconds: float = setting("Of one evaluation.", default=0.0, unit="seconds")
    gpu_hours: float = setting("Of all GPUs, for all steps and evaluations of the stage.", unit="GPU-hours")
    usd: float | Off = setting("What they cost, where a price is given.", unit="USD")


class StageForecast(Record):
    """What is predicted of one stage.  Outside the hash: a better prediction is not another plan."""

    stage: str = setting("The stage.")
    kv_cache_bytes: int = setting("Keys and values that the engine holds at once.", unit="bytes")
    max_sampled_tokens: int = setting("Tokens sampled, if every response were as long as allowed.", unit="tokens")
    time: StageTime | Off = setting(
        "How long it takes; off where the target has no GPUs, or where only data says how long rows are.", default=OFF
    )


class Forecast(Record):
    """What is predicted of a run.  Outside the hash; bytes are of one GPU where the target has GPUs."""

    parameters: int = setting("Numbers in the model.", unit="parameters")
    active_parameters: int = setting("Those that one token passes through.", unit="parameters")
    weight_bytes: int = setting("The trainer's weights.", unit="bytes")
    gradient_bytes: int = setting("Gradients.", unit="bytes")
    optimizer_bytes: int = setting("Optimizer state of the most demanding stage.", unit="bytes")
    critic_bytes: int = setting(
        "Weights, gradients and optimizer state of a critic, where a stage has one.", unit="bytes"
    )
    reference_bytes: int = setting("Weights of the reference model, where a stage needs one.", unit="bytes")
    teacher_bytes: int = setting("Weights of a teacher, where a stage has one.", unit="bytes")
    engine_weight_bytes: int = setting("The rollout engine's copy of the weights.", unit="bytes")
    stages: tuple[StageForecast, ...] = setting("Stage by stage.")


class Plan(Record):
    """A resolved experiment and what is predicted of it."""

    experiment: Experiment[Never] = setting("What will happen.")
    forecast: Forecast = setting("What is predicted.", in_hash=False)

    @property
    def hash(self) -> str:
        """The identity of the plan: 64 hexadecimal digits that reformatting a spec cannot change."""
        text = dump({"schema_version": SCHEMA_VERSION, "experiment": encode(self.experiment, hashed_only=True)})
        return sha256(text.encode()).hexdigest()

    def to_json(self) -> Json:
        """Return the document that is saved as plan.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hash": self.hash,
            "experiment": encode(self.experiment),
            "forecast": encode(self.forecast),
        }

    def to_text(self) -> str:
        """Return plan.json as text."""
        return dump(self.to_json())


def read_plan(text: str, *, name: str, params_of: ParamsOf) -> Plan:
    """Return the plan that a file holds.

    Args:
        name: the file's name, for messages.
        params_of: the Params record of an algorithm, by name.

    Raises: SpecError RLC0020 if the text is no plan of this version, or was edited by hand.
    """
    import json

    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise _not_a_plan(name, f"it is not JSON ({fault})") from fault
    if not isinstance(data, dict) or not isinstance(data.get("experiment"), dict):
        raise _not_a_plan(name, "it has no experiment in it")
    if not isinstance(data.get("forecast"), dict):
        raise _not_a_plan(name, "it has no forecast in it")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise _not_a_plan(name, f"its schema_version is {data.get('schema_version')!r}, this is {SCHEMA_VERSION}")
    try:
        plan = Plan(
            experiment=decode(Experiment, data["experiment"], params_of=params_of),
            forecast=decode(Forecast, data["forecast"], params_of=params_of),
        )
        found = plan.hash  # numbers that are not finite, and halves of surrogate pairs, have none
    except (ValueError, AttributeError, KeyError, OverflowError, RecursionError) as fault:
        raise _not_a_plan(name, str(fault)) from fault
    if data.get("hash") != found:
        raise _not_a_plan(name, f"its hash is {str(data.get('hash'))[:12]}, its content has {found[:12]}")
    return plan


def _not_a_plan(name: str, why: str) -> SpecError:
    return SpecError(Diagnostic("RLC0020", f"{name} is not a plan that can be run: {why}"))
