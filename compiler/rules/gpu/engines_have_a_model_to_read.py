"""Engines have a model to read.

What: a rollout engine on GPUs is started on a folder with a model's config.json: that of the weights, or `model.hf`
where training starts from random ones.
The native engine reads its network from the plan, and its weights from the trainer.
Why it matters: SGLang and vLLM build their network from a config.json and know no facts of a plan; without one
they stop when all GPUs are already taken.
Example: `model.name = "//models:qwen3_4b"` with `model.weights = "random"` on target cuda.
Fix: set `model.hf` to a folder with the model's config.json and tokenizer, or start from weights of a folder.
Source: ENV-05; SGLang's `--model-path`, vLLM's positional argument.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.planner.engine_settings import samples

CODE = "RLC0541"
ID = "ENV-05"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report random weights without a folder that describes them."""
    model = subject.experiment.model
    if model.weights != "random" or not isinstance(model.hf, Off):
        return
    for stage in subject.stages():
        if samples(stage) and not isinstance(stage.stage.rollout, Off):
            engine = stage.stage.rollout.engine.name
            if engine == "native":
                continue
            yield Diagnostic(
                CODE,
                f"{engine} reads its model from a folder, and random weights have none",
                subject.labels(("cluster.target", f"where {engine} generates"), ("model.weights", "in no folder")),
                (
                    Help(
                        'set model.hf to a folder with the model\'s config.json, such as model.hf = "checkpoints/base"'
                    ),
                ),
                rule=ID,
                paths=("model.weights", "model.hf"),
            )
            return
