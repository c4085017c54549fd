"""`rlc check --data`: the files that a spec names, opened; each kind of fault in its words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlc.cli.main import main

Captured = pytest.CaptureFixture[str]
Golden = Callable[[str, str], None]

SPEC = """\
rlc = 1
name = "sums"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"
weights = "random"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 4
max_prompt_tokens = 6
max_response_tokens = 5

[reward]
name = "exact"

[train]
global_batch = 16

[optim]
lr = 1e-5

[[data.train]]
path = "train.jsonl"

[eval]
interval = 5

[[eval.sets]]
name = "heldout"
path = "heldout.jsonl"
"""
TRAIN = "".join(f'{{"input": "{a}+{a}=", "label": "{2 * a}"}}\n' for a in range(8))
HELDOUT = '{"input": "9+8=", "label": "17"}\n'


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, SPEC, TRAIN, HELDOUT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, spec: str, train: str, heldout: str) -> None:
    (folder / "spec.toml").write_text(spec)
    (folder / "train.jsonl").write_text(train)
    (folder / "heldout.jsonl").write_text(heldout)


def said(capsys: Captured, *options: str, code: int = 0) -> tuple[str, str]:
    assert main(["--ascii", "check", "--data", "spec.toml", *options]) == code
    out, err = capsys.readouterr()
    return out, err


def test_what_there_is_of_the_data_is_counted(capsys: Captured) -> None:
    out, err = said(capsys)
    assert err == ""
    assert out.splitlines() == [
        "spec.toml: main: train: 8 rows, the longest prompt of 4 tokens; 10 steps of 4 are 5 epochs",
        "spec.toml: main: held-out heldout: 1 row, the longest prompt of 4 tokens",
        "1 spec checked: no errors",
    ]


BYTES = 'vocab_size = 258\ntokenizer = { kind = "bytes" }\n\n[cluster]'
CASES: dict[str, tuple[str, str, str, int]] = {
    "a_row_that_is_no_json": (SPEC, TRAIN + "{input: 1}\n", HELDOUT, 1),
    "a_key_that_rows_lack": (SPEC, TRAIN.replace('"input"', '"prompt"', 2), HELDOUT, 1),
    "a_prompt_of_another_type": (SPEC, TRAIN + '{"input": 3, "label": "3"}\n', HELDOUT, 1),
    "an_empty_file": (SPEC, "", HELDOUT, 1),
    "prompts_that_are_too_long": (SPEC, TRAIN + '{"input": "123+456=", "label": "579"}\n', HELDOUT, 1),
    "an_empty_prompt": (SPEC, TRAIN, HELDOUT + '{"input": "", "label": ""}\n', 1),
    "a_character_without_a_token": (SPEC, TRAIN, '{"input": "3\u00d73=", "label": "9"}\n', 1),
    "held_out_prompts_that_are_trained_on": (SPEC, TRAIN, HELDOUT + TRAIN.splitlines(keepends=True)[2], 0),
    "fewer_rows_than_a_step_takes": (SPEC, "".join(TRAIN.splitlines(keepends=True)[:3]), HELDOUT, 0),
    "two_forms": (
        SPEC.replace("[cluster]", BYTES)
        .replace('"train.jsonl"', '"train.jsonl"\napply_chat_template = true')
        .replace("max_prompt_tokens = 6", "max_prompt_tokens = 64"),
        TRAIN,
        HELDOUT,
        0,
    ),
    "no_tokenizer_at_hand": (
        SPEC.replace('weights = "random"', 'weights = "checkpoints/none"').replace("tiny_qwen3", "qwen3_0_6b"),
        TRAIN,
        HELDOUT,
        0,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_told_at_its_place(name: str, lab: Path, capsys: Captured, golden: Golden) -> None:
    spec, train, heldout, code = CASES[name]
    write(lab, spec, train, heldout)
    out, err = said(capsys, code=code)
    golden(f"data/{name}.txt", f"{out}\n{err}")


def test_a_file_that_is_missing_is_told_where_the_spec_names_it(lab: Path, capsys: Captured, golden: Golden) -> None:
    (lab / "train.jsonl").unlink()
    (lab / "heldout.jsonl").unlink()
    out, err = said(capsys, code=1)
    assert err.count("error[RLC0601]") == 2
    golden("data/missing_files.txt", f"{out}\n{err}")


def test_a_supervised_stage_is_read_as_demonstrations(lab: Path, capsys: Captured) -> None:
    spec = SPEC.replace("//recipes:grpo", "//recipes:sft").replace(
        "max_response_tokens = 5\n", "max_response_tokens = 5\n"
    )
    for table in ("prompts_per_step = 4\n", "samples_per_prompt = 4\n"):
        spec = spec.replace(table, "")
    write(lab, spec, TRAIN, HELDOUT)
    out, _ = said(capsys)
    assert "train: 8 rows, the longest prompt of 4 tokens; 10 steps of 16 are 20 epochs" in out
    (lab / "train.jsonl").write_text(TRAIN + '{"input": "1+1=", "label": 2}\n')
    assert "RLC0603" in said(capsys, code=1)[1]


def test_only_the_data_option_opens_files(lab: Path, capsys: Captured) -> None:
    (lab / "train.jsonl").unlink()
    assert main(["check", "spec.toml"]) == 0
    assert capsys.readouterr().out == "1 spec checked: no errors\n"


def test_faults_of_data_are_json_like_all_others(lab: Path, capsys: Captured) -> None:
    (lab / "train.jsonl").write_text("nothing\n")
    out, _ = said(capsys, "--json", code=1)
    (found,) = json.loads(out)
    place = found["labels"][0]
    assert (found["code"], place["path"], place["line"]) == ("RLC0603", "train.jsonl", 1)
