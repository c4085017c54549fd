"""Episodes: what is sampled is what is trained, the environment's words are not, and every limit has its counter."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.model import Tokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.rewards.threads import GIVEN_UP_MAX
from runtime.rollouts import RolloutWorker
from runtime.train_batches import policy_batch
from stdlib.samples import Group, Sample
from tests.contract.rollout_engines import PLAIN, engine_of
from tests.support.episodes import BYTES, KEY, Sizes, chat, lived, opened
from tests.support.scripted_engine import Script, ScriptedEngine
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

MODEL = tiny_model(vocab_size=258, max_position_tokens=4096, tokenizer=Tokenizer(kind="bytes"))
CALCULATOR = 'name = "tools"\ntools = [{ name = "calculator" }]'
OWN_TOOL = 'name = "tools"\ntools = [{ name = "tools.py:look", timeout_s = %s }]'
LOOK = '''
import asyncio, time
from stdlib.episodes import ToolRefusalError

def look(query: str, count: int = 1) -> str:
    """Look something up.

    Args:
        query: What to look for.
        count: How much of it.
    """
'''


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def says(*turns: str) -> Script:
    """A policy that says one turn after another, whatever it is told."""

    def script(before: str, sample: int) -> str:
        heard = before.count("assistant: ") - 1 + before.count("</information>")
        return turns[min(heard, len(turns) - 1)]

    return script


def episode(folder: Path, environment: str, *turns: str, **settings: Any) -> tuple[Sample, dict[str, float]]:
    """One episode of a policy that says these turns."""
    found = opened(folder, environment)
    engine = ScriptedEngine(says(*turns), BYTES)
    found_groups, told = lived(found, engine, [chat("?", found.tools)], Sizes(**settings))
    return found_groups[0].samples[0], told


def play(folder: Path, code: str) -> str:
    (folder / "play.py").write_text(f"import asyncio, time\nfrom stdlib.episodes import Observation\n{code}")
    return 'name = "play.py:begin"'


def answering(folder: Path, body: str) -> str:
    """An environment whose steps have this body."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return play(folder, f"class E:\n    def step(self, turn):\n{lines}\ndef begin(context):\n    return E()\n")


def tool(folder: Path, body: str) -> str:
    (folder / "tools.py").write_text(LOOK + "\n".join(f"    {line}" for line in body.splitlines()) + "\n")
    # What hangs is given up soon, and what does not is given all the time of a busy machine.
    return OWN_TOOL % (0.2 if "sleep" in body else 60)


def test_a_tool_is_called_and_its_answer_is_read(tmp_path: Path) -> None:
    sample, told = episode(tmp_path, CALCULATOR, call("calculator", expression="37+45"), "It is 82.")
    assert sample.text == "It is 82."
    assert sample.finish == "stop"
    assert sample.episode is not None
    assert [message["role"] for message in sample.episode.said] == ["assistant", "tool", "assistant"]
    assert sample.episode.said[1]["content"] == "82"
    assert (told["rollout/tool_calls"], told["rollout/turns_mean"], told["rollout/episodes"]) == (1, 2, 1)


def test_the_tokens_are_those_of_the_conversation_and_only_the_policys_count(tmp_path: Path) -> None:
    first = call("calculator", expression="1+1")
    sample, _ = episode(tmp_path, CALCULATOR, first, "2")
    whole = BYTES.decode([t for s in sample.segments for t in s.tokens], keeps_special=True)
    assert whole == f"{sample.prompt.text}{first}<eos>\ntool: 2\nassistant: 2<eos>"
    batch = policy_batch([sample])
    counted = [int(token) for token, counts in zip(batch.tokens_T, batch.mask_T, strict=True) if counts]
    assert BYTES.decode(counted, keeps_special=True) == f"{first}<eos>2<eos>"


def test_each_turn_draws_on_where_the_one_before_stopped(tmp_path: Path) -> None:
    found = opened(tmp_path, CALCULATOR)
    engine = ScriptedEngine(says(call("calculator", expression="1+1"), "2"), BYTES)
    (group,), _ = lived(found, engine, [chat("?", found.tools)], Sizes(num_samples=3))
    assert [(r.first_sample, r.num_samples) for r in engine.requests] == [(0, 3), (0, 1), (1, 1), (2, 1)]
    first = len(BYTES.encode(call("calculator", expression="1+1"))) + 1
    assert [r.first_draw for r in engine.requests] == [0, first, first, first]
    drawn = [lp for s in group.samples[0].segments for lp in s.logprobs]
    assert drawn == pytest.approx([-1.0 - 0.001 * at for at in range(first + 2)])


