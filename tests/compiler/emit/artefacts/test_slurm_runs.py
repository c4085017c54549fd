"""The batch script as Slurm runs it, with programs in the place of srun and scontrol, on one machine."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.launch_files import files_of, shipped_plan, write_files

SRUN = '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
SCONTROL = '#!/usr/bin/env bash\n[[ $1 == show ]] && echo machine-1\necho "$@" >>"$CALLS"\n'
# Ends with a code of its own, or on SIGTERM as `rlc run` does with a checkpoint saved.
RLC = """#!/usr/bin/env bash
trap 'exit 130' TERM
echo "$@" >>"$CALLS"
[[ $ENDS == never ]] || exit "$ENDS"
while true; do sleep 0.1; done
"""


class Batch:
    """A job of the quickstart in a folder of its own."""

    def __init__(self, folder: Path, *, ends: str, restarts: int = 0) -> None:
        settings = (
            'launch.slurm.container="none"',
            f'launch.shared_dir="{folder}/shared"',
            "launch.slurm.max_requeues=3",
        )
        self.job = folder / "job"
        write_files({**files_of("slurm", shipped_plan("quickstart.toml", settings)), "plan.json": "{}"}, self.job)
        write_files({"srun": SRUN, "scontrol": SCONTROL, "rlc": RLC}, folder / "bin")
        for program in (folder / "bin").iterdir():
            program.chmod(0o755)
        self.calls = folder / "calls"
        self.calls.touch()
        variables = {
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "CALLS": str(self.calls),
            "ENDS": ends,
            "SLURM_SUBMIT_DIR": str(self.job),
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NODELIST": "machine-1",
            "SLURM_RESTART_COUNT": str(restarts),
        }
        self.process = subprocess.Popen(
            ["bash", str(self.job / "job.sbatch")], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def out_of_time(self) -> None:
        """Wait for the driver, and send the signal that Slurm sends some time before the limit."""
        until = time.monotonic() + 60
        while "run " not in self.calls.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was called."""
        self.process.communicate(timeout=60)
        return self.process.returncode, self.calls.read_text()


@pytest.mark.parametrize("code", ["0", "4"])
def test_the_code_of_the_driver_is_that_of_the_job(code: str, tmp_path: Path) -> None:
    found, calls = Batch(tmp_path, ends=code).end()
    assert found == int(code)
    assert f"run {tmp_path}/job/plan.json --root {tmp_path}/shared --run-dir {tmp_path}/shared/runs/quickstart" in calls
    assert "requeue" not in calls


def test_a_job_that_is_out_of_time_saves_and_goes_into_the_queue_again(tmp_path: Path) -> None:
    batch = Batch(tmp_path, ends="never")
    batch.out_of_time()
    code, calls = batch.end()
    assert code == 130
    assert calls.endswith("requeue 7\n")


def test_a_job_that_was_in_the_queue_often_enough_stays_out_of_it(tmp_path: Path) -> None:
    batch = Batch(tmp_path, ends="never", restarts=3)
    batch.out_of_time()
    code, calls = batch.end()
    assert code == 130
    assert "requeue" not in calls


def test_a_job_that_is_submitted_elsewhere_says_so(tmp_path: Path) -> None:
    batch = Batch(tmp_path, ends="0")
    batch.end()
    (batch.job / "plan.json").unlink()
    found = subprocess.run(
        ["bash", str(batch.job / "job.sbatch")],
        env={"PATH": "/usr/bin:/bin", "SLURM_SUBMIT_DIR": str(batch.job)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "submit it in its own folder" in found.stderr
