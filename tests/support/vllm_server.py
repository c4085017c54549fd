"""vLLM's own server on CPU, from the Python of an environment that has it."""

from __future__ import annotations

from pathlib import Path

from runtime.engines.rollout.server_process import ServerCommand, ServerProcess
from tests.support.free_port import free_port

TOKEN = "the token of a test"
# The CPU build has no command `vllm`: it looks for the package of the other build.
_WORDS = (
    *("-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager"),
    *("--max-model-len", "512", "--max-num-seqs", "64", "--logprobs-mode", "processed_logprobs"),
    *("--generation-config", "vllm", "--skip-tokenizer-init", "--enable-scale-out"),
)


def start_vllm(python: Path, model_dir: Path, log_dir: Path) -> ServerProcess:
    """Start a server of the weights in a directory; `wait_ready` waits for it."""
    port = free_port()
    command = ServerCommand(
        name="vllm engine",
        argv=["python", *_WORDS, "--port", str(port), "--model", str(model_dir)],
        environment={
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "HOME": str(log_dir),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "VLLM_API_KEY": TOKEN,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_HOST_IP": "127.0.0.1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_SERVER_DEV_MODE": "1",
        },
        url=f"http://127.0.0.1:{port}",
        token=TOKEN,
        ready_path="/health",
        log_path=log_dir / "vllm.log",
        startup_s=300.0,
        grace_s=10.0,
    )
    return ServerProcess(command)
