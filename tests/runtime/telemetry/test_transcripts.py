import json
import math
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.transcripts import Transcripts
from stdlib.samples import Prompt, Sample, SampleId, Segment

_PROMPT = Prompt(row=3, source="a.jsonl", text="2+2=", tokens=(5, 6), label="4")


def _sample(index: int, *, text: str = "4", reward: float | None = 1.0) -> Sample:
    return Sample(
        id=SampleId(stage=1, step=12, group=0, sample=index),
        prompt=_PROMPT,
        segments=(
            Segment(tokens=(5, 6), is_sampled=False),
            Segment(tokens=(7, 8), is_sampled=True, logprobs=(-0.5, -0.25), versions=(10, 11)),
            Segment(tokens=(9,), is_sampled=False),
            Segment(tokens=(2,), is_sampled=True, logprobs=(-1.0,), versions=(12,)),
        ),
        text=text,
        finish="stop",
        reward=reward,
    )


def test_a_transcript_says_what_was_sampled(tmp_path: Path):
    Transcripts(tmp_path, stages=("sft", "rl"), samples_per_step=4).transcripts(12, [_sample(0)])
    assert json.loads((tmp_path / "stage_rl_step_000012.jsonl").read_text()) == {
        "group": 0,
        "sample": 0,
        "prompt": "2+2=",
        "response": "4",
        "label": "4",
        "reward": 1.0,
        "finish": "stop",
        "num_tokens": 3,
        "logprob_sum": -1.75,
        "first_version": 10,
        "last_version": 12,
    }


def test_only_the_first_samples_are_kept(tmp_path: Path):
    Transcripts(tmp_path, stages=("sft", "rl"), samples_per_step=2).transcripts(1, [_sample(i) for i in range(5)])
    lines = (tmp_path / "stage_rl_step_000001.jsonl").read_text().splitlines()
    assert [json.loads(line)["sample"] for line in lines] == [0, 1]


def test_writing_a_step_again_leaves_the_same_single_file(tmp_path: Path):
    transcripts = Transcripts(tmp_path, stages=("sft", "rl"), samples_per_step=4)
    transcripts.transcripts(12, [_sample(0), _sample(1)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    transcripts.transcripts(12, [_sample(0), _sample(1)])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(before) == 1


def test_a_step_without_samples_leaves_no_file(tmp_path: Path):
    Transcripts(tmp_path / "transcripts", stages=("sft",), samples_per_step=4).transcripts(1, [])
    assert list(tmp_path.iterdir()) == []


def test_a_stage_name_cannot_leave_the_folder(tmp_path: Path):
    Transcripts(tmp_path, stages=("sft", "../x"), samples_per_step=4).transcripts(1, [_sample(0)])
    assert [path.name for path in tmp_path.iterdir()] == ["stage_..%2Fx_step_000001.jsonl"]


def test_odd_texts_and_numbers_stay_valid_json(tmp_path: Path):
    odd = _sample(0, text="line\nend \u2028 \ud800 \x1b[31m", reward=math.nan)
    Transcripts(tmp_path, stages=("sft", "rl"), samples_per_step=1).transcripts(1, [odd])
    (line,) = (tmp_path / "stage_rl_step_000001.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    read = json.loads(line)
    assert read["response"] == odd.text
    assert read["reward"] is None


def test_a_folder_that_cannot_be_made_is_a_coded_fault(tmp_path: Path):
    (tmp_path / "transcripts").write_text("a file stands in the way")
    transcripts = Transcripts(tmp_path / "transcripts", stages=("sft", "rl"), samples_per_step=1)
    with pytest.raises(SpecError, match="RLC0651"):
        transcripts.transcripts(1, [_sample(0)])