def test_an_episode_of_one_turn_is_what_sampling_without_an_environment_gives(tmp_path: Path) -> None:
    found = opened(tmp_path, answering(tmp_path, "return Observation(is_done=True)"))
    prompts = [chat("one", row=0), chat("another one", row=1)]
    engine = engine_of(NativeEngine, MODEL, max_context_tokens=512)
    episodes, _ = lived(found, engine, prompts, Sizes(num_samples=3, max_new_tokens=9))
    worker = RolloutWorker(
        engine_of(NativeEngine, MODEL, max_context_tokens=512), BYTES, None, stop_token_ids=frozenset((1,))
    )
    plain = asyncio.run(worker.groups(prompts, first_key=KEY, num_samples=3, max_new_tokens=9, sampling=PLAIN))

    def drawn(groups: list[Group]) -> object:
        return [(s.id, s.segments, s.text, s.finish) for group in groups for s in group.samples]

    assert drawn(episodes) == drawn(plain)


@pytest.mark.parametrize("late", [0, 1])
def test_what_is_drawn_does_not_depend_on_how_long_an_environment_takes(tmp_path: Path, late: int) -> None:
    """The engine of a real model; the environment of every other episode is slow, or that of all others."""
    body = f"time.sleep(0.05 * (len(turn.text) % 2 == {late}))\nreturn Observation(text='ok')"
    found = opened(tmp_path, answering(tmp_path, body) + '\nmax_turns = 3\nstop_strings = ["a", "b", "c", "e"]')
    prompts = [chat("x" * n, row=n) for n in range(4)]
    engine = engine_of(NativeEngine, MODEL, max_context_tokens=512, concurrency=16)
    groups, _ = lived(found, engine, prompts, Sizes(num_samples=2, max_new_tokens=40))
    quick = opened(
        tmp_path,
        answering(tmp_path, "return Observation(text='ok')") + '\nmax_turns = 3\nstop_strings = ["a", "b", "c", "e"]',
    )
    engine = engine_of(NativeEngine, MODEL, max_context_tokens=512, concurrency=16)
    expected, _ = lived(quick, engine, prompts, Sizes(num_samples=2, max_new_tokens=40))
    assert max(s.episode.num_turns for g in groups for s in g.samples if s.episode) == 3
    for group, other in zip(groups, expected, strict=True):
        for sample, same in zip(group.samples, other.samples, strict=True):
            assert [s.tokens for s in sample.segments] == [s.tokens for s in same.segments]


def test_a_turn_ends_with_the_token_that_completes_a_stop_string(tmp_path: Path) -> None:
    environment = 'name = "search"\n[environment.search]\ndocuments = "d.jsonl"'
    (tmp_path / "d.jsonl").write_text('{"contents": "Berlin is the capital of Germany."}\n')
    sample, told = episode(
        tmp_path, environment, "I look. <search>capital</search> and more", "<answer>Berlin</answer> what else"
    )
    texts = [BYTES.decode(s.tokens) for s in sample.segments[1:]]
    assert texts[0] == "I look. <search>capital</search>"
    assert "<information>Doc 1: Berlin is the capital of Germany.</information>" in texts[1]
    assert sample.text == "<answer>Berlin</answer>"
    assert (sample.finish, told["rollout/malformed_calls"]) == ("stop", 0)


def test_what_frames_a_text_that_is_cut_is_kept(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"contents": "Berlin " * 200}) + "\n")
    environment = 'name = "search"\n[environment.search]\ndocuments = "d.jsonl"'
    sample, _ = episode(tmp_path, environment, "<search>Berlin</search>", "<answer>Berlin</answer>")
    said = BYTES.decode(sample.segments[2].tokens)
    assert said.startswith("\n\n<information>Doc 1: Berlin")
    assert said.endswith(" ... (cut)</information>\n\n")


def test_turns_but_the_last_do_not_count_where_the_plan_says_so(tmp_path: Path) -> None:
    sample, _ = episode(tmp_path, f'{CALCULATOR}\ntrain_turns = "last"', call("calculator", expression="1+1"), "2")
    assert policy_batch([sample]).mask_T.sum() == 2


@pytest.mark.parametrize(
    ("judged", "text"), [("last_turn", "2"), ("all_turns", call("calculator", expression="1+1") + "2")]
)
def test_rewards_are_given_the_last_turn_or_all(tmp_path: Path, judged: str, text: str) -> None:
    sample, _ = episode(tmp_path, f'{CALCULATOR}\njudged = "{judged}"', call("calculator", expression="1+1"), "2")
    assert sample.text == text


