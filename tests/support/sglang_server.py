"""SGLang's own server on CPU, started as a plan starts it, from the Python of an environment that has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.ir.machine import EnvironmentVariable, RoleLaunch
from compiler.ir.processes import Process
from runtime.engines.rollout.server_process import ServerProcess, planned_command
from tests.support.free_port import free_port

TOKEN = "the token of a test"
_SHIMS = Path(__file__).with_name("sglang_on_cpu")
_WORDS = (
    *("python", "-W", "ignore", "-m", "sglang.launch_server", "--host", "{address}", "--port", "{port}"),
    *("--api-key", "{token}", "--nccl-port", "{second_port}", "--random-seed", "{seed}", "--dtype", "float32"),
    *("--device", "cpu", "--attention-backend", "torch_native", "--sampling-backend", "pytorch"),
    *("--disable-cuda-graph", "--disable-overlap-schedule", "--mem-fraction-static", "0.3"),
    *("--max-total-tokens", "8192", "--max-running-requests", "64", "--skip-server-warmup", "--skip-tokenizer-init"),
    *("--log-level", "warning"),
)


def start_sglang(python: Path, model_dir: Path, log_dir: Path, *, words: Sequence[str] = ()) -> ServerProcess:
    """Start a server of the weights in a directory; `wait_ready` waits for it."""
    variables = {"SGLANG_USE_CPU_ENGINE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_SHIMS)}
    launch = RoleLaunch(
        role="rollout",
        stages=("main",),
        engine="sglang",
        version="0.5.23",
        words=(*_WORDS, "--model-path", str(model_dir), *words),
        follower_words=(),
        environment=tuple(EnvironmentVariable(name=name, value=value) for name, value in variables.items()),
        records=(),
        first_port=0,
        ports=2,
        cpus=1,
        cpus_per_gpu=0,
        shm_gib=0.0,
        ipc="private",
    )
    values = {"port": str(free_port()), "second_port": str(free_port()), "seed": "0"}
    command = planned_command(
        launch,
        Process(engine=0, node=0, first_node=0, values=values),
        known={"address": "127.0.0.1", "first_address": "127.0.0.1", "token": TOKEN},
        environment={"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(log_dir)},
        log_dir=log_dir,
        startup_s=300.0,
    )
    return ServerProcess(command)
