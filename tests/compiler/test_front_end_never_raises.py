"""Whatever stands in a spec, compiling it ends in a plan or in diagnostics that can be shown, and does so again."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compiler.compile import Compiled, compile_spec
from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.json_ import render_json
from compiler.diagnostics.text import render
from compiler.ir.spec_tables import spec_keys
from rlc.catalogue import scan

CATALOGUE = scan()
# Each example compiles a whole spec, twice: a third of the examples keeps the suite quick, in every profile.
FEWER = settings(max_examples=max(1, settings().max_examples // 3))
PATHS = sorted(spec_keys(CATALOGUE))

GRPO = """rlc = 1
name = "case"
use = ["//recipes:grpo"]
until = "eval.heldout.accuracy >= 0.5"

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 8
max_prompt_tokens = 32
max_response_tokens = "0.25Ki"
max_context_tokens = 512

[rollout.sampling]
top_p = 0.9

[reward]
name = "rewards.py:near"
timeout_s = "30s"

[train]
global_batch = 8
packing = { tokens = 4096 }

[loss]
old_logprobs = "recompute"
kl = { estimator = "k3", coef = 0.01 }

[optim]
schedule = "cosine"
warmup_steps = 2
total_steps = 40

[[eval.sets]]
name = "heldout"
path = "heldout.jsonl"

[[data.train]]
path = "train.jsonl"
"""
STAGES = """name = "case"
model.hf = "tiny"
cluster.target = "cpu"
reward.name = "exact"
rollout.max_response_tokens = 16
data.train = [{ path = "train.jsonl" }]

[[stages]]
name = "sft"
use = ["//recipes:sft"]
run.max_steps = 20
train.global_batch = 16

