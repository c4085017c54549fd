"""Rows that are bad, under each policy: the run says which and where, counts them, and trains on all the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bad_input import rows, run, write
from tests.support.processes import Server

pytestmark = [pytest.mark.torch, pytest.mark.slow]

REWARD = 'name = "judge.py:reward"\n'

# The second line of the data, the code, and what is said of it.
MALFORMED: dict[str, tuple[bytes, str, str]] = {
    "broken JSON": (b'{"input": ', "RLC0603", "sums.jsonl:2 is not JSON: Expecting value"),
    "no object": (b"[1]", "RLC0603", "sums.jsonl:2 is not an object: a list"),
    "no key": (b'{"input": "1+1="}', "RLC0602", 'sums.jsonl:2 has no key "label"'),
    "another type": (b'{"input": 7, "label": "2"}', "RLC0603", 'sums.jsonl:2: "input" has to be a text or a list'),
    "no UTF-8": (b'{"input": "\xff", "label": "2"}', "RLC0603", "sums.jsonl:2 is not UTF-8: invalid start byte"),
    "no token": (b'{"input": "one", "label": "1"}', "RLC0606", "sums.jsonl:2: 'e', 'n', 'o' has no token"),
    "no prompt": (b'{"input": "", "label": "1"}', "RLC0609", "sums.jsonl:2 has an empty prompt"),
}


def with_second(line: bytes) -> bytes:
    first, _, rest = rows().encode().partition(b"\n")
    return b"\n".join((first, line, rest))


@pytest.mark.parametrize("how", MALFORMED)
def test_a_malformed_row_is_an_error_before_the_first_step_or_left_out(
    server: Server, tmp_path: Path, how: str
) -> None:
    line, code, words = MALFORMED[how]
    spec = write(tmp_path, REWARD, data=with_second(line))
    refused = run(server, spec)
    assert refused.stage["data"]["malformed_rows"] == "error"
    assert (refused.ended.code, refused.steps) == (1, [])
    assert f"error[{code}]: {words}" in refused.said
    found = run(server, spec, 'data.malformed_rows="drop"')
    assert found.stage["data"]["malformed_rows"] == "drop"
    assert f"warning: {code}: 1 row of the training data malformed and dropped, first: {words}" in found.said
    assert (found.steps[0]["data/malformed_rows"], found.steps[0]["data/rows"]) == (1, 16)
    assert found.is_whole()


def test_a_run_without_the_malformed_rows_is_that_on_the_others_alone(server: Server, tmp_path: Path) -> None:
    dropped = write(tmp_path / "dropped", REWARD, data=with_second(b"{"))
    alone = write(tmp_path / "alone", REWARD)
    found, other = run(server, dropped, 'data.malformed_rows="drop"'), run(server, alone)
    assert [{**row, "data/malformed_rows": 0} for row in found.steps[:1]] == other.steps[:1]
    assert found.steps[1:] == other.steps[1:]


def test_data_of_which_no_row_is_left_is_an_error_whatever_the_policy(server: Server, tmp_path: Path) -> None:
    found = run(server, write(tmp_path, REWARD, data="{\n[]\n"), 'data.malformed_rows="drop"')
    assert found.ended.code == 1
    assert "error[RLC0603]: sums.jsonl:1 is not JSON" in found.said
    assert "error[RLC0603]: sums.jsonl:2 is not an object" in found.said


def test_a_malformed_row_that_is_measured_on_is_never_left_out(server: Server, tmp_path: Path) -> None:
    spec = write(tmp_path, REWARD + '\n[[eval.sets]]\nname = "heldout"\npath = "heldout.jsonl"\n')
    (tmp_path / "heldout.jsonl").write_text('{"input": "4+4=", "label": "8"}\n{\n', encoding="utf-8")
    found = run(server, spec, 'data.malformed_rows="drop"')
    assert found.ended.code == 1
    assert "error[RLC0603]: heldout.jsonl:2 is not JSON" in found.said


def test_imitation_leaves_malformed_rows_out_as_well(server: Server, tmp_path: Path) -> None:
    spec = write(tmp_path, "", data=with_second(b'{"input": "1+1=", "label": 2}'))
    text = spec.read_text(encoding="utf-8").replace("grpo", "sft").replace("[reward]\n", "")
    before, _, after = text.partition("[rollout]")
    spec.write_text(before + "[train]" + after.partition("[train]")[2], encoding="utf-8")
    found = run(server, spec, 'data.malformed_rows="drop"')
    assert "warning: RLC0603: 1 row of the training data malformed and dropped, first: sums.jsonl:2" in found.said
    assert (found.steps[0]["data/malformed_rows"], found.steps[0]["data/rows"]) == (1, 16)
    assert found.is_whole()


@pytest.mark.parametrize("policy", ["error", "drop", "truncate"])
def test_a_prompt_over_the_limit_is_what_the_plan_says(server: Server, tmp_path: Path, policy: str) -> None:
    spec = write(tmp_path, REWARD, data=with_second(b'{"input": "1+1+1=", "label": "3"}'))
    found = run(server, spec, f'rollout.overlong_prompts="{policy}"')
    assert found.stage["rollout"]["overlong_prompts"] == policy
    if policy == "error":
        assert (found.ended.code, found.steps) == (1, [])
        assert (
            "error[RLC0605]: sums.jsonl:2 has 6 tokens, but max_prompt_tokens = 4: 1 row of 17 too long" in found.said
        )
        assert "set rollout.max_prompt_tokens = 6" in found.said
        return
    done = {"drop": "dropped", "truncate": "cut at the front"}[policy]
    assert f"warning: RLC0605: 1 row of the training data too long and {done}" in found.said
    assert found.steps[0]["data/overlong_rows"] == 1
    assert found.steps[0]["data/rows"] == (16 if policy == "drop" else 17)
    assert [row.get("data/overlong_rows") for row in found.steps[1:]] == [None, None]
    assert found.is_whole()


def test_messages_without_a_chat_template_are_one_error_however_many_rows_have_them(
    server: Server, tmp_path: Path
) -> None:
    data = '{"input": [{"role": "user", "content": "1+1="}], "label": "2"}\n' * 8
    spec = write(tmp_path, REWARD, data=data)
    for policy in ("error", "drop"):
        found = run(server, spec, f'data.malformed_rows="{policy}"')
        assert found.ended.code == 1
        assert found.said.count("RLC0604]") == 1
        assert "error[RLC0604]: a tokenizer of kind characters has no chat template" in found.said
        assert "sums.jsonl" in found.said
        assert "give prompts as text and leave apply_chat_template off" in found.said
        assert not (tmp_path / "run" / "checkpoints").exists() or not list((tmp_path / "run/checkpoints").iterdir())
