"""Rewards, judges and responses that are bad, injected into a running job.

Of each: what the plan says happens, the code and the words that it is told in, the counter, and that nothing else is
lost: the other responses are trained on, every number is finite, and the last step is in a checkpoint.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.bad_input import SECOND_STEP, run, write
from tests.support.http_service import chat, said, serving
from tests.support.processes import Server

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# What a call does in the second step, by what it is given; and what it comes to otherwise.
_FINE = {
    "sample": "float(len(sample.text))",
    "group": "[float(len(s.text)) for s in group.samples]",
    "batch": "[[float(len(s.text)) for s in group.samples] for group in batch]",
}
_FIRST = {"sample": "sample", "group": "group.samples[0]", "batch": "batch[0].samples[0]"}

BAD_CALLS = [
    ("sample", "raise ValueError('no digits')", "raised", "RLC0612", "raised ValueError: no digits, on sums.jsonl:"),
    ("sample", "while True: pass", "late", "RLC0613", "took longer than 2 s, or its process died, on sums.jsonl:5"),
    ("sample", "return float('nan')", "value", "RLC0614", "returned nan where a finite number is due"),
    ("sample", "return -float('inf')", "value", "RLC0614", "returned -inf where a finite number is due"),
    ("sample", "return 'right'", "value", "RLC0614", "returned str 'right' where a number is due"),
    ("sample", "return None", "value", "RLC0614", "returned NoneType None where a number is due"),
    ("group", "return None", "value", "RLC0614", "returned NoneType None where a list is due, one entry for each of 4"),
    ("group", "return [1.0]", "value", "RLC0614", "returned 1 entries for 4 samples"),
    ("batch", "return None", "value", "RLC0614", "returned NoneType None where a list is due, one entry for each of"),
    ("batch", "return [[0.5]]", "value", "RLC0614", "returned 1 entries for 4 groups"),
]


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: f"{bad[0]}-{bad[1]}")
def test_a_reward_that_fails_in_one_step_scores_there_and_the_others_are_as_ever(
    server: Server, tmp_path: Path, bad: tuple[str, str, str, str, str]
) -> None:
    level, statement, kind, code, words = bad
    when = SECOND_STEP.replace("sample", _FIRST[level])
    judge = f"def reward({level}):\n    if {when}:\n        {statement}\n    return {_FINE[level]}\n"
    reward = 'name = "judge.py:reward"\ntimeout_s = 2.0\non_failure = "score"\nfailure_score = -1.0\n'
    if kind == "late":  # one call that hangs is enough to wait for
        judge = judge.replace(when, "sample.prompt.text == '1+0=' and sample.id.sample == 0")
    found = run(server, write(tmp_path, reward, judge=judge))
    assert (found.stage["reward"]["on_failure"], found.stage["reward"]["failure_score"]) == ("score", -1.0)
    count = 1 if kind == "late" else 16
    assert f"warning: {code}: stage main, step 2: {count} judgement(s) failed, the last of them so: " in found.said
    assert f"reward judge.py:reward {words}" in found.said
    assert [row["reward/failed"] for row in found.steps] == [0, count, 0]
    assert [row.get(f"reward/failed/{kind}", 0) for row in found.steps] == [0, count, 0]
    assert found.is_whole()
    if count == 16:
        assert found.steps[1]["reward/mean"] == -1.0
    assert found.steps[0]["train/grad_norm"] > 0
    assert found.steps[2]["train/grad_norm"] > 0


def test_a_run_that_a_bad_reward_ended_goes_on_bit_by_bit_where_failures_are_left_out(
    server: Server, tmp_path: Path
) -> None:
    judge = "def reward(sample):\n    if sample.prompt.text == '1+0=':\n        raise ValueError('no digits')\n"
    judge += "    return float(len(sample.text))\n"
    stopped = write(tmp_path / "stopped", 'name = "judge.py:reward"\n', judge=judge)
    found = run(server, stopped)
    assert found.stage["reward"]["on_failure"] == "stop"
    assert (found.ended.code, len(found.steps)) == (1, 1)
    assert "error[RLC0612]: reward judge.py:reward raised ValueError: no digits, on sums.jsonl:5" in found.said
    assert 'or let the run go on with reward.on_failure = "score" or "drop_group"' in found.said
    resumed = run(server, stopped, 'reward.on_failure="drop_group"')
    whole = run(server, write(tmp_path / "whole", 'name = "judge.py:reward"\non_failure = "drop_group"\n', judge=judge))
    assert resumed.is_whole()
    assert whole.is_whole()
    assert resumed.steps == whole.steps
    assert [row["reward/failed"] for row in whole.steps] == [0, 4, 0]


# What a service answers in the second step, and what becomes of that.
BAD_ANSWERS = {
    "nonsense": (chat("certainly!"), "value", "RLC0614", "reward judge came to nothing: "),
    "empty": (chat(""), "value", "RLC0614", "reward judge came to nothing: "),
    "out of range": (chat("[[99]]"), "value", "RLC0614", "reward judge came to nothing: "),
    "no text": (chat(None), "value", "RLC0614", "reward judge came to nothing: "),
    "no JSON": ((200, b"<html>"), "service", "RLC0680", "its service answered with what is not JSON: b'<html>', on"),
    "nothing at all": ((200, b""), "service", "RLC0680", "its service answered with what is not JSON: b'', on sums"),
    "status 500": ((500, b"oops"), "service", "RLC0680", "its service answered with status 500 (2 attempts), on sums"),
}
BAD_SCORES = {
    "a word": (said("good"), "value", "RLC0614", "reward remote "),
    "NaN": ((200, b"NaN"), "value", "RLC0614", "reward remote "),
    "null": (said(None), "value", "RLC0614", "reward remote "),
    "no JSON": ((200, b"1.0.0"), "service", "RLC0680", "its service answered with what is not JSON: b'1.0.0'"),
    "status 500": ((500, b""), "service", "RLC0680", "its service answered with status 500 (2 attempts), on sums"),
}


@pytest.mark.parametrize("how", BAD_ANSWERS)
def test_a_judge_that_answers_nonsense_in_one_step_is_no_score(server: Server, tmp_path: Path, how: str) -> None:
    answer, kind, code, words = BAD_ANSWERS[how]

    def judged(_: int, question: object) -> tuple[int, bytes]:
        prompt = str(question).partition("[Prompt]")[2].lstrip("\\n")
        return answer if prompt.startswith("1") else chat(f"[[{1 + len(str(question)) % 7}]]")

    with serving(judged) as service:
        reward = f'name = "judge"\non_failure = "score"\njudge = {{ url = "{service.url}", model = "m", '
        reward += "attempts = 2, backoff_s = 0.0 }\n"
        found = run(server, write(tmp_path, reward))
    assert f"warning: {code}: stage main, step 2: 16 judgement(s) failed" in found.said
    assert words in found.said
    assert [row.get(f"reward/failed/{kind}", 0) for row in found.steps] == [0, 16, 0]
    assert found.steps[1]["reward/retries"] == (16 if how == "status 500" else 0)
    assert found.stage["reward"]["judge"]["attempts"] == 2
    assert found.is_whole()


@pytest.mark.parametrize("how", BAD_SCORES)
def test_a_reward_model_behind_http_that_answers_nonsense_is_no_score(server: Server, tmp_path: Path, how: str) -> None:
    answer, kind, code, words = BAD_SCORES[how]
    bad = 0

    def scored(_: int, question: dict[str, str]) -> tuple[int, bytes]:
        nonlocal bad
        is_bad = question["prompt"].startswith("1")
        bad += is_bad
        return answer if is_bad else said(float(len(question["response"])))

    with serving(scored) as service:
        reward = f'name = "remote"\non_failure = "drop_group"\nremote = {{ url = "{service.url}", attempts = 2, '
        reward += "backoff_s = 0.0 }\n"
        spec = write(tmp_path, reward)
        # In the third step two of four groups are bad, and none in the others.
        lines = (tmp_path / "sums.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        order = [*lines[:4], *lines[8:12], *lines[12:14], *lines[4:6]]
        (tmp_path / "sums.jsonl").write_text("".join(order), encoding="utf-8")
        found = run(server, spec)
    assert f"warning: {code}: stage main, step 3: " in found.said
    assert words in found.said
    assert bad >= 2
    assert [row.get(f"reward/failed/{kind}", 0) > 0 for row in found.steps] == [False, False, True]
    # The two groups that are left have eight responses: one optimizer step instead of two.
    assert found.stage["reward"]["on_failure"] == "drop_group"
    assert found.is_whole()


def test_a_judge_that_never_answers_is_given_up_after_its_attempts(server: Server, tmp_path: Path) -> None:
    def late(_: int, question: dict[str, str]) -> tuple[int, bytes]:
        if question["prompt"].startswith("1"):
            time.sleep(0.5)
        return said(float(len(question["response"])))

    with serving(late) as service:
        reward = f'name = "remote"\non_failure = "score"\nremote = {{ url = "{service.url}", timeout_s = 0.2, '
        reward += "attempts = 1 }\n"
        found = run(server, write(tmp_path, reward))
    assert "RLC0680: stage main, step 2: " in found.said
    assert "its service did not answer within 0.2 s (one attempt), on sums.jsonl:" in found.said
    assert found.steps[1]["reward/failed/service"] == 16
    assert found.is_whole()


def test_every_judgement_of_a_step_that_fails_ends_the_run_and_keeps_the_steps_before(
    server: Server, tmp_path: Path
) -> None:
    judge = f"def reward(sample):\n    if {SECOND_STEP}:\n        return 'right'\n    return float(len(sample.text))\n"
    found = run(server, write(tmp_path, 'name = "judge.py:reward"\non_failure = "drop_group"\n', judge=judge))
    assert found.ended.code == 1
    assert "error[RLC0681]: no group of the step is left: in each of 4 a judgement failed" in found.said
    assert "the last of them: reward judge.py:reward returned str 'right' where a number is due" in found.said
    assert len(found.steps) == 1
    assert (tmp_path / "run" / "checkpoints" / "step_000001").is_dir()
    assert run(server, tmp_path / "spec.toml", 'reward.on_failure="score"').is_whole()


@pytest.mark.parametrize("policy", ["judge", "score", "drop_group", "stop"])
def test_empty_responses_are_what_the_plan_says(server: Server, tmp_path: Path, policy: str) -> None:
    settings = "" if policy == "judge" else f'empty_responses = "fail"\non_failure = "{policy}"\n'
    judge = "def reward(sample):\n    return float(len(sample.text)) + 0.01 * sample.id.sample\n"
    # Four of the sixteen tokens have no text, one of which ends a response: one of two tokens is empty now and then.
    spec = write(tmp_path, f'name = "judge.py:reward"\n{settings}', judge=judge)
    found = run(server, spec, "rollout.max_response_tokens=2")
    assert found.stage["reward"]["empty_responses"] == ("judge" if policy == "judge" else "fail")
    if policy == "stop":
        assert found.ended.code == 1
        assert "error[RLC0696]: reward judge.py:reward was given an empty response, on sums.jsonl:" in found.said
        assert 'set reward.empty_responses = "judge"' in found.said
        return
    failed = found.total("reward/failed/empty")
    assert "warning: RLC0696: stage main, step " in found.said
    if policy == "judge":
        assert "response(s) are empty, and were judged as any other" in found.said
        assert (found.total("rollout/empty_responses") > 0, failed) == (True, 0)
    elif policy == "score":
        assert failed == found.total("rollout/empty_responses") > 0
    else:
        assert failed > 0
        assert found.total("rollout/empty_responses") == 0
    assert found.is_whole()


def test_a_step_of_equal_rewards_is_told_once_and_counted(server: Server, tmp_path: Path) -> None:
    judge = f"def reward(sample):\n    return 0.5 if {SECOND_STEP} else float(len(sample.text)) + sample.id.sample\n"
    found = run(server, write(tmp_path, 'name = "judge.py:reward"\n', judge=judge))
    assert found.stage["rollout"]["filter"] == "off"
    assert found.said.count("RLC0697: stage main, step 2: the rewards within each group are equal") == 1
    assert [row["rollout/zero_std_groups_frac"] for row in found.steps] == [0.0, 1.0, 0.0]
    assert found.steps[1]["train/grad_norm"] == 0.0
    assert found.is_whole()


@pytest.mark.parametrize("on_shortage", ["stop", "train_fewer", "keep_filtered"])
def test_a_whole_batch_that_is_filtered_away_is_what_the_plan_says(
    server: Server, tmp_path: Path, on_shortage: str
) -> None:
    # Equal from the second four prompts on: the first step is whole, and no later group differs within itself.
    judge = "def reward(sample):\n    first = sample.prompt.text.startswith('0')\n"
    judge += "    return float(sample.id.sample) if first else 0.0\n"
    reward = 'name = "judge.py:reward"\n[rollout.filter]\nname = "nonzero_std"\nmax_refills = 1\n'
    found = run(server, write(tmp_path, f'{reward}on_shortage = "{on_shortage}"\n', judge=judge), "run.max_steps=2")
    assert found.stage["rollout"]["filter"]["on_shortage"] == on_shortage
    if on_shortage == "keep_filtered":
        assert [row["rollout/filtered_groups"] for row in found.steps] == [0, 8]
        assert found.steps[1]["rollout/kept_filtered_groups"] == 4
        assert found.is_whole(num_steps=2)
        return
    assert found.ended.code == 1
    words = {
        "stop": "error[RLC0690]: 0 of 4 groups passed the filter after 8 prompts",
        "train_fewer": "error[RLC0690]: step 2 of stage main has no group to train on: all of 8 prompts were left out",
    }
    assert words[on_shortage] in found.said
    assert (tmp_path / "run" / "checkpoints" / "step_000001").is_dir()


@pytest.mark.parametrize("policy", ["score", "drop_group"])
def test_an_evaluation_that_nobody_could_judge_has_no_accuracy(server: Server, tmp_path: Path, policy: str) -> None:
    judge = (
        "def reward(sample):\n    if sample.prompt.source.startswith('heldout'):\n        raise ValueError('gone')\n"
    )
    judge += "    return float(len(sample.text)) + sample.id.sample\n"
    reward = f'name = "judge.py:reward"\non_failure = "{policy}"\n\n[eval]\ninterval = 1\nat_start = false\n\n'
    reward += '[[eval.sets]]\nname = "heldout"\npath = "heldout.jsonl"\n'
    spec = write(tmp_path, reward, judge=judge)
    (tmp_path / "heldout.jsonl").write_text('{"input": "4+4=", "label": "8"}\n' * 2, encoding="utf-8")
    found = run(server, spec)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    assert "eval/heldout/accuracy" not in rows
    # Two prompts, each sampled once and taken greedily once.
    assert rows.count('"eval/heldout/failed_judgements": 4') == 3
    assert "warning: RLC0698: stage main, step 1: no response to the prompts of heldout could be judged" in found.said
    assert found.is_whole()