@pytest.mark.parametrize(
    ("said", "told_to_model"),
    [
        ('<tool_call>{"name": "calculator"', "is not closed"),
        ("<tool_call>1+1</tool_call>", "this is no JSON"),
        (call("calculater", expression="1"), "did you mean calculator?"),
        (call("calculator"), "needs expression"),
        (call("calculator", expression=1), "has to be of type string"),
        (call("calculator", expression="1", unit="m"), "takes no unit"),
    ],
)
def test_malformed_calls_are_told_to_the_model_and_counted(tmp_path: Path, said: str, told_to_model: str) -> None:
    sample, told = episode(tmp_path, CALCULATOR, said, "2")
    assert told["rollout/malformed_calls"] == 1
    assert sample.episode is not None
    assert told_to_model in str(sample.episode.said[1]["content"])
    assert sample.text == "2"


def test_a_malformed_call_ends_the_episode_where_the_plan_says_so(tmp_path: Path) -> None:
    sample, told = episode(tmp_path, f'{CALCULATOR}\non_malformed_call = "end_episode"', call("x"), "2")
    assert sample.episode is not None
    assert (sample.episode.ended_by, sample.episode.num_turns) == ("malformed", 1)
    assert told["rollout/malformed_calls"] == 1
    assert policy_batch([sample]).mask_T.sum() > 0


def test_a_refusal_is_an_answer_and_no_failure(tmp_path: Path) -> None:
    sample, told = episode(tmp_path, CALCULATOR, call("calculator", expression="9**9**9"), "2")
    assert sample.episode is not None
    assert sample.episode.said[1]["content"] == "error: the power is too large"
    assert (told["rollout/tool_refusals"], told["rollout/tool_errors"]) == (1, 0)


FAILURES = [
    ("time.sleep(2)", "tool_timeouts", "look took longer than 0.2 s"),
    ("raise KeyError(query)", "tool_errors", "look raised KeyError: 'x' at line"),
    ("raise SystemExit(1)", "tool_errors", "look raised SystemExit: 1"),
]


@pytest.mark.parametrize(("body", "counter", "words"), FAILURES)
def test_the_model_is_told_of_a_tool_that_fails_and_goes_on(
    tmp_path: Path, body: str, counter: str, words: str
) -> None:
    sample, told = episode(tmp_path, tool(tmp_path, body), call("look", query="x"), "2")
    assert sample.episode is not None
    assert words in str(sample.episode.said[1]["content"])
    assert (told[f"rollout/{counter}"], sample.text, sample.finish) == (1, "2", "stop")


@pytest.mark.parametrize(("body", "counter", "words"), FAILURES)
def test_a_tool_that_fails_ends_its_episode_alone_and_nothing_of_it_is_learned(
    tmp_path: Path, body: str, counter: str, words: str
) -> None:
    found = opened(tmp_path, tool(tmp_path, body) + '\non_tool_failure = "end_episode"')

    def script(before: str, sample: int) -> str:
        return call("look", query="x") if sample == 0 else "2"

    engine = ScriptedEngine(script, BYTES)
    (group,), told = lived(found, engine, [chat("?", found.tools)], Sizes(num_samples=2))
    first, second = group.samples
    assert first.episode is not None
    assert words in first.episode.failure
    assert told[f"rollout/{counter}"] == 1
    assert policy_batch([first]).mask_T.sum() == 0
    assert policy_batch([second]).mask_T.sum() == 2


@pytest.mark.parametrize(("body", "code"), [("time.sleep(2)", "RLC0741"), ("raise KeyError(query)", "RLC0742")])
def test_a_tool_that_fails_ends_the_run_where_the_plan_says_so(tmp_path: Path, body: str, code: str) -> None:
    with pytest.raises(SpecError, match=code):
        episode(tmp_path, tool(tmp_path, body) + '\non_tool_failure = "stop"', call("look", query="x"), "2")


def test_an_asynchronous_tool_is_ended_when_it_is_given_up(tmp_path: Path) -> None:
    code = LOOK.replace("def look", "async def look") + "    await asyncio.sleep(60)\n"
    (tmp_path / "tools.py").write_text(code)
    _, told = episode(tmp_path, OWN_TOOL % 0.2, call("look", query="x"), "2")
    assert told["rollout/tool_timeouts"] == 1


def test_megabytes_are_cut_to_the_limit_and_marked(tmp_path: Path) -> None:
    sample, told = episode(tmp_path, tool(tmp_path, 'return "x" * 50_000_000'), call("look", query="x"), "2")
    assert sample.episode is not None
    content = str(sample.episode.said[1]["content"])
    assert len(BYTES.encode(content)) == 200
    assert content.endswith("x ... (cut)")
    assert told["rollout/truncated_observations"] == 1


