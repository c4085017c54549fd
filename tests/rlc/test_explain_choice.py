"""`rlc plan --explain-choice`: a table of what was chosen, what comes next, what does not fit, and what is paid for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlc.cli.main import main
from tests.golden_files import Golden
from tests.support.good_spec import GPU, GRPO, Changes, spec_text
from tests.support.left_out import EXPERTS_LEFT_OUT, LEFT_OUT


def table(folder: Path, text: str, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    spec = folder / "spec.toml"
    spec.write_text(text)
    code = main(["plan", str(spec), "--explain-choice", *more])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_choice_names_runners_up_refusals_and_the_price_of_what_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = spec_text({"cluster.nodes": "2", "placement.gpus_per_engine": "8"}, base=EXPERTS_LEFT_OUT)
    code, out, _ = table(tmp_path, text, capsys)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("chosen of ")
    assert lines[0].endswith("16 GPUs H100-80-SXM of 79.6 GiB")
    assert len([line for line in lines if line.startswith(">") and line.endswith("chosen")]) == 1
    assert len([line for line in lines if line.endswith("% slower")]) == 5
    assert any("does not fit: " in line for line in lines)
    assert any(line.lstrip().startswith("placement.gpus_per_engine = 8 ") for line in lines)


def test_a_layout_that_is_written_is_compared_with_what_would_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = table(tmp_path, spec_text({"parallel.tp": "8"}, base=GPU), capsys)
    assert code == 0
    assert out.startswith("the layout is written, and nothing was chosen; 8 GPUs")
    assert "as written" in out
    (row,) = (line for line in out.splitlines() if line.lstrip().startswith("parallel.tp = 8 "))
    assert "without it a step takes" in row


@pytest.mark.parametrize("as_plan", [False, True])
def test_where_nothing_is_left_to_choose_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_plan: bool
) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(spec_text({}, base=GRPO))
    saved = tmp_path / "plan.json"
    assert main(["plan", str(spec), "-o", str(saved)]) == 0
    assert main(["plan", str(saved if as_plan else spec), "--explain-choice"]) == 1
    assert "RLC0414" in capsys.readouterr().err


@pytest.mark.parametrize(("nodes", "is_tight"), [("2", True), ("4", False)])
def test_a_choice_that_leaves_little_free_is_said_on_the_page_and_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nodes: str, is_tight: bool
) -> None:
    large = {"model.name": '"//models:llama3_1_70b"', "rollout.max_prompt_tokens": '"1Ki"', "cluster.nodes": nodes}
    text = spec_text({**large, "train.engine.megatron.grad_reduce_in_fp32": "true"}, base=LEFT_OUT)
    code, out, _ = table(tmp_path, text, capsys)
    assert code == 0
    assert ("none leaves 7% of a GPU free" in out) == is_tight
    assert ("each of them leaves 7% of a GPU free" in out) != is_tight
    assert main(["plan", str(tmp_path / "spec.toml")]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert ("no layout that leaves 7% of a GPU free was found" in page) == is_tight


TABLES: dict[str, Changes] = {
    "dense": {"model.name": '"//models:qwen3_8b"', "placement.mode": '"colocate"'},
    "shards": {"model.name": '"//models:qwen2_5_32b"', "train.engine.name": '"fsdp2"', "cluster.nodes": "2"},
    "schedules": {"schedule.mode": '"auto"', "schedule.max_staleness": "2"},
    "corrections": {"schedule.mode": '"auto"', "loss.old_logprobs": '"recompute"'},
    "required": {"require": '[{ that = "parallel.tp == 1 or parallel.tp == 8", why = "so it is" }]'},
}


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_a_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, golden: Golden) -> None:
    changes: Changes = {"rollout.max_prompt_tokens": '"1Ki"', **TABLES[name]}
    code, out, err = table(tmp_path, spec_text(changes, base=LEFT_OUT), capsys)
    assert code == 0, err
    golden(f"choices/{name}.txt", out)
