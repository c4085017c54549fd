"""The views, watched through what they write to a stream."""

import io
import os
import pty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.live import LiveView
from runtime.telemetry.open_view import Look, open_view
from runtime.telemetry.plain import PlainView
from runtime.telemetry.rows import Row, encode_row
from runtime.telemetry.summary import write_summary
from runtime.telemetry.view import StageInfo, TimeLeft, View
from stdlib.samples import Prompt, Sample, SampleId, Segment


class _HandClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _info(*, max_steps: int = 10, until: str = "", past: tuple[Row, ...] = ()) -> StageInfo:
    return StageInfo(
        experiment="demo",
        number=1,
        num_stages=2,
        name="rl",
        algorithm="grpo",
        max_steps=max_steps,
        until=until,
        past=past,
    )


def _step(step: int, reward: float = 0.5) -> Row:
    return {"stage": "rl", "step": step, "global_step": step, "reward/mean": reward, "train/loss": 0.25}


def _evaluation(step: int, accuracy: float) -> Row:
    return {"stage": "rl", "step": step, "global_step": step, "eval/h/accuracy": accuracy, "eval/h/greedy": 0.5}


def _sample(text: str) -> Sample:
    return Sample(
        id=SampleId(stage=0, step=1, group=0, sample=0),
        prompt=Prompt(row=0, source="a.jsonl", text="what is [bold]2+2[/bold]?", tokens=(1,), label="4"),
        segments=(Segment(tokens=(2, 3), is_sampled=True, logprobs=(-1.0, -1.0), versions=(0, 0)),),
        text=text,
        finish="stop",
        reward=1.0,
    )


def _console(stream: io.StringIO, *, color: bool = False) -> Console:
    return Console(file=stream, width=100, height=40, force_terminal=True, color_system="standard" if color else None)


def test_time_left_is_that_of_the_latest_steps_without_the_first():
    clock = _HandClock()
    left = TimeLeft(_info(), clock=clock)
    assert left.text() == ""
    for step, seconds in ((1, 60.0), (2, 5.0), (3, 5.0)):
        clock.now_s += seconds
        left.step_done(step)
    assert left.text() == "35s left"
    clock.now_s += 2.0
    assert left.text() == "33s left"
    clock.now_s += 200.0
    assert left.text() == "0s left"


def test_time_left_is_a_bound_where_the_stage_may_end_early():
    clock = _HandClock()
    left = TimeLeft(_info(until="eval.h.accuracy >= 0.5"), clock=clock)
    clock.now_s += 2.0
    left.step_done(1)
    assert left.text() == "at most 18s left"


def test_time_left_after_a_resume_counts_only_what_is_left():
    clock = _HandClock()
    left = TimeLeft(_info(past=(_step(1), _step(6))), clock=clock)
    clock.now_s += 2.0
    left.step_done(7)
    assert left.text() == "6s left"
    left.step_done(10)
    assert left.text() == ""


def test_plain_lines_about_steps_are_thinned_and_those_about_evaluations_are_not():
    stream, clock = io.StringIO(), _HandClock()
    view = PlainView(stream, clock=clock, interval_s=5.0)
    view.stage_started(_info(until="eval.h.accuracy >= 0.9"))
    view.evaluated(_evaluation(0, 0.25))
    for step in range(1, 11):
        clock.now_s += 2.0
        view.step(_step(step))
        if step == 4:
            view.evaluated(_evaluation(4, 0.5))
    view.warning("look out")
    assert stream.getvalue().split("\n") == [
        "== demo: stage 1 of 2, rl (grpo), at most 10 steps, until eval.h.accuracy >= 0.9",
        "rl eval after step 0: h sampled 0.250, greedy 0.500",
        "rl 1/10  reward 0.500  loss 0.250  (at most 18s left)",
        "rl 4/10  reward 0.500  loss 0.250  (at most 12s left)",
        "rl eval after step 4: h sampled 0.500 (+0.250), greedy 0.500 (+0)",
        "rl 7/10  reward 0.500  loss 0.250  (at most 6s left)",
        "rl 10/10  reward 0.500  loss 0.250",
        "warning: look out",
        "",
    ]


def test_plain_lines_go_on_after_a_resume():
    stream, clock = io.StringIO(), _HandClock()
    view = PlainView(stream, clock=clock, interval_s=5.0)
    view.stage_started(_info(past=(_evaluation(0, 0.25), _step(4))))
    view.evaluated(_evaluation(5, 0.75))
    assert "10 steps, resumed after step 4" in stream.getvalue()
    assert "sampled 0.750 (+0.500)" in stream.getvalue()


def test_plain_lines_survive_a_stream_that_is_ascii_only():
    binary = io.BytesIO()
    view = PlainView(io.TextIOWrapper(binary, encoding="ascii"), clock=_HandClock(), interval_s=5.0)
    view.warning("reward \u00e9")
    assert binary.getvalue() == b"warning: reward ?\n"


def test_plain_lines_go_nowhere_once_nobody_reads_them():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        view = PlainView(stream, clock=_HandClock(), interval_s=5.0)
        os.close(reader)
        view.warning("nobody")
        view.warning("reads this")
        view.close()