def test_what_a_tool_returns_that_is_no_text_is_written_as_json(tmp_path: Path) -> None:
    sample, _ = episode(tmp_path, tool(tmp_path, 'return {"n": [1, None]}'), call("look", query="x"), "2")
    assert sample.episode is not None
    assert sample.episode.said[1]["content"] == '{"n": [1, null]}'


def test_an_episode_that_never_ends_is_cut_at_its_turns(tmp_path: Path) -> None:
    sample, told = episode(tmp_path, f"{CALCULATOR}\nmax_turns = 3", call("calculator", expression="1"))
    assert sample.episode is not None
    assert (sample.episode.num_turns, sample.episode.ended_by, sample.finish) == (3, "max_turns", "length")
    assert told["rollout/episodes_at_max_turns"] == 1
    assert told["rollout/tool_calls"] == 2


def test_an_episode_ends_where_its_context_is_full(tmp_path: Path) -> None:
    found = opened(tmp_path, CALCULATOR)
    room = len(chat("?", found.tools).tokens) + 100
    sample, told = episode(tmp_path, CALCULATOR, call("calculator", expression="1"), max_context_tokens=room)
    assert sample.episode is not None
    assert (sample.episode.num_turns, sample.finish) == (1, "length")
    assert told["rollout/episodes_at_max_tokens"] == 1
    assert sum(len(s.tokens) for s in sample.segments) <= room


def test_a_turn_that_is_cut_ends_its_episode(tmp_path: Path) -> None:
    sample, told = episode(tmp_path, CALCULATOR, call("calculator", expression="1"), max_new_tokens=10)
    assert (sample.finish, told["rollout/episodes_cut"], told["rollout/tool_calls"]) == ("length", 1, 0)


@pytest.mark.parametrize(
    ("body", "counter", "words"),
    [
        ("raise ValueError('broken')", "episode_failures", "raised ValueError: broken at line"),
        ("return 'well done'", "episode_failures", "returned 'well done', no Observation"),
        ("return Observation(reward=float('nan'))", "episode_failures", "gave nan as a reward"),
        (
            "return Observation(reward=10 ** 400)",
            "episode_failures",
            "gave an integer of hundreds of digits as a reward",
        ),
        ("raise asyncio.CancelledError", "episode_failures", "raised CancelledError"),
        ("raise GeneratorExit", "episode_failures", "raised GeneratorExit"),
        ("time.sleep(30)", "episode_timeouts", "took longer than 0.3 s over one episode"),
    ],
)
def test_an_environment_that_fails_ends_its_episode_and_not_the_batch(
    tmp_path: Path, body: str, counter: str, words: str
) -> None:
    environment = answering(tmp_path, body) + ("\nepisode_timeout_s = 0.3" if "sleep" in body else "")
    sample, told = episode(tmp_path, environment, "hello")
    assert sample.episode is not None
    assert words in sample.episode.failure
    assert told[f"rollout/{counter}"] == 1
    assert policy_batch([sample]).mask_T.sum() == 0
    code = "RLC0744" if "timeouts" in counter else "RLC0743"
    with pytest.raises(SpecError, match=code):
        episode(tmp_path, environment + '\non_episode_failure = "stop"', "hello")


def test_time_in_which_the_policy_speaks_is_not_the_environments(tmp_path: Path) -> None:
    def slow(before: str, sample: int) -> str:
        time.sleep(2)
        return "hello"

    found = opened(
        tmp_path, answering(tmp_path, "return Observation(text='.')") + "\nepisode_timeout_s = 5\nmax_turns = 3"
    )
    _, told = lived(found, ScriptedEngine(slow, BYTES), [chat("?")])
    assert (told["rollout/episode_timeouts"], told["rollout/episodes_at_max_turns"]) == (0, 1)


def test_rewards_of_turns_add_up(tmp_path: Path) -> None:
    body = "return Observation(text='.', reward=0.5 + turn.index, is_done=turn.index == 2)"
    sample, _ = episode(tmp_path, answering(tmp_path, body), "hello")
    assert sample.episode is not None
    assert sample.episode.reward == 0.5 + 1.5 + 2.5


def test_a_generate_function_of_ones_own_drives_the_episode(tmp_path: Path) -> None:
    code = """async def begin(policy):
    turn = await policy.turn()
    policy.observe(text=f" [{policy.is_evaluation} {policy.sample}] ")
    await policy.turn()
    return len(turn.text)
"""
    sample, _ = episode(tmp_path, play(tmp_path, code), "hello", is_evaluation=True)
    assert BYTES.decode([t for s in sample.segments[1:] for t in s.tokens]) == "hello [True 0] hello"
    assert sample.episode is not None
    assert sample.episode.reward == 5


