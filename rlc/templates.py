"""The files that `rlc new` writes: small, commented, and right as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.fixes.starlark import starlark_literal

_COMMENT_AT = 32


class Setting(NamedTuple):
    """A field of an experiment: its key, its value as JSON has it, and why."""

    key: str
    value: object
    why: str = ""


class Section(NamedTuple):
    """A table of an experiment; `is_list` where it is an element of a list of tables."""

    name: str
    settings: tuple[Setting, ...]
    is_list: bool = False


class Choices(NamedTuple):
    """What `rlc new experiment` is asked for; `recipe` and `model` are labels.

    `samples` says whether the recipe's algorithm learns from samples, `by_each_reward` whether it compares them by each
    of several rewards, `is_taught` whether a teacher takes the place of rewards.
    """

    name: str
    recipe: str
    model: str
    target: str
    gpus: str
    samples: bool
    by_each_reward: bool = False
    is_taught: bool = False


def experiment_sections(choices: Choices) -> tuple[Section, ...]:
    """Return the tables of a new experiment."""
    model = choices.model.rpartition(":")[2]
    is_tiny = model.startswith("tiny_")
    weights = () if is_tiny else (Setting("weights", f"checkpoints/{model}", "the directory of the model"),)
    machine = [Setting("target", choices.target)]
    if choices.gpus:
        machine += [Setting("nodes", 1), Setting("gpus_per_node", choices.gpus)]
    sections = [
        Section("model", (Setting("name", choices.model), *weights)),
        Section("cluster", tuple(machine)),
    ]
    if choices.samples:
        sections += [
            Section(
                "rollout",
                (
                    Setting("prompts_per_step", 256 if choices.is_taught else 32),
                    Setting("samples_per_prompt", 1 if choices.is_taught else 8, _group(choices)),
                    Setting("max_response_tokens", 32 if is_tiny else "1Ki"),
                ),
            ),
            _judging(choices, weights),
        ]
    of_rollout = f"{'256 x 1' if choices.is_taught else '32 x 8'}, one step a rollout"
    batch = f"samples of one optimizer step: {of_rollout}" if choices.samples else "rows of one step"
    return (
        *sections,
        Section("train", (Setting("global_batch", 256, batch),)),
        Section("run", (Setting("max_steps", 100),)),
        Section("data.train", (Setting("path", "train.jsonl", "one JSON object a line"),), is_list=True),
    )


def _group(choices: Choices) -> str:
    return "completions of each prompt" + ("" if choices.is_taught else ", compared with each other")


def _judging(choices: Choices, weights: tuple[Setting, ...]) -> Section:
    """What says which completions are good."""
    if not choices.is_taught:
        return Section("reward", _reward(choices))
    name = Setting("name", choices.model, "a larger model that reads the same tokens")
    return Section("teacher", (name, *(weights or (Setting("weights", "random", "or the directory of the teacher"),))))


def _reward(choices: Choices) -> tuple[Setting, ...]:
    if not choices.by_each_reward:
        return (Setting("name", "exact", "or a function of yours: file.py:function"),)
    terms = [{"name": "exact"}, {"name": "format"}]
    return (Setting("name", "weighted_sum"), Setting("terms", terms, "each compared by itself"))


def _toml(value: object) -> str:
    """A value as TOML has it: a text, a number, or a list of tables of these."""
    if isinstance(value, list):
        rows = (", ".join(f"{key} = {json.dumps(one)}" for key, one in row.items()) for row in value)
        return f"[{', '.join(f'{{ {row} }}' for row in rows)}]"
    return json.dumps(value)


def toml_experiment(choices: Choices) -> str:
    """Return a new experiment in TOML."""
    lines = [
        f"# {choices.name}: what it asks, in a sentence.",
        f"# See what it means: rlc plan {choices.name}.toml",
        "",
        "rlc = 1",
        f"name = {json.dumps(choices.name)}",
        f'use = ["{choices.recipe}"]',
    ]
    for section in experiment_sections(choices):
        lines += ["", f"[[{section.name}]]" if section.is_list else f"[{section.name}]"]
        for key, value, why in section.settings:
            lines.append(_commented(f"{key} = {_toml(value)}", why))
    return "\n".join([*lines, ""])


def starlark_experiment(choices: Choices, *, has_function: bool) -> str:
    """Return a new experiment in Starlark.

    Args:
        has_function: whether the recipe is a function, so that its parameters can be given.
    """
    name = choices.recipe.rpartition(":")[2]
    recipe = f"{name}()" if has_function else f'"{choices.recipe}"'
    lines = [
        f'"""{choices.name}: what it asks, in a sentence."""',
        "",
        *([f'load("{choices.recipe}.star", "{name}")', ""] if has_function else []),
        "experiment(",
        f"    name = {json.dumps(choices.name)},",
        f"    use = [{recipe}],",
    ]
    for section in experiment_sections(choices):
        lines += _starlark_section(section)
    return "\n".join([*lines, ")", ""])


def reward_file(name: str) -> str:
    """Return a reward of the user's own."""
    return f'''"""What a response is worth.  A spec names it: reward.name = "{name}.py:reward"."""


def reward(sample):
    """Return a number for one sample: `sample.text` is the response, `sample.prompt.label` what its row expects."""
    return 1.0 if str(sample.prompt.label) in sample.text else 0.0
'''