def test_a_log_that_takes_no_more_lines_is_a_coded_fault():
    with open("/dev/full", "w") as stream:
        view = PlainView(stream, clock=_HandClock(), interval_s=5.0)
        with pytest.raises(SpecError, match="RLC0651: cannot write standard output: No space left"):
            view.warning("too long for this disk")
        view.close()


def test_the_live_panel_shows_where_the_run_stands():
    stream, clock = io.StringIO(), _HandClock()
    view = LiveView(_console(stream), clock=clock)
    view.stage_started(_info(until="eval.h.accuracy >= 0.9"))
    view.evaluated(_evaluation(0, 0.25))
    for step in (1, 2):
        clock.now_s += 3.0
        view.step(_step(step, reward=step / 4))
    view.evaluated(_evaluation(2, 0.75))
    view.sampled([_sample("not this"), _sample("four\x1b[2J")])
    view.close()
    shown = stream.getvalue()
    for words in (
        "demo",
        "stage 1 of 2: ",
        "(grpo)",
        "step 2 of 10",
        "when eval.h.accuracy >= 0.9",
        "+0.250",
        "+0.500",
    ):
        assert words in shown
    assert "what is [bold]2+2[/bold]?" in shown
    assert "four?[2J" in shown
    assert "not this" not in shown
    assert "\x1b[2J" not in shown
    assert shown.endswith("\x1b[?25h")


def test_the_live_panel_after_a_resume_starts_from_what_was_there():
    stream = io.StringIO()
    view = LiveView(_console(stream), clock=_HandClock())
    view.stage_started(_info(past=(_evaluation(0, 0.25), _step(4, reward=0.125))))
    view.close()
    assert "step 4 of 10" in stream.getvalue()
    assert "0.125" in stream.getvalue()


def test_a_long_stage_is_drawn_from_its_first_to_its_latest_step():
    stream = io.StringIO()
    view = LiveView(_console(stream), clock=_HandClock())
    view.stage_started(_info(max_steps=10_001))
    for step in range(1, 10_002):
        view.step(_step(step, reward=float(step)))
    view.close()
    line = next(line for line in reversed(stream.getvalue().split("\n")) if "reward" in line)
    assert line.split()[2:5] == ["10,001", "1.000", "+10,000"]
    bars = line.split()[5]
    assert list(bars) == sorted(bars)
    assert {bars.count(chr(0x2582 + level)) for level in range(6)} <= {
        len(bars) // 7 - 1,
        len(bars) // 7,
        len(bars) // 7 + 1,
    }


def test_a_warning_is_printed_above_the_panel_and_the_terminal_is_given_back_once():
    stream = io.StringIO()
    view = LiveView(_console(stream), clock=_HandClock())
    view.stage_started(_info())
    view.warning("look [red]out[/red]")
    view.close()
    view.close()
    assert "warning: look [red]out[/red]" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize("color", [True, False])
def test_both_views_end_with_where_everything_is(tmp_path: Path, color: bool):
    (tmp_path / "metrics.jsonl").write_bytes(encode_row(_step(1)) + encode_row(_evaluation(1, 0.5)))
    summary = write_summary(tmp_path, experiment="demo")
    for make in _views(color=color):
        stream = io.StringIO()
        view = make(stream)
        view.stage_started(_info())
        view.finished(summary)
        assert stream.getvalue().rstrip("\n").split("\n")[-1] == f"everything is in {tmp_path}"


def _views(*, color: bool) -> Iterator[Callable[[io.StringIO], View]]:
    yield lambda stream: PlainView(stream, clock=_HandClock(), interval_s=5.0)
    yield lambda stream: LiveView(_console(stream, color=color), clock=_HandClock())


def test_a_terminal_gets_the_live_view_and_anything_else_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    controller, terminal = pty.openpty()
    with open(controller, "rb", buffering=0), open(terminal, "w", encoding="utf-8") as stream:
        assert isinstance(open_view(stream, clock=_HandClock(), look=Look()), LiveView)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(open_view(stream, clock=_HandClock(), look=Look()), PlainView)
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        assert isinstance(open_view(stream, clock=_HandClock(), look=Look()), PlainView)


def test_a_terminal_without_unicode_gets_plain_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    controller, terminal = pty.openpty()
    with open(controller, "rb", buffering=0), open(terminal, "w", encoding="ascii") as stream:
        assert isinstance(open_view(stream, clock=_HandClock(), look=Look()), PlainView)


def test_ascii_is_kept_to_and_colours_are_left_out_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    binary = io.BytesIO()
    with io.TextIOWrapper(binary, encoding="utf-8") as stream:
        open_view(stream, clock=_HandClock(), look=Look(ascii_only=True)).warning("reward \u00e9")
        assert binary.getvalue() == b"warning: reward ?\n"
    controller, terminal = pty.openpty()
    with open(controller, "rb", buffering=0) as shown, open(terminal, "w", encoding="utf-8") as stream:
        assert isinstance(open_view(stream, clock=_HandClock(), look=Look(ascii_only=True)), PlainView)
        for color in (True, False):
            open_view(stream, clock=_HandClock(), look=Look(color=color)).warning("look out")
            stream.flush()
            assert (b"\x1b[1;33m" in shown.read(1000)) is color
