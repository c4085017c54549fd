"""A running job whose tools fail: each failure has its counter, code and policy, and costs the other episodes nothing.

The policy is one that calls tools, since it was trained to (tests/support/tool_caller.py).
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from rlc.catalogue import scan
from runtime.buffer.saved import restored
from runtime.driver import RunPlace, run_plan
from stdlib.samples import Group
from tests.support.run_directory import rows_of
from tests.support.tool_caller import BYTES_MODEL, KINDS, write_caller

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "tools"
use = ["//recipes:grpo"]
{BYTES_MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 1

[rollout]
max_prompt_tokens = 320
max_response_tokens = 24
prompts_per_step = 6
samples_per_prompt = 2

[rollout.engine]
deterministic = true

[environment]
name = "tools"
tools = [{{ name = "tools.py:look", timeout_s = 1.0 }}]
parser = "pythonic"
max_turns = 2
max_observation_tokens = 80

[reward]
name = "judge.py:reward"

[train]
global_batch = 12

[data]
shuffle = false

[[data.train]]
path = "kinds.jsonl"
apply_chat_template = true

[debug]
record = true

[log]
transcripts_per_step = 12
"""
JUDGE = "def reward(sample):\n    return float(sample.id.sample)\n"
LOOK = '''
import asyncio


async def look(kind: int) -> str:
    """Look.

    Args:
        kind: K.
    """
'''
FAULTS = """    if kind == 0:
        await asyncio.sleep(600)
    if kind == 1:
        raise OSError("the index is gone")
    if kind == 2:
        return "x" * 5_000_000
    return "found"
"""
SOUND = '    return "found"\n'
SLOW, RAISES, LARGE, WELL, MALFORMED, NONE = range(len(KINDS))


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a model that calls tools."""
    return write_caller(tmp_path_factory.mktemp("caller"))


class Ran(NamedTuple):
    """The row of metrics, what was shown, the groups by the number of their prompt, and the transcripts."""

    row: dict[str, Any]
    shown: str
    groups: list[Group]
    told: list[dict[str, Any]]


def run(folder: Path, caller: Path, body: str, *overrides: str, judge: str = JUDGE) -> Ran:
    shutil.copytree(caller, folder / "caller", dirs_exist_ok=True)
    (folder / "tools.py").write_text(LOOK + body)
    (folder / "judge.py").write_text(judge)
    (folder / "kinds.jsonl").write_text("".join(f'{{"input": "{kind}", "label": ""}}\n' for kind in KINDS))
    (folder / "spec.toml").write_text(SPEC.replace('weights = "random"', 'weights = "caller"'))
    found = compile_spec(folder / "spec.toml", scan(), overrides=overrides)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    stream = io.StringIO()
    run_plan(found.plan, RunPlace(root=folder, run_dir=folder / "run", stream=stream))
    (row,) = [row for row in rows_of(folder / "run") if "train/loss" in row]
    step = next((folder / "run/rollouts/main").glob("step_*"))
    pools = restored(json.loads((step / "rollout.json").read_text())["groups"], load_file(step / "tokens.safetensors"))
    lines = (folder / "run/transcripts/stage_main_step_000001.jsonl").read_text().splitlines()
    return Ran(row, stream.getvalue(), [kept.group for kept in pools.finished], [json.loads(line) for line in lines])


def ended_by(ran: Ran, kind: int) -> set[str]:
    return {told["ended_by"] for told in ran.told if told["group"] == kind}


def test_each_failure_is_counted_and_the_other_episodes_are_what_they_are_without_it(
    tmp_path: Path, caller: Path
) -> None:
    faulty, sound = run(tmp_path / "faulty", caller, FAULTS), run(tmp_path / "sound", caller, SOUND)
    counted = ("tool_calls", "tool_timeouts", "tool_errors", "truncated_observations", "malformed_calls", "episodes")
    assert [faulty.row[f"rollout/{name}"] for name in counted] == [8, 2, 2, 2, 2, 12]
    assert [sound.row[f"rollout/{name}"] for name in counted] == [8, 0, 0, 0, 2, 12]
    for kind in (WELL, MALFORMED, NONE):
        assert faulty.groups[kind].samples == sound.groups[kind].samples
    for kind in (SLOW, RAISES, LARGE):
        # What was said before the tool failed is what it is without, too; only what was heard differs.
        first, other = (ran.groups[kind].samples[0].segments for ran in (faulty, sound))
        assert first[:2] == other[:2]
        assert first[2] != other[2]
    assert abs(faulty.row["train/logprob_gap"]) < 1e-4
    for code, words in [
        ("RLC0741", "2 tool timeouts, the last of them so: look took longer than 1 s"),
        ("RLC0742", "2 tool errors, the last of them so: look raised OSError: the index is gone at line"),
        ("RLC0745", "2 malformed calls, the last of them so: this is no list of calls"),
        ("RLC0750", "2 truncated observations, the last of them so: 5,000,000 characters are more than 80 tokens"),
    ]:
        assert f"{code}: stage main, step 1: {words}" in faulty.shown


def test_a_failure_ends_its_own_episode_where_the_plan_says_so_and_nothing_of_it_is_trained(
    tmp_path: Path, caller: Path
) -> None:
    policy = ('environment.on_tool_failure="end_episode"', 'environment.on_malformed_call="end_episode"')
    ran = run(tmp_path, caller, FAULTS, *policy)
    assert [ended_by(ran, kind) for kind in (SLOW, RAISES, MALFORMED)] == [{"tool"}, {"tool"}, {"malformed"}]
    assert ended_by(ran, NONE) == {"environment"}

    def is_trained(kind: int) -> bool:
        return any(s.is_sampled and s.is_trained for one in ran.groups[kind].samples for s in one.segments)

    assert [is_trained(kind) for kind in range(len(KINDS))] == [False, False, True, True, True, True]


@pytest.mark.parametrize(("kind", "code"), [(SLOW, "RLC0741"), (RAISES, "RLC0742")])
def test_a_failure_ends_the_run_where_the_plan_says_so(tmp_path: Path, caller: Path, kind: int, code: str) -> None:
    rows = f'data.train[0].rows="{kind}:{kind + 1}"'
    with pytest.raises(SpecError, match=code):
        run(tmp_path, caller, FAULTS, rows, 'environment.on_tool_failure="stop"')


def test_an_evaluation_counts_what_fails_in_its_own_sampled_episodes(tmp_path: Path, caller: Path) -> None:
    held_out = 'eval.sets=[{ name = "held", path = "kinds.jsonl", apply_chat_template = true, greedy = true }]'
    run(tmp_path, caller, FAULTS, held_out, "eval.at_start=true", "optim.lr=1e-9")
    rows = [row for row in rows_of(tmp_path / "run") if "eval/held/num_prompts" in row]
    counted = ("tool_calls", "tool_timeouts", "tool_errors", "malformed_calls", "episode_failures")
    # Before the only step and after it: the greedy episodes of the first are not counted in the second.
    assert [[row[f"eval/held/{name}"] for name in counted] for row in rows] == [[4, 1, 1, 1, 0]] * 2


def test_episodes_of_groups_that_are_left_out_are_told_apart(tmp_path: Path, caller: Path) -> None:
    judged = (
        "def reward(sample):\n    return float('kind=3' in sample.episode.said[0]['content'] and sample.id.sample)\n"
    )
    kept = ('rollout.filter.name="nonzero_std"', 'rollout.filter.on_shortage="train_fewer"', "train.global_batch=2")
    row = run(tmp_path, caller, FAULTS, *kept, "rollout.filter.max_refills=0", judge=judged).row
    assert [row[f"rollout/{name}"] for name in ("episodes", "left_out_episodes", "turns_max")] == [2, 10, 2]
    assert row["rollout/tool_timeouts"] == 2


def test_a_run_is_not_continued_on_other_documents(tmp_path: Path, caller: Path) -> None:
    (tmp_path / "documents.jsonl").write_text('{"contents": "three is odd"}\n')
    tools = 'environment.tools=[{ name = "search", search.documents = "documents.jsonl" }]'
    run(tmp_path, caller, SOUND, tools, "rollout.max_prompt_tokens=400")
    (tmp_path / "documents.jsonl").write_text('{"contents": "three is even"}\n')
    words = "what the environment of stage main searches is not what it was .* documents.jsonl"
    with pytest.raises(SpecError, match=words) as fault:
        run(tmp_path, caller, SOUND, tools, "rollout.max_prompt_tokens=400", "run.max_steps=2")
    assert fault.value.diagnostics[0].code == "RLC0663"
