"""The batch script as Slurm runs it, with programs in the place of srun and scontrol, on one machine."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.launch_files import files_of, shipped_plan, write_files

SRUN = '#!/usr/bin/env bash\necho "srun $*" >>"$CALLS"\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
SETTINGS = ('launch.slurm.container="none"', "launch.slurm.max_requeues=3")
SCONTROL = '#!/usr/bin/env bash\n[[ $1 == show ]] && printf "%s\\n" machine-1 machine-2\necho "$@" >>"$CALLS"\n'
# Ends with a code of its own, or on SIGTERM as `rlc run` does with a checkpoint saved.
RLC = """#!/usr/bin/env bash
trap 'exit 130' TERM
echo "$@" >>"$CALLS"
[[ $ENDS == never ]] || exit "$ENDS"
while true; do sleep 0.1; done
"""


# Ray on the head, and the wait for all machines, end at once and well.
QUIET = "#!/usr/bin/env bash\nexit 0\n"
GETENT = "#!/usr/bin/env bash\necho 127.0.0.1 STREAM\n"


class Batch:
    """A job in a folder of its own: of the quickstart, or of a plan of several machines."""

    def __init__(self, folder: Path, *, ends: str, restarts: int = 0, experiment: str = "quickstart.toml") -> None:
        executor = () if experiment == "quickstart.toml" else ('run.executor="ray"',)
        plan = shipped_plan(experiment, (*SETTINGS, *executor, f'launch.shared_dir="{folder}/shared"'))
        self.job = folder / "job"
        write_files({**files_of("slurm", plan), "plan.json": "{}"}, self.job)
        programs = {"srun": SRUN, "scontrol": SCONTROL, "rlc": RLC, "ray": QUIET, "python3": QUIET, "getent": GETENT}
        write_files(programs, folder / "bin")
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
        while f"run {self.job}" not in self.calls.read_text():
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


def test_other_machines_end_with_the_first_one(tmp_path: Path) -> None:
    batch = Batch(tmp_path, ends="4", experiment="grpo_qwen3_8b_async.toml")
    code, calls = batch.end()
    assert code == 4
    steps = [line for line in calls.splitlines() if line.startswith("srun")]
    assert sorted(line.split()[-1] for line in steps) == ["head", "worker"]
    nodes = {line.split()[-1]: line.partition("--nodelist=")[2].split()[0] for line in steps}
    assert nodes == {"head": "machine-1", "worker": "machine-2"}
