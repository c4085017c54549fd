"""Bad rewards injected into a running job: the run goes on, counts them, and loses nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.support.http_service import chat, serving
from tests.support.processes import Server
from tests.support.run_directory import newest_checkpoint, rows_of
from tests.support.scorer import save_scorer
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# What goes wrong with every response to one of the prompts.
BAD = {
    "raises": "raise ValueError('no digits')",
    "hangs": "while True: pass",
    "nan": "return float('nan')",
    "inf": "return float('inf')",
    "text": "return 'right'",
}
KINDS = {"raises": "raised", "hangs": "late", "nan": "value", "inf": "value", "text": "value"}


def write(folder: Path, reward: str, statement: str = "pass") -> Path:
    spec = write_experiment(folder, spec=SPEC.replace('name = "judge.py:reward"\n', reward))
    judge = (folder / "judge.py").read_text(encoding="utf-8")
    when = f"    if sample.prompt.text == '0+0=' and sample.id.stage == 1:\n        {statement}\n"
    (folder / "judge.py").write_text(judge.replace('digit."""\n', f'digit."""\n{when}'), encoding="utf-8")
    return spec


@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("policy", ["score", "drop_group"])
def test_a_reward_that_fails_costs_its_response_or_its_group_and_no_more(
    server: Server, tmp_path: Path, how: str, policy: str
) -> None:
    score = "failure_score = -1.0\n" if policy == "score" else ""
    reward = f'name = "judge.py:reward"\ntimeout_s = 1.0\non_failure = "{policy}"\n{score}'
    spec = write(tmp_path, reward, BAD[how])
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = [row for row in rows_of(tmp_path / "run") if "reward/failed" in row]
    failed = [row for row in steps if row["reward/failed"]]
    assert len(steps) == 8
    # 20 prompts, 4 a step: one epoch and a half hold this one once or twice, with 4 responses each time.
    assert failed
    assert all(row[f"reward/failed/{KINDS[how]}"] == 4 for row in failed)
    assert all(math.isfinite(row["train/loss"]) for row in steps)
    assert newest_checkpoint(tmp_path / "run").name == "step_000014"
    assert "judgement(s) failed, the last of them so: reward judge.py:reward" in ended.out + ended.err


def test_a_run_that_a_failure_ended_goes_on_where_failures_score(server: Server, tmp_path: Path) -> None:
    spec = write(tmp_path, 'name = "judge.py:reward"\n', BAD["nan"])
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0614]: reward judge.py:reward returned nan" in ended.err
    assert 'or let the run go on with reward.on_failure = "score" or "drop_group"' in ended.err
    before = newest_checkpoint(tmp_path / "run").name
    ended = server.run("run", spec, "--run-dir", "run", "--set", 'reward.on_failure="score"', cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert before < newest_checkpoint(tmp_path / "run").name == "step_000014"


def test_a_judge_that_answers_nonsense_is_counted_and_never_a_score(server: Server, tmp_path: Path) -> None:
    replies = ["[[10]]", "certainly!", "[[1]]", "[[99]]"]
    with serving(lambda number, _: chat(replies[number % 4])) as service:
        reward = (
            f'name = "judge"\non_failure = "score"\nfailure_score = 0.5\njudge.url = "{service.url}"\n'
            'judge.model = "large"\n'
        )
        spec = write(tmp_path, reward)
        ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = [row for row in rows_of(tmp_path / "run") if "reward/failed" in row]
    assert sum(row.get("reward/failed/value", 0) for row in steps) == 8 * 16 / 2
    assert newest_checkpoint(tmp_path / "run").name == "step_000014"


def test_a_service_that_goes_away_ends_the_run_and_the_run_goes_on_when_it_is_back(
    server: Server, tmp_path: Path
) -> None:
    answers = 60

    def answer(number: int, _: object) -> tuple[int, bytes]:
        return chat("[[5]]") if number < answers else (404, b"gone")

    with serving(answer) as service:
        reward = f'name = "judge"\njudge.url = "{service.url}"\njudge.model = "large"\n'
        spec = write(tmp_path, reward)
        ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
        assert ended.code == 1
        assert "error[RLC0680]: reward judge has no answer: its service answered with status 404" in ended.err
        before = newest_checkpoint(tmp_path / "run").name
        assert before >= "step_000006"
        answers = 10_000
        assert server.run("run", spec, "--run-dir", "run", cwd=tmp_path).code == 0
    assert newest_checkpoint(tmp_path / "run").name == "step_000014"


def test_a_reward_model_judges_a_run_that_can_be_repeated_bit_by_bit(server: Server, tmp_path: Path) -> None:
    save_scorer(tmp_path / "scorer")
    spec = write(tmp_path, 'name = "reward_model"\nreward_model.path = "scorer"\nreward_model.batch_tokens = 16\n')
    found: list[list[float]] = []
    for name in ("one", "other"):
        ended = server.run("run", spec, "--run-dir", name, cwd=tmp_path)
        assert ended.code == 0, ended.err
        steps = [row for row in rows_of(tmp_path / name) if "reward/failed" in row]
        # Four groups of four responses; two texts of up to seven tokens fit into a batch.
        assert all(4 < row["reward/model_batches"] <= 16 for row in steps)
        found.append([row[key] for row in steps for key in ("reward/mean", "reward/std", "train/loss")])
    assert found[0] == found[1]


def test_several_rewards_are_in_the_rows_by_name(server: Server, tmp_path: Path) -> None:
    reward = (
        'name = "weighted_sum"\nshaping.overlong = { buffer_tokens = 1, penalty = 0.25 }\n\n'
        '[[reward.terms]]\nname = "judge.py:reward"\nlabel = "sum"\n\n'
        '[[reward.terms]]\nname = "regex"\nlabel = "digits"\nweight = 0.1\nregex.pattern = "^[0-9]+$"\n'
    )
    spec = write(tmp_path, reward)
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = [row for row in rows_of(tmp_path / "run") if row["stage"] == "grpo" and "reward/mean" in row]
    for row in steps:
        raw = row["reward/sum/mean"] + 0.1 * row["reward/digits/mean"]
        assert row.get("reward/raw/mean", row["reward/mean"]) == pytest.approx(raw)
    assert any(row["reward/mean"] < row.get("reward/raw/mean", row["reward/mean"]) for row in steps)


def test_a_row_that_names_no_reward_is_found_before_anything_is_trained(server: Server, tmp_path: Path) -> None:
    reward = 'name = "by_row"\n\n[[reward.terms]]\nname = "exact"\n'
    spec = write(tmp_path, reward)
    text = spec.read_text(encoding="utf-8").replace('path = "sums.jsonl"', 'path = "sums.jsonl"\nmetadata_key = "m"')
    spec.write_text(text.replace('path = "heldout.jsonl"', 'path = "heldout.jsonl"\nmetadata_key = "m"'))
    for name in ("sums.jsonl", "heldout.jsonl"):
        rows = (tmp_path / name).read_text(encoding="utf-8").replace("}", ', "m": {"reward": "exakt"}}')
        (tmp_path / name).write_text(rows, encoding="utf-8")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert 'error[RLC0685]: heldout.jsonl:1 has reward = "exakt"' in ended.err
    assert 'did you mean "exact"?' in ended.err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("reward", "code"),
    [
        ('"judge"\nreward.judge = { url = "http://h/v1", model = "m", token_env = "NO_SUCH_TOKEN" }', "RLC0683"),
        ('"reward_model"\nreward.reward_model.path = "absent"', "RLC0684"),
    ],
)
def test_what_a_reward_of_a_later_stage_lacks_is_said_before_the_first_is_trained(
    server: Server, tmp_path: Path, reward: str, code: str
) -> None:
    spec = write(tmp_path, 'name = "exact"\n')
    last = "loss.kl.coef = 0.1\n"
    text = spec.read_text(encoding="utf-8").replace(last, f"{last}reward.name = {reward}\n")
    spec.write_text(text, encoding="utf-8")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert f"error[{code}]" in ended.err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_groups_whose_rewards_are_all_equal_teach_nothing_and_are_counted(server: Server, tmp_path: Path) -> None:
    spec = write(tmp_path, 'name = "judge.py:reward"\n')
    (tmp_path / "judge.py").write_text("def reward(sample):\n    return 0.5\n", encoding="utf-8")
    text = spec.read_text(encoding="utf-8").replace('loss.kl.estimator = "k3"\nloss.kl.coef = 0.1\n', "")
    spec.write_text(text, encoding="utf-8")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = [row for row in rows_of(tmp_path / "run") if "reward/failed" in row]
    assert [row["rollout/zero_std_groups_frac"] for row in steps] == [1.0] * 8
    assert all(row["train/grad_norm"] == 0.0 for row in steps)


def test_empty_responses_are_judged_and_counted(server: Server, tmp_path: Path) -> None:
    spec = write(tmp_path, 'name = "exact"\n')
    # Four of the sixteen tokens have no text, and the first of them ends many a response.
    text = spec.read_text(encoding="utf-8").replace("max_response_tokens = 3", "max_response_tokens = 1")
    text = text.replace("max_prompt_tokens = 4", "max_prompt_tokens = 6")
    spec.write_text(text, encoding="utf-8")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = [row for row in rows_of(tmp_path / "run") if "reward/failed" in row]
    assert sum(row["rollout/empty_responses"] for row in steps) > 0
    assert sum(row["reward/failed"] for row in steps) == 0
    assert all(math.isfinite(row["train/loss"]) for row in steps)
