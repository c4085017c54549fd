import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.metrics_file import MetricsFile

_WRITER = """
import sys, time
from pathlib import Path
from runtime.telemetry.metrics_file import MetricsFile

def main(folder, last, delay):
    path, checkpoint = folder / "metrics.jsonl", folder / "checkpoint"
    step, offset = map(int, checkpoint.read_text().split()) if checkpoint.exists() else (0, 0)
    MetricsFile.truncate(path, offset)
    metrics = MetricsFile(path)
    for step in range(step + 1, last + 1):
        metrics.write({"stage": "rl", "step": step, "global_step": step, "train/loss": 1 / step,
                       "time/step_s": time.perf_counter()})
        if step % 5 == 0:
            partial = folder / "partial"
            partial.write_text(f"{step} {metrics.offset}")
            partial.replace(checkpoint)
        time.sleep(delay)
    metrics.close()

main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
"""


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.metrics_file import MetricsFile

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
metrics = MetricsFile(path)
metrics.write({"stage": "rl", "step": 1, "global_step": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10,) * 2)
try:
    metrics.write({"stage": "rl", "step": 2, "global_step": 2})
except SpecError as fault:
    sys.exit(0 if fault.diagnostics[0].code == "RLC0651" else 8)
sys.exit(9)
"""


def _row(step: int) -> dict[str, float | int | str]:
    return {"stage": "rl", "step": step, "global_step": step, "train/loss": 1 / step}


def _without_clock(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.dumps({key: value for key, value in row.items() if not key.startswith("time/")}) for row in rows]


def test_a_killed_and_resumed_run_leaves_the_file_of_one_never_killed(tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    command = [sys.executable, "-c", _WRITER]
    subprocess.run([*command, whole, "40", "0"], check=True)
    victim = subprocess.Popen([*command, killed, "40", "0.01"])
    deadline = time.monotonic() + 30
    metrics = killed / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 13):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    with metrics.open("ab") as file:
        file.write(b'{"stage": "rl", "st')
    subprocess.run([*command, killed, "40", "0"], check=True)
    assert _without_clock(metrics) == _without_clock(whole / "metrics.jsonl")
    assert len(_without_clock(metrics)) == 40


def test_opening_a_file_cuts_off_an_unfinished_last_line(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.write(_row(1))
    metrics.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"stage": "' + b"x" * 200_000)
    metrics = MetricsFile(path)
    metrics.write(_row(2))
    metrics.close()
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 2]


def test_a_file_that_is_one_unfinished_line_is_emptied(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage')
    MetricsFile(path).close()
    assert path.read_bytes() == b""


def test_offset_is_the_length_of_the_file_and_truncate_goes_back_to_it(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.write(_row(1))
    offset = metrics.offset
    assert offset == path.stat().st_size
    before = path.read_bytes()
    metrics.write(_row(2))
    metrics.close()
    MetricsFile.truncate(path, offset)
    assert path.read_bytes() == before
    MetricsFile.truncate(path, 0)
    assert path.read_bytes() == b""


def test_truncating_a_missing_file_to_nothing_is_fine(tmp_path: Path):
    MetricsFile.truncate(tmp_path / "metrics.jsonl", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("offset", "words"), [(9999, "has 45 bytes"), (10, "has no row ending at byte 10")])
def test_a_file_of_another_run_is_refused_untouched(tmp_path: Path, offset: int, words: str):
    path = tmp_path / "metrics.jsonl"
    content = b'{"stage": "rl", "step": 1, "global_step": 1}\n'
    path.write_bytes(content)
    with pytest.raises(SpecError, match=f"RLC0650: .*{words}"):
        MetricsFile.truncate(path, offset)
    assert path.read_bytes() == content


def test_a_disk_that_takes_half_a_row_leaves_none_of_it(tmp_path: Path):
    """RLIMIT_FSIZE stands for a full disk; a child process bears it."""
    path = tmp_path / "metrics.jsonl"
    subprocess.run([sys.executable, "-c", _FULL_DISK, path], check=True)
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1]


def test_closing_twice_is_fine(tmp_path: Path):
    metrics = MetricsFile(tmp_path / "new" / "metrics.jsonl")
    metrics.close()
    metrics.close()
