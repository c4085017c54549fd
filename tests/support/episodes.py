"""Episodes without a spec: an environment that is opened, an engine, prompts, and the groups that come of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Never, cast

from compiler.compile import compile_spec
from compiler.ir.experiment import Stage
from rlc.catalogue import scan
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.environments.episodes import Episodes
from runtime.environments.opened import OpenEnvironment, open_environment
from runtime.protocols import DrawKey, RolloutEngine
from runtime.rollouts import RolloutWorker
from stdlib.samples import Group, JsonValue, Prompt
from tests.contract.rollout_engines import PLAIN
from tests.support.good_spec import GRPO, spec_text

BYTES = ByteTokenizer()
KEY = DrawKey(seed=5, stage=0, step=2, group=10)


def opened(folder: Path, environment: str, *, reward: str = "exact") -> OpenEnvironment:
    """Return the environment of a spec with these lines below [environment]."""
    text = spec_text({"rollout.max_prompt_tokens": "64", "reward.name": f'"{reward}"'}, base=GRPO)
    spec = folder / "spec.toml"
    spec.write_text(f"{text}\n[environment]\nmax_observation_tokens = 200\n{environment}\n", encoding="utf-8")
    found = compile_spec(spec, scan())
    assert found.plan is not None, [d.message for d in found.diagnostics]
    stage = cast(Stage[Never], found.plan.experiment.stages[0])
    environment_of = open_environment(stage, root=folder)
    assert environment_of is not None
    return environment_of


def chat(text: str, tools: Sequence[Any] = (), *, metadata: JsonValue = None, row: int = 0) -> Prompt:
    """Return a prompt of one user message, as bytes."""
    messages = ({"role": "user", "content": text},)
    whole = BYTES.chat_text(messages, tools)
    tokens = BYTES.encode(whole)
    return Prompt(
        row=row, source=f"d:{row + 1}", text=whole, tokens=tokens, label="", messages=messages, metadata=metadata
    )


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many episodes, how long, and what for."""

    num_samples: int = 1
    max_new_tokens: int = 200
    max_context_tokens: int = 4000
    is_evaluation: bool = False


class Lived(NamedTuple):
    """Groups of episodes, unjudged, and what was counted."""

    groups: list[Group]
    metrics: dict[str, float]


def lived(
    environment: OpenEnvironment, engine: RolloutEngine, prompts: Sequence[Prompt], sizes: Sizes | None = None
) -> Lived:
    """Return a group of each prompt."""
    sizes = sizes or Sizes()
    episodes = Episodes(
        environment,
        engine,
        BYTES,
        max_context_tokens=sizes.max_context_tokens,
        is_evaluation=sizes.is_evaluation,
    )
    worker = RolloutWorker(engine, BYTES, None, stop_token_ids=frozenset((BYTES.eos_token_id,)), episodes=episodes)
    taken = worker.groups(
        prompts,
        first_key=KEY,
        num_samples=sizes.num_samples,
        max_new_tokens=sizes.max_new_tokens,
        sampling=PLAIN,
    )
    return Lived(asyncio.run(taken), episodes.take_metrics())
