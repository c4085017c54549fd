"""Any texts as expressions: one a line, `path = EXPRESSION` as a reference, others as requirements and as a policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from compiler.ir.spec_tables import spec_keys
from tests.fuzz import seeds
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue, written

_MOST_LINES = 12
_SEEDS = """
train.global_batch = rollout.prompts_per_step * rollout.samples_per_prompt
optim.warmup_steps = optim.total_steps // 10
rollout.max_response_tokens = model.max_position_tokens // 4 - rollout.max_prompt_tokens
optim.lr = 1 / 1000 if loss.clip_low < 0.3 else 1e-6
rollout.samples_per_prompt = min([8, 2 * 4], key = 1)
rollout.sampling.temperature = float("0.5") + 0.5
rollout.samples_per_prompt == 2 * rollout.prompts_per_step
rollout.samples_per_prompt % 2 == 0 and not (train.global_batch < 4 or algo.name != "grpo")
all([s.run.max_steps > 0 for s in stages]) and len(stages) == 1
sum([x * x for x in range(4) if x % 2]) == 10
3 * train.global_batch + 7 == 2 * rollout.prompts_per_step / 5
rollout.samples_per_prompt * rollout.samples_per_prompt == 64
model.num_heads // model.num_kv_heads in [1, 2, 4, 8]
str(model.family)[0:2] + "x" == "qwx" or bool(max(1, 2) - abs(-3))
stages["case"].run.max_steps == 10 if loss.kl != "off" else any([True, None])
forecast.weight_bytes <= 200 << 20 | 1 ^ ~5
"""


def check(data: bytes) -> None:
    """Compile a spec that holds the expressions, and one whose policy they are."""
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()][:_MOST_LINES]
    keys = _keys()
    settings: list[str] = []
    conditions: list[str] = []
    for line in lines:
        path, sign, text = line.partition("=")
        if sign and path.strip() in keys and not text.startswith("="):
            settings.append(f"{path.strip()} = {_literal('${' + text.strip() + '}')}")
        else:
            conditions.append(line.strip())
    base = (Path("one_stage.toml")).read_text(encoding="utf-8")
    requires = ", ".join(f'{{ that = {_literal(text)}, why = "so" }}' for text in conditions)
    spec = written("spec.toml", f"require = [{requires}]\n{base}".encode())
    sound(spec, catalogue(), [setting.replace(" = ", "=", 1) for setting in settings])
    policy = "".join(f"require({json.dumps(text)}, 'so')\n" for text in conditions)
    with_policy = catalogue()._replace(policies=(written("policy_of_test.star", policy.encode()),))
    sound(Path("one_stage.toml"), with_policy)


def words() -> tuple[str, ...]:
    """Return what expressions hold."""
    return (*seeds.words_of_starlark(), *seeds.words_of_specs())


@cache
def _keys() -> frozenset[str]:
    return frozenset(spec_keys(catalogue()))


def _seeds() -> Iterator[bytes]:
    lines = _SEEDS.strip().splitlines(keepends=True)
    yield from (line.encode() for line in lines)
    yield "".join(lines).encode()


def _literal(text: str) -> str:
    """A text in TOML: as it is where single quotes can hold it, so that parts of it have places."""
    return f"'{text}'" if text.isprintable() and "'" not in text else json.dumps(text)


TARGET = Target(check, _seeds, words, 2 * CPU_S)
