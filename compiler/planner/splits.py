"""What of a model tensor parallelism splits, and whether it comes out even."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.model import Model
from compiler.ir.openness import Auto, Off
from compiler.ir.subject import Subject


def trainers_copy_heads(subject: Subject) -> bool:
    """Whether all engines that train can copy a key and value head to several GPUs."""
    return engines_copy_heads(subject.experiment, subject.catalogue)


def engines_copy_heads(experiment: Experiment[Auto], catalogue: Catalogue) -> bool:
    """Whether all engines that train an experiment can."""
    target = catalogue.load_target(experiment.cluster.target)
    return all(stage.train.engine.name in target.copies_heads for stage in experiment.stages)


def heads_split(model: Model[object], ways: int, *, copies: bool = True) -> bool:
    """Whether every GPU gets the same query heads, and the same key and value heads or a copy of one.

    Latent attention has one narrow vector instead of key and value heads, which every GPU holds.

    Args:
        copies: whether the engine can copy a head to several GPUs.
    """
    kv = model.num_kv_heads
    shares = kv % ways == 0 or (copies and ways % kv == 0) or not isinstance(model.mla, Off)
    return model.num_heads % ways == 0 and shares


def split_widths(model: Model[object], ways: int, expert_ways: int) -> list[tuple[str, str, int, int]]:
    """Return what else is split, as (fact, what it is, its size, over so many GPUs); a layer that is not there is not.

    Args:
        expert_ways: over how many GPUs one routed expert is split.
    """
    found: list[tuple[str, str, int, int]] = []
    moe, linear = model.moe, model.linear_attention
    if isinstance(moe, Off) or moe.num_dense_layers:
        found.append(("model.intermediate_size", "inner channels", model.intermediate_size, ways))
    if not isinstance(moe, Off):
        found.append(("model.moe.expert_size", "channels of an expert", moe.expert_size, expert_ways))
        if not isinstance(moe.shared_expert_size, Off):
            shared = moe.shared_expert_size
            found.append(("model.moe.shared_expert_size", "channels of the shared expert", shared, ways))
    if not isinstance(linear, Off):
        keys, values = linear.num_key_heads, linear.num_value_heads
        found.append(("model.linear_attention.num_key_heads", "key heads of a delta net", keys, ways))
        found.append(("model.linear_attention.num_value_heads", "value heads of a delta net", values, ways))
    return found