def rule_file(name: str, code: str) -> str:
    """Return a rule that holds runs to a million steps: the three lines marked are to be replaced."""
    phrase = name.replace("_", " ")
    return f'''"""{phrase[:1].upper()}{phrase[1:]}.

What: a stage takes at most a million steps.
Why it matters: say what is lost when an experiment breaks the rule, and where that was seen.
Example: `[run] max_steps = 2_000_000`.
Fix: `run.max_steps = 1_000_000`.
Source: a paper, an issue, or a measurement.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.openness import Auto
from compiler.ir.subject import Subject

CODE = "{code}"
ID = ""

_FIELD = "run.max_steps"  # 1. the field that the rule is about
_MOST = 1_000_000


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages that break the rule."""
    for stage in subject.stages():
        value = stage.stage.run.max_steps  # 2. its value
        if not isinstance(value, Auto) and value > _MOST:  # 3. what must not be
            yield Diagnostic(
                CODE,
                f"{{stage.shown(_FIELD)}} = {{value:,}} is more than {{_MOST:,}}",
                stage.labels((_FIELD, f"at most {{_MOST:,}}")),
                (stage.fix(_FIELD, _MOST),),
                rule=ID,
                paths=(stage.path(_FIELD),),
            )
'''


def rule_case() -> str:
    """Return a spec that breaks the rule of `rule_file`."""
    choices = Choices("case", "//recipes:grpo", "//models:tiny_qwen3", "cpu", "", samples=True)
    text = toml_experiment(choices).replace("max_steps = 100\n", "max_steps = 2_000_000\n")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")).lstrip("\n")


def rule_test(name: str, code: str) -> str:
    """Return the test of the rule of `rule_file`."""
    return f'''"""{code}: {name.replace("_", " ")}."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import codes


def test_the_last_value_that_is_fine_and_the_first_that_is_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {{"run.max_steps": "1_000_000"}}) == []
    assert codes(tmp_path, {{"run.max_steps": "1_000_001"}}) == ["{code}"]
'''


def next_free_code(rules: Path, pages: Path, phase: str = "RLC03") -> str:
    """Return the code after the highest one of a phase that the rules and the pages have."""
    texts = [path.read_text(encoding="utf-8") for path in rules.rglob("*.py")]
    used = [int(text[at + 4 : at + 7]) for text in texts for at in _found(text, f'"{phase}')]
    used += [int(path.stem[4:]) for path in pages.glob(f"{phase}*.md")]
    return f"RLC{max(used, default=int(phase[4:]) * 100) + 1:04}"


def _found(text: str, part: str) -> Sequence[int]:
    return [at for at in range(len(text)) if text.startswith(part, at)]


def _starlark_section(section: Section) -> list[str]:
    name, _, inner = section.name.partition(".")
    given = ", ".join(f"{key} = {starlark_literal(value)}" for key, value, _ in section.settings)
    if section.is_list:
        return [f"    {name} = dict({inner} = [dict({given})]),"]
    if len(section.settings) == 1:
        return [_commented(f"    {name} = dict({given}),", section.settings[0].why)]
    lines = [_commented(f"        {key} = {starlark_literal(value)},", why) for key, value, why in section.settings]
    return [f"    {name} = dict(", *lines, "    ),"]


def _commented(line: str, why: str) -> str:
    return f"{line:<{_COMMENT_AT - 2}}  # {why}" if why else line
