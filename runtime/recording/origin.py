"""What a recording was made with, as far as training on it depends on that.

Another learning rate, loss or batch may be tried on the same rollouts; another model, tokenizer, number of samples or
distribution may not: tokens, groups and log-probs would mean something else.  Nor can experts be replayed that nobody
recorded.  What else the rollout was made with leaves its samples what they are; it is known, and told where it differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Never

from compiler.ir.algorithm import GreedyBaselineAlgo
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Off
from compiler.ir.paths import leaves
from compiler.ir.record import Record
from compiler.ir.rollout import Rollout
from compiler.ir.training import PolicyTrain
from runtime.data.huggingface_tokenizer import HuggingFaceTokenizer
from runtime.data.tokenizers import TextTokenizer
from runtime.rewards.open_terms import label_of
from stdlib.samples import JsonValue

Origin = Mapping[str, JsonValue]

_EXPERTS = "experts that the engine chose"
# What a model is called says nothing of what it is.
_LABELS = ("name", "hf", "tokenizer.name")


def origin_of(experiment: Experiment[Never], stage: Stage[Never], tokenizer: TextTokenizer) -> dict[str, JsonValue]:
    """Return what has to be the same, by paths of the plan where it has one."""
    facts = {path: _plain(value) for path, value in leaves(experiment.model) if path not in _LABELS}
    found: dict[str, JsonValue] = {f"model.{path}": value for path, value in facts.items()}
    if experiment.model.weights == "random":
        found["run.seed"] = experiment.run.seed
    if isinstance(tokenizer, HuggingFaceTokenizer):
        words = json.dumps(tokenizer.vocabulary(), sort_keys=True)
        found["tokenizer"] = f"sha256 {hashlib.sha256(words.encode()).hexdigest()[:16]}"
    rollout = stage.rollout
    if isinstance(rollout, Rollout):
        found["rollout.prompts_per_step"] = rollout.prompts_per_step
        found["rollout.samples_per_prompt"] = rollout.samples_per_prompt
        found |= {f"rollout.sampling.{path}": _plain(value) for path, value in leaves(rollout.sampling)}
    terms = () if isinstance(stage.reward, Off) else (stage.reward.terms or (stage.reward,))
    found["rewards"] = [label_of(term) for term in terms]
    found[_EXPERTS] = isinstance(stage.train, PolicyTrain) and stage.train.routing_replay == "rollout"
    found["greedy responses"] = isinstance(stage.algorithm.algo, GreedyBaselineAlgo)
    return found


def settings_of(stage: Stage[Never], tokenizer: TextTokenizer) -> dict[str, JsonValue]:
    """Return what else a rollout depends on, by paths of the plan where it has one."""
    parts = {"rollout": stage.rollout, "environment": stage.environment, "reward": stage.reward, "data": stage.data}
    found: dict[str, JsonValue] = {}
    for name, part in parts.items():
        if isinstance(part, Record):
            found |= {f"{name}.{path}": _plain(value) for path, value in leaves(part)}
    if isinstance(tokenizer, HuggingFaceTokenizer):
        found["chat template"] = f"sha256 {hashlib.sha256(tokenizer.template_text().encode()).hexdigest()[:16]}"
    return found


def differences(recorded: Origin, wanted: Origin) -> list[str]:
    """Return a line for each thing that is not the same; experts may have been recorded and not be wanted."""
    if not wanted.get(_EXPERTS):
        recorded, wanted = ({n: v for n, v in one.items() if n != _EXPERTS} for one in (recorded, wanted))
    return [
        f"{name} is {_said(recorded, name)} in the recording and {_said(wanted, name)} here"
        for name in sorted(recorded.keys() | wanted.keys())
        if name not in recorded or name not in wanted or recorded[name] != wanted[name]
    ]


def _said(origin: Origin, name: str) -> str:
    return json.dumps(origin[name], ensure_ascii=False) if name in origin else "not said"


def _plain(value: object) -> JsonValue:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str)) else repr(value)