def test_a_generate_function_that_never_stops_is_stopped_by_the_limits(tmp_path: Path) -> None:
    code = "async def begin(policy):\n    while True:\n        await policy.turn()\n        policy.observe(text='.')\n"
    _, told = episode(tmp_path, play(tmp_path, code) + "\nmax_turns = 4", "hello")
    assert (told["rollout/turns_mean"], told["rollout/episodes_at_max_turns"]) == (4, 1)


def test_a_puzzle_is_played_to_its_end_and_earns_one(tmp_path: Path) -> None:
    found = opened(tmp_path, 'name = "sliding_puzzle"', reward="environment")
    said = says("<action>up</action>", "hm", "<action>down</action>", "<action>right</action>")
    prompt = chat("order it", metadata={"board": [[1, 2], [0, 3]]})
    engine = ScriptedEngine(lambda before, sample: said("assistant: " * (1 + before.count("_")), sample), BYTES)
    (group,), told = lived(found, engine, [prompt])
    episode_of = group.samples[0].episode
    assert episode_of is not None
    assert (episode_of.reward, episode_of.ended_by, episode_of.num_turns) == (1.0, "", 4)
    assert told["rollout/malformed_calls"] == 1
    assert "_ 2\n1 3" in str(episode_of.said[1]["content"])


def test_calls_that_were_given_up_and_still_run_are_bounded(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    found = opened(tmp_path, tool(tmp_path, f"while not __import__('os').path.exists({str(gate)!r}): time.sleep(0.01)"))
    engine = ScriptedEngine(says(call("look", query="x"), "done"), BYTES)
    half = [chat("?", found.tools, row=row) for row in range(GIVEN_UP_MAX // 2)]
    try:
        assert lived(found, engine, half).metrics["rollout/tool_timeouts"] == GIVEN_UP_MAX // 2
        assert lived(found, engine, half).metrics["rollout/tool_timeouts"] == GIVEN_UP_MAX // 2
        with pytest.raises(SpecError, match=r"RLC0751: \d+ calls.* of tools.py:look"):
            lived(found, engine, half[:1])
    finally:
        gate.touch()
        while any("tools.py:look" in thread.name for thread in threading.enumerate()):
            time.sleep(0.01)
    assert lived(found, engine, half[:1]).metrics["rollout/tool_timeouts"] == 0


def test_an_async_function_that_holds_the_loop_is_a_timeout_and_costs_nobody_else(tmp_path: Path) -> None:
    code = """
import asyncio, time
async def begin(policy):
    if policy.prompt.row == 1:
        time.sleep(60)
    await policy.turn()
    return 1.0
"""
    found = opened(tmp_path, play(tmp_path, code) + "\nepisode_timeout_s = 0.5", reward="environment")
    engine = ScriptedEngine(says("done"), BYTES)
    groups, told = lived(found, engine, [chat("?", row=row) for row in range(3)])
    facts = [group.samples[0].episode for group in sorted(groups, key=lambda one: one.prompt.row)]
    assert [one.ended_by for one in facts if one is not None] == ["", "timeout", ""]
    assert facts[1] is not None
    assert "play.py:begin held up the event loop for more than 0.5 s at line 7" in facts[1].failure
    assert told["rollout/episode_timeouts"] == 1


def test_an_async_tool_that_holds_the_loop_is_a_timeout(tmp_path: Path) -> None:
    text = tool(tmp_path, "time.sleep(60)")
    (tmp_path / "tools.py").write_text((tmp_path / "tools.py").read_text().replace("def look", "async def look"))
    _, told = episode(tmp_path, text, call("look", query="x"), "done")
    assert (told["rollout/tool_timeouts"], told["rollout/tool_calls"]) == (1, 1)


def test_parameters_of_a_tool_may_have_any_name(tmp_path: Path) -> None:
    code = """
def read(file: str, call: str, timeout_s: int) -> str:
    \"\"\"Read a file.

    Args:
        file: Which one.
        call: How it is called.
        timeout_s: How long that may take.
    \"\"\"
    return f"{call} {file} {timeout_s}"
"""
    (tmp_path / "tools.py").write_text(code)
    text = 'name = "tools"\ntools = [{ name = "tools.py:read" }]'
    sample, told = episode(tmp_path, text, call("read", file="a.txt", call="b", timeout_s=3), "done")
    assert told["rollout/tool_errors"] == 0
    assert sample.episode is not None
    assert "b a.txt 3" in str(sample.episode.said[1]["content"])
