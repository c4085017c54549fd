"""`rlc serve` as a process: it tells where it is, answers with the weights of a run, and ends in order."""

from __future__ import annotations

import asyncio
import re
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from safetensors.torch import load_file

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.plan import Plan
from rlc.catalogue import scan
from rlc.running import Place, prepare, read_saved_plan
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from tests.contract.rollout_engines import GREEDY, generate, request
from tests.support.processes import Ended, Process, Server
from tests.support.served_engine import wait_until
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# Room for a response that takes a while.
LONG = SPEC.replace("max_position_tokens = 16", "max_position_tokens = 8_192").replace(
    "max_prompt_tokens = 4\n", "max_prompt_tokens = 4\nmax_context_tokens = 8_192\n"
)


class Served:
    """A process that serves."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._ended: Ended | None = None
        process.says("http://")
        found = re.search(r"http://[\d.:]+", process.printed())
        assert found is not None
        self.url = found[0]

    def ends(self, number: signal.Signals) -> Ended:
        """Signal the process, and return how it ended."""
        if self._ended is None:
            self.process.signal(number)
            self._ended = self.process.wait()
        return self._ended


@contextmanager
def serving(server: Server, folder: Path, *argv: str | Path) -> Iterator[Served]:
    """Run `rlc serve` at a free port."""
    served = Served(server.start("serve", *argv, "--port", "0", cwd=folder))
    try:
        yield served
    finally:
        served.ends(signal.SIGKILL)


def client_at(url: str, token_file: Path) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {token_file.read_text(encoding='ascii').strip()}"}
    return httpx2.Client(base_url=url, headers=headers, timeout=60.0, trust_env=False)


def test_a_run_directory_is_served_with_the_weights_of_its_latest_checkpoint(
    server: Server, undisturbed: tuple[Path, Ended]
) -> None:
    run_dir, _ = undisturbed
    latest = sorted((run_dir / "checkpoints").glob("step_*"))[-1]
    token_file = run_dir / "serve.token"
    model = plan_of(run_dir).experiment.model
    engine = NativeEngine(model, concurrency=2, max_context_tokens=7)
    engine.load_weights(iter(load_file(latest / "model.safetensors").items()), version=14)
    with serving(server, run_dir.parent, run_dir) as served, client_at(served.url, token_file) as client:
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
        assert token_file.read_text(encoding="ascii").strip() not in served.process.printed()
        params = {"temperature": 0, "max_new_tokens": 3, "ignore_eos": True}
        answer = client.post("/generate", json={"text": "1+1=", "sampling_params": params}).json()
        (expected,) = generate(engine, [request([5, 14, 5, 15], max_new_tokens=3, sampling=GREEDY)])
        assert tuple(answer["output_ids"]) == expected.tokens
        assert answer["meta_info"]["weight_version"] == "14"
        assert served.ends(signal.SIGTERM).code == 0


def test_a_server_that_is_told_to_end_finishes_what_is_under_way(server: Server, tmp_path: Path) -> None:
    write_experiment(tmp_path, spec=LONG)
    with (
        serving(server, tmp_path, "spec.toml", "--checkpoint", "initial", "--token-file", "t") as served,
        client_at(served.url, tmp_path / "t") as client,
        ThreadPoolExecutor() as pool,
    ):
        params = {"max_new_tokens": 2000, "ignore_eos": True}
        asked = pool.submit(client.post, "/generate", json={"text": "1+1=", "sampling_params": params})
        wait_until(lambda: client.get("/server_info").json()["internal_states"][0]["num_outstanding"] == 1)
        assert served.ends(signal.SIGTERM).code == 0
        assert len(asked.result().json()["output_ids"]) == 2000


def test_a_server_that_is_killed_in_the_middle_is_named_by_its_address(server: Server, tmp_path: Path) -> None:
    spec = write_experiment(tmp_path, spec=LONG)
    job = prepare(spec, overrides=(), place=Place()).job
    assert job is not None
    with serving(server, tmp_path, "spec.toml", "--checkpoint", "initial", "--token-file", "t") as served:
        token = (tmp_path / "t").read_text(encoding="ascii").strip()
        place = ServerPlace(url=served.url, token=token, answer_s=30.0, silence_s=30.0, attempts=2)
        engine = SGLangEngine(place)
        engine.load_weights(engine.weights(), version=3)

        async def run() -> None:
            generation = engine.begin()
            generation.submit([request([5], max_new_tokens=1), request([5, 14], max_new_tokens=8000)])
            first = await generation.next()
            assert first is not None
            assert first.versions == (3,)
            served.ends(signal.SIGKILL)
            await generation.next()

        with pytest.raises(SpecError, match="RLC0729") as fault:
            asyncio.run(run())
        assert served.url in str(fault.value)
        engine.close()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("spec.toml",), "RLC0691"),
        (("spec.toml", "--checkpoint", "initial", "--stage", "grpoo"), "RLC0733"),
        (("spec.toml", "--checkpoint", "initial", "--host", "192.0.2.1"), "RLC0732"),
        (("spec.toml", "--checkpoint", "initial", "--token-env", "NO_SUCH_TOKEN"), "RLC0732"),
        (("spec.toml", "--checkpoint", "initial", "--token-file", "spec.toml/t"), "RLC0732"),
    ],
)
def test_what_cannot_be_served_is_named(argv: tuple[str, ...], code: str, server: Server, tmp_path: Path) -> None:
    write_experiment(tmp_path)
    ended = server.run("serve", *argv, cwd=tmp_path)
    assert ended.code == 1
    assert f"error[{code}]" in ended.err


def plan_of(run_dir: Path) -> Plan:
    return read_saved_plan(run_dir / "plan.json", scan())
