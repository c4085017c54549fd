"""`rlc serve` around the runtime: which plan, which weights, and the token that clients need."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from rlc import environ
from rlc.evaluating import INITIAL, LATEST, check_is_of, find_checkpoint
from rlc.running import Job, check_installed

TOKEN_FILE = "serve.token"
_TOKEN_BYTES = 32


class Subject(NamedTuple):
    """What the command line names: a spec or plan, and a checkpoint by `latest`, `initial` or its path."""

    spec: Path
    checkpoint: str


class Listening(NamedTuple):
    """Where to listen, whose [rollout] is taken, where the token comes from, how long the end may take,
    and where new weights may be read from beside the folder of the plan.

    Without the name of a variable, a token is made and written to the file, or to `serve.token` of the run.
    """

    host: str
    port: int
    stage: str
    token_env: str
    token_file: Path | None
    drain_s: float
    weight_folders: tuple[Path, ...]


def subject(path: Path, checkpoint: str) -> Subject:
    """Return the plan and checkpoint that a path means: a spec, a plan, a run directory or one of its checkpoints."""
    if os.path.isfile(path / "plan.json"):
        return Subject(path / "plan.json", checkpoint)
    of_run = path.absolute().parent.parent / "plan.json"
    if checkpoint == LATEST and os.path.isfile(path / "manifest.json") and os.path.isfile(of_run):
        return Subject(of_run, str(path))
    return Subject(path, checkpoint)


def serve(job: Job, checkpoint: str, listening: Listening, *, say: Callable[[str], object]) -> None:
    """Serve until the process is told to end; say where, and how to call it.

    Raises: SpecError RLC0691 without such a checkpoint, RLC0695 if it is of another experiment, RLC0732 if the address
    or the file of the token is refused, and what the runtime raises.
    """
    variables = job.plan.experiment.cluster.environment
    environ.apply((variable.name, variable.value) for variable in variables)
    check_installed(job.plan.experiment.cluster.target, "runtime.serve_plan")
    from runtime.serve_plan import ServeSettings, Serving, serve_plan

    found = None if checkpoint == INITIAL else find_checkpoint(job, checkpoint)
    if found is not None:
        check_is_of(job.plan, found)
    token, shown = _token(job, listening)

    def tell(serving: Serving) -> None:
        name = job.plan.experiment.name
        body = '{"text": "1+1=", "sampling_params": {"max_new_tokens": 16}}'
        say(
            f"{name}, stage {serving.stage}, weights of step {serving.weight_version}: {serving.url}\n"
            f"the token is in {shown.partition(' ')[2]}; for example:\n"
            f'  curl {serving.url}/generate -H "Authorization: Bearer $({shown})" '
            f"-H 'Content-Type: application/json' -d '{body}'"
        )

    serve_plan(
        job.plan,
        found,
        ServeSettings(
            host=listening.host,
            port=listening.port,
            stage=listening.stage,
            token=token,
            drain_s=listening.drain_s,
            weight_folders=listening.weight_folders,
        ),
        root=job.root,
        started=tell,
    )


def _token(job: Job, listening: Listening) -> tuple[str, str]:
    """Return the token, and the shell command that says it; it is never printed itself."""
    from runtime.environ import secret

    if listening.token_env:
        token = secret(listening.token_env)
        if not token:
            way = Help(f"set it: export {listening.token_env}=..., or leave --token-env out")
            fact = f"the environment variable {listening.token_env}, which is to hold the token, is not set"
            raise SpecError(Diagnostic("RLC0732", fact, help=(way,)))
        return token, f"printenv {listening.token_env}"
    path = listening.token_file or job.run_dir / TOKEN_FILE
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        os.makedirs(path.parent, exist_ok=True)
        # A file of that name that others may read would show the token while it is written.
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
    except OSError as fault:
        way = Help("name another one: --token-file FILE, or a variable: --token-env NAME")
        fact = f"the token cannot be written to {path}: {fault.strerror or fault}"
        raise SpecError(Diagnostic("RLC0732", fact, help=(way,))) from fault
    return token, f"cat {path}"
