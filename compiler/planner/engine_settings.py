"""What a stage hands to its engines by their own names, as the rules about it read them."""

from __future__ import annotations

from compiler.ir.openness import Off
from compiler.ir.options import settings_given
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject


def samples(stage: StageSubject) -> bool:
    """Whether a stage has a rollout engine, be it for evaluation only."""
    return not isinstance(stage.stage.rollout, Off)


def path_of(stage: StageSubject, role: str, key: str) -> str:
    """Return the path, within the stage, of a setting of its engine: `rollout.engine.vllm.quantization`."""
    return f"{role}.engine.{read(stage.stage, f'{role}.engine.name')}.{key}"


def setting_of(stage: StageSubject, role: str, key: str) -> object:
    """Return a setting that the stage gives to its engine of this role, or None where it gives none."""
    if role == "rollout" and not samples(stage):
        return None
    return settings_given(read(stage.stage, f"{role}.engine")).get(key)


def number_of(stage: StageSubject, role: str, key: str) -> float | None:
    """Return a setting that is a number, or None."""
    value = setting_of(stage, role, key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def expert_ways(stage: StageSubject, gpus: int) -> int:
    """Return over how many GPUs of a rollout engine one expert is split; whole experts are on GPUs of their own."""
    if setting_of(stage, "rollout", "enable_expert_parallel") is True:
        return 1
    groups = number_of(stage, "rollout", "ep_size")
    return max(1, gpus // int(groups)) if groups else gpus
