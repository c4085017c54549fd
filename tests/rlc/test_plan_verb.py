"""`rlc plan` as it is called: what goes to which stream, what is written, and exit codes."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from rlc.cli.main import main
from tests.compiler.emit.plan_specs import ONE_STAGE, PROJECT, QUICKSTART, SUPERVISED
from tests.support.good_spec import GPU, spec_text

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small spec in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(ONE_STAGE)
    return Path("spec.toml")


def plan(*arguments: str) -> int:
    return main(["plan", *arguments])


def test_the_page_goes_to_standard_output(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml") == 0
    out, err = capsys.readouterr()
    assert out.startswith("sums ")
    assert "16 prompts x 4 samples = 64 samples = 32 x 2* optimizer steps" in out
    assert "\u250c\u2500 node 0" in out
    assert "\x1b" not in out, "no colours where nobody looks"
    assert err == ""


def test_the_page_in_ascii(spec: Path, capsys: Captured) -> None:
    assert main(["--ascii", "plan", "spec.toml"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert "+- node 0" in out


def test_the_page_in_colour(spec: Path, capsys: Captured) -> None:
    assert main(["--color", "always", "plan", "spec.toml"]) == 0
    assert capsys.readouterr().out.startswith("\x1b[1msums\x1b[0m ")


def test_standard_output_decides_on_characters(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, encoding="latin-1"))
    assert plan("spec.toml") == 0
    sys.stdout.flush()
    assert bytes_out.getvalue().isascii()


def test_json_is_the_canonical_plan(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "--json") == 0
    out = capsys.readouterr().out
    data = json.loads(out)
    assert data["experiment"]["stages"][0]["train"]["steps_per_rollout"] == 2
    assert out == json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_an_error_goes_to_standard_error_and_nothing_is_written(spec: Path, capsys: Captured) -> None:
    for way in ("", "--json", "-o plan.json", "--check plan.json", "--diff spec.toml"):
        assert plan("spec.toml", "--set", "train.global_batch=48", *way.split()) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "error[RLC0301]" in err
    assert os.listdir() == ["spec.toml"]


def test_a_plan_is_saved_and_one_line_says_so(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "--json") == 0
    text = capsys.readouterr().out
    assert plan("spec.toml", "-o", "plan.json") == 0
    out = capsys.readouterr().out
    assert out == f"plan.json: plan {json.loads(text)['hash'][:12]} of spec.toml\n"
    assert Path("plan.json").read_text() == text
    assert sorted(os.listdir()) == ["plan.json", "spec.toml"]


def test_a_file_that_cannot_be_written_is_reported_and_left_alone(spec: Path, capsys: Captured) -> None:
    Path("folder").mkdir()
    for place in ("absent/plan.json", "folder", "spec.toml/plan.json"):
        assert plan("spec.toml", "-o", place) == 1
        assert "error[RLC0022]" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["folder", "spec.toml"]
    assert os.listdir("folder") == []


def test_a_plan_never_takes_the_place_of_its_spec(spec: Path, capsys: Captured) -> None:
    Path("link.json").symlink_to("spec.toml")
    for place in ("spec.toml", "./spec.toml", "link.json"):
        assert plan("spec.toml", "-o", place) == 1
        assert "error[RLC0022]: the plan would take the place of spec.toml\n" in capsys.readouterr().err
    assert spec.read_text() == ONE_STAGE


def test_json_stays_json_on_a_stream_without_its_characters(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, encoding="ascii"))
    assert plan("spec.toml", "--json", "--set", 'name="\u00e9\U0001f600"') == 0
    assert json.loads(bytes_out.getvalue())["experiment"]["name"] == "\u00e9\U0001f600"


def test_a_full_disk_is_said_and_no_fault_of_ours(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    full = io.FileIO("/dev/full", "w")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(full), write_through=True))
    assert plan("spec.toml") == 1
    assert "error[RLC0022]: standard output cannot be written: No space left" in capsys.readouterr().err
    full.close()


def test_a_reader_that_has_read_enough_is_told_nothing(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    closed = io.FileIO(writing, "w")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(closed), write_through=True))
    assert plan("spec.toml") == 1
    assert capsys.readouterr().err == ""
    closed.close()


def test_check_knows_the_same_plan_and_another_one(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "-o", "golden.json") == 0
    capsys.readouterr()
    assert plan("spec.toml", "--check", "golden.json") == 0
    assert capsys.readouterr().out.startswith("golden.json is the plan of spec.toml: ")
    assert plan("spec.toml", "--check", "golden.json", "--set", "optim.lr=1e-3") == 3
    out, err = capsys.readouterr()
    assert "optim.lr: 1e-06 -> 0.001\n      old  the saved plan says so\n      new  --set optim.lr=1e-3\n" in out
    assert err == ""


def test_check_tells_what_differs_outside_the_hash_and_takes_it(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    data["forecast"]["gradient_bytes"] = 1
    Path("golden.json").write_text(json.dumps(data))
    assert plan("spec.toml", "--check", "golden.json") == 0
    out = capsys.readouterr().out
    assert "the same plan: what differs is outside the hash" in out
    assert "gradient_bytes: 1 -> 1_602_560" in out


@pytest.mark.parametrize("content", [None, "", "{}", "no json", '{"schema_version": 1, "experiment": {}}', "\x00\xff"])
def test_a_golden_plan_that_is_none_is_reported(spec: Path, content: str | None, capsys: Captured) -> None:
    if content is not None:
        Path("golden.json").write_bytes(content.encode("latin-1"))
    assert plan("spec.toml", "--check", "golden.json") == 1
    out, err = capsys.readouterr()
    assert "error[RLC0020]: golden.json " in err
    assert out == ""


def test_a_golden_plan_that_was_edited_by_hand_is_reported(spec: Path, capsys: Captured) -> None:
    plan("spec.toml", "-o", "golden.json")
    Path("golden.json").write_text(Path("golden.json").read_text().replace('"seed": 0', '"seed": 1'))
    assert plan("spec.toml", "--check", "golden.json") == 1
    assert "RLC0020" in capsys.readouterr().err


def test_the_plan_does_not_depend_on_how_a_spec_is_laid_out(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "-o", "golden.json") == 0
    golden = Path("golden.json").read_text()
    head, *tables = ONE_STAGE.split("\n\n")
    turned = ["\n".join([first, *reversed(rest)]) for first, *rest in (table.strip().split("\n") for table in tables)]
    texts = {
        "comments": ONE_STAGE.replace("\n", " # a remark\n"),
        "blanks": ONE_STAGE.replace(" = ", "=").replace("\n\n", "\n\n\n\n"),
        "line ends": ONE_STAGE.replace("\n", "\r\n"),
        "a byte-order mark": "\ufeff" + ONE_STAGE,
        "order of tables": "\n\n".join([head, *reversed(tables)]),
        "order of keys": "\n\n".join([head, *turned]),
        "dotted keys": ONE_STAGE.replace('[cluster]\ntarget = "cpu"\n', "").replace(
            "\n\n[model]", '\ncluster.target = "cpu"\n\n[model]'
        ),
    }
    for what, text in texts.items():
        assert text != ONE_STAGE
        Path("other.toml").write_bytes(text.encode())
        assert plan("other.toml", "-o", "other.json") == 0, what
        assert Path("other.json").read_text() == golden, what


def test_diff_with_another_spec_and_with_a_saved_plan(spec: Path, capsys: Captured) -> None:
    Path("other.toml").write_text(ONE_STAGE.replace("max_steps = 10", "max_steps = 20"))
    assert plan("spec.toml", "-o", "saved.json") == 0
    capsys.readouterr()
    assert plan("other.toml", "--diff", "spec.toml") == 0
    out = capsys.readouterr().out
    assert "      old  spec.toml:12   max_steps = 10\n      new  other.toml:12   max_steps = 20\n" in out
    assert "    so   optim.total_steps: 20 -> 40\n" in out
    assert plan("other.toml", "--diff", "saved.json") == 0
    assert "    old  the saved plan says so\n      new  other.toml:12   max_steps = 20\n" in capsys.readouterr().out
    assert plan("spec.toml", "--diff", "saved.json") == 0
    assert capsys.readouterr().out.endswith("\nno difference\n")


def test_diff_with_the_spec_itself_shows_what_overrides_do(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "--set", "run.max_steps=3", "--diff", "spec.toml") == 0
    assert "run.max_steps: 10 -> 3\n      old  spec.toml:12   max_steps = 10\n" in capsys.readouterr().out


@pytest.mark.parametrize(("other", "code"), [("absent.toml", "RLC0001"), ("absent.json", "RLC0020")])
def test_diff_with_something_that_is_not_there(spec: Path, other: str, code: str, capsys: Captured) -> None:
    assert plan("spec.toml", "--diff", other) == 1
    assert code in capsys.readouterr().err


def test_diff_with_a_spec_that_has_errors(spec: Path, capsys: Captured) -> None:
    Path("wrong.toml").write_text(ONE_STAGE.replace("global_batch = 32", "global_batch = 48"))
    assert plan("spec.toml", "--diff", "wrong.toml") == 1
    out, err = capsys.readouterr()
    assert "RLC0301" in err
    assert "wrong.toml" in err
    assert out == ""


def test_a_saved_plan_is_shown_as_a_page(spec: Path, capsys: Captured) -> None:
    assert plan("spec.toml", "-o", "plan.json") == 0
    capsys.readouterr()
    assert plan("plan.json") == 0
    assert "16 prompts x 4 samples = 64 samples = 32 x 2 optimizer steps" in capsys.readouterr().out
    assert plan("plan.json", "--set", "run.seed=1") == 1
    assert "RLC0017" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--json", "-o", "x.json"],
        ["--json", "--check", "x.json"],
        ["--json", "--diff", "x.json"],
        ["-o", "x.json", "--check", "x.json"],
        ["-o", "x.json", "--diff", "x.json"],
        ["--check", "x.json", "--diff", "x.json"],
        ["--unheard-of"],
        ["-o"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_a_wrong_command_line(
    spec: Path, options: list[str], capsys: Captured
) -> None:
    assert plan("spec.toml", *options) == 2
    assert capsys.readouterr().out == ""
    assert os.listdir() == ["spec.toml"]


def test_a_diagnostic_of_this_verb_is_drawn_as_the_command_line_says(spec: Path, capsys: Captured) -> None:
    assert main(["--color", "always", "plan", "spec.toml", "--check", "absent.json"]) == 1
    assert capsys.readouterr().err.startswith("\x1b[1;31merror[RLC0020]")


def test_the_quickstart_is_the_plan_that_was_reviewed(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(PROJECT)
    assert plan(QUICKSTART, "--check", "tests/golden/plans/quickstart.json") == 0, capsys.readouterr().out


def test_a_supervised_spec_has_a_page_as_well(spec: Path, capsys: Captured) -> None:
    Path("spec.toml").write_text(SUPERVISED)
    assert plan("spec.toml") == 0
    assert "8 samples x 50 optimizer steps = 400 samples" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "begins"), [("step.svg", "<svg"), ("step.html", "<!doctype html>")])
def test_a_timeline_is_drawn_into_a_file(
    name: str, begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(spec_text({}, base=GPU))
    assert plan("spec.toml", "--timeline", name) == 0
    assert capsys.readouterr().out.startswith(f"{name}: time and memory of plan ")
    assert (tmp_path / name).read_text().startswith(begins)


@pytest.mark.parametrize(("name", "said"), [("step.svg", "no forecast of time"), ("step.png", "neither a picture")])
def test_what_cannot_be_drawn_is_said(spec: Path, name: str, said: str, capsys: Captured) -> None:
    assert plan("spec.toml", "--timeline", name) == 1
    assert "RLC0412" in (err := capsys.readouterr().err)
    assert said in err
    assert not Path(name).exists()


def test_a_policy_may_bound_the_hours_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(spec_text({}, base=GPU))
    for most, code in (("1e9", 0), ("1e-9", 1)):
        (tmp_path / "policy.star").write_text(
            f'require("forecast.stages[0].time.gpu_hours <= {most}", "what the quarter has left")\n'
        )
        assert plan("spec.toml", "--policy", "policy.star") == code
        assert ("RLC0325" in capsys.readouterr().err) is bool(code)