[[stages]]
name = "grpo"
use = ["//recipes:grpo", "base.toml"]
run.max_steps = 10
train.global_batch = 32
rollout.prompts_per_step = 4
rollout.samples_per_prompt = 8
"""
CONFIG = {
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 52,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}
REWARDS = "def near(sample):\n    return 0.0\n"

WORDS = [
    "auto",
    "off",
    "",
    "8k",
    "8Ki",
    "30s",
    "random",
    "cpu",
    "grpo",
    "sft",
    "//models:tiny_qwen3",
    "//",
    "a:b",
    "x.py:f",
]
SCALARS = st.one_of(
    st.integers(-3, 40).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.sampled_from(
        ["true", "false", "nan", "-inf", "1e400", "0.5", "2026-01-01", "07:30:00", "[]", "{}", "'''a\nb'''"]
    ),
    st.sampled_from(WORDS).map(json.dumps),
    st.text(max_size=6).map(json.dumps),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        inner.map(lambda value: f"{{ name = {value} }}"),
        inner.map(lambda value: f'[{{ path = "a", name = {value} }}]'),
    ),
    max_leaves=4,
)
PAIRS = st.tuples(st.sampled_from(PATHS), VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}")
OVERRIDES = st.lists(
    st.one_of(
        PAIRS.map(lambda pair: pair.replace(" = ", "=", 1)),
        st.tuples(st.sampled_from(["stages.sft.", "stages[1].", "data.train[0].", "stages."]), PAIRS).map("".join),
        st.text(string.printable, max_size=20),
    ),
    max_size=2,
)


def _edit(lines: list[str], edit: tuple[str, int, int, str]) -> list[str]:
    kind, at, other, text = edit
    if not lines:
        return [text]
    at, other = at % len(lines), other % len(lines)
    lines = list(lines)
    if kind == "delete":
        del lines[at]
    elif kind == "repeat":
        lines.insert(other, lines[at])
    elif kind == "swap values" and "=" in lines[at] and "=" in lines[other]:
        (a, x), (b, y) = lines[at].split("=", 1), lines[other].split("=", 1)
        lines[at], lines[other] = f"{a}={y}", f"{b}={x}"
    elif kind == "set" and "=" in lines[at]:
        lines[at] = f"{lines[at].partition('=')[0]}= {text}"
    elif kind == "break":
        column = other % (len(lines[at]) + 1)
        lines[at] = lines[at][:column] + text + lines[at][column:]
    else:
        lines.insert(at, text)
    return lines


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["delete", "repeat", "swap values", "set", "break", "insert"]),
        st.integers(0, 60),
        st.integers(0, 60),
        st.one_of(VALUES, PAIRS, st.text(max_size=8), st.integers(1, 90).map(lambda n: "a = " + "[" * n + "]" * n)),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the specs name: a recipe, a model directory and a reward."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "tiny").mkdir()
    (folder / "tiny/config.json").write_text(json.dumps(CONFIG, indent=1))
    (folder / "rewards.py").write_text(REWARDS)
    (folder / "base.toml").write_text("[optim]\nwarmup_steps = 3\n")
    return folder


@pytest.mark.parametrize("text", [GRPO, STAGES])
def test_the_specs_that_are_mutated_here_are_good(text: str, lab: Path) -> None:
    assert shown_to_be_sound(lab, text).plan is not None


@given(text=st.text(max_size=80))
@example(text="\ufeff\ufeffa = 1")
@example(text="a = 1\r")
@example(text='"a\\u0000b" = 1')
def test_any_text_is_a_plan_or_diagnostics(text: str, lab: Path) -> None:
    shown_to_be_sound(lab, text)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_plan_or_diagnostics(data: bytes, lab: Path) -> None:
    shown_to_be_sound(lab, data)


@FEWER
@given(text=st.sampled_from([GRPO, STAGES]), edits=EDITS, overrides=OVERRIDES)
def test_any_change_of_a_good_spec_is_a_plan_or_diagnostics(
    text: str, edits: list[tuple[str, int, int, str]], overrides: list[str], lab: Path
) -> None:
    lines = text.split("\n")
    for edit in edits:
        lines = _edit(lines, edit)
    shown_to_be_sound(lab, "\n".join(lines), overrides)


@FEWER
@given(pairs=st.lists(PAIRS, max_size=6), overrides=OVERRIDES)
def test_any_values_of_known_keys_are_a_plan_or_diagnostics(pairs: list[str], overrides: list[str], lab: Path) -> None:
    shown_to_be_sound(lab, "\n".join(pairs), overrides)


@FEWER
@given(pairs=st.lists(PAIRS, min_size=1, max_size=3))
def test_any_values_on_the_command_line_of_a_good_spec_are_a_plan_or_diagnostics(pairs: list[str], lab: Path) -> None:
    shown_to_be_sound(lab, STAGES, [pair.replace(" = ", "=", 1) for pair in pairs])


@FEWER
@given(changes=st.dictionaries(st.sampled_from([*CONFIG, "head_dim", "rope_parameters"]), VALUES, max_size=3))
def test_any_facts_of_a_model_are_a_plan_or_diagnostics(
    changes: dict[str, str], tmp_path_factory: pytest.TempPathFactory, lab: Path
) -> None:
    folder = tmp_path_factory.getbasetemp() / "facts"
    (folder / "tiny").mkdir(parents=True, exist_ok=True)
    (folder / "base.toml").write_text((lab / "base.toml").read_text())
    kept = [f'"{key}": {json.dumps(value)}' for key, value in CONFIG.items() if key not in changes]
    text = "{" + ",\n".join([*kept, *(f'"{key}": {value}' for key, value in changes.items())]) + "}"
    (folder / "tiny/config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    shown_to_be_sound(folder, STAGES)


@FEWER
@given(text=st.one_of(st.text(max_size=60), st.text("def near(sampleg,*=):\n \t\\'\"#", max_size=40)))
def test_any_custom_code_is_a_plan_or_diagnostics(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "code"
    folder.mkdir(exist_ok=True)
    (folder / "rewards.py").write_bytes(text.encode("utf-8", "surrogatepass"))
    shown_to_be_sound(folder, GRPO)


def shown_to_be_sound(folder: Path, text: str | bytes, overrides: Sequence[str] = ()) -> Compiled:
    """Compile twice and hold what must hold of every compilation; whatever it raises fails the test."""
    spec = folder / "spec.toml"
    spec.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    first, second = (compile_spec(spec, CATALOGUE, overrides=overrides) for _ in range(2))
    assert render_json(first.diagnostics) == render_json(second.diagnostics)
    has_errors = any(found.severity == "error" for found in first.diagnostics)
    assert has_errors == (first.plan is None)
    if first.plan is not None and second.plan is not None:
        assert first.plan.to_text() == second.plan.to_text()
    for found in first.diagnostics:
        _can_be_shown(found)
    return first


def _can_be_shown(found: Diagnostic) -> None:
    for label in found.labels:
        assert 0 <= label.span.start <= label.span.end <= len(label.span.file.text)
    for ascii_only in (False, True):
        assert found.code in render(found, color=True, ascii_only=ascii_only)
    assert render(found, color=False, ascii_only=True).isascii()
    assert json.loads(render_json([found]))[0]["code"] == found.code
