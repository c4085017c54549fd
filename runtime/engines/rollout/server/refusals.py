"""Why a server says no: coded diagnostics with the HTTP status that goes with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names


class RefusalError(SpecError):
    """A request that is refused, and the HTTP status of the answer."""

    def __init__(self, status: int, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.status = status


def malformed(fact: str) -> Diagnostic:
    """Return the diagnostic for a body, or a field of it, of the wrong form."""
    return Diagnostic("RLC0720", fact)


def unknown_name(name: str, where: str, known: Iterable[str]) -> Diagnostic:
    """Return the diagnostic for a name that neither SGLang nor this server knows."""
    near = nearest_names(name, known, most=1)
    help_ = (Help(f"did you mean {near[0]}?"),) if near else ()
    return Diagnostic("RLC0721", f"{where} has no field {name[:60]!r}", help=help_)


def not_served(name: str, value: object, way: str) -> Diagnostic:
    """Return the diagnostic for what SGLang can do and the engine behind this server cannot."""
    return Diagnostic(
        "RLC0722", f"{name} = {value!r:.60} is not served by the native rollout engine", help=(Help(way),)
    )


def unrecorded() -> Diagnostic:
    """Return the diagnostic for experts that the engine does not record."""
    fact = "return_routed_experts = true, and this server records no experts"
    way = Help('serve a stage with a model of experts and train.routing_replay = "rollout"')
    return Diagnostic("RLC0736", fact, help=(way,))


def pickled(load_format: object) -> Diagnostic:
    """Return the diagnostic for tensors in SGLang's own form, which is a pickle."""
    said = "without load_format" if load_format is None else f"with load_format = {load_format!r:.60}"
    return Diagnostic(
        "RLC0723",
        f"tensors {said} are pickled, and unpickling can run any code",
        help=(Help('send safetensors files in base64, and load_format = "safetensors"'),),
    )


def not_allowed() -> RefusalError:
    """Return the refusal of a request without the server's token."""
    way = Help("send the header Authorization: Bearer TOKEN, with the token that the server was started with")
    return RefusalError(401, Diagnostic("RLC0724", "this server answers only to its token", help=(way,)))


def no_address(method: str, path: str, known: Iterable[str]) -> RefusalError:
    """Return the refusal of an address, or of a method, that there is not."""
    addresses = sorted(known)
    if path in addresses:
        fact, status = f"{path} is not asked for by {method}", 405
        ways = (Help("POST what has a body, GET what has none"),)
    else:
        fact, status = f"this server has no address {path[:100]!r}", 404
        near = nearest_names(path, addresses, most=1)
        meant = (Help(f"did you mean {near[0]}?"),) if near else ()
        ways = (*meant, Help(f"it has {', '.join(addresses)}"))
    return RefusalError(status, Diagnostic("RLC0752", fact, help=ways))


def too_large(most: int) -> RefusalError:
    """Return the refusal of a body of more than `most` bytes."""
    fact = f"the body of the request has more than {most:,} bytes"
    return RefusalError(413, Diagnostic("RLC0725", fact, help=(Help("send it in several requests"),)))


def stalled(num_bytes: int, silence_s: float) -> RefusalError:
    """Return the refusal of a body of which nothing more came for so many seconds."""
    fact = f"the body of the request stopped after {num_bytes:,} bytes, and nothing came for {silence_s:g} seconds"
    return RefusalError(408, Diagnostic("RLC0734", fact, help=(Help("send all that Content-Length promises"),)))


def not_now(fact: str, way: str) -> RefusalError:
    """Return the refusal of what does not fit the state that the server is in."""
    return RefusalError(400, Diagnostic("RLC0726", fact, help=(Help(way),)))


def not_ready(fact: str, way: str) -> RefusalError:
    """Return the refusal of a server that cannot generate yet, or no longer."""
    return RefusalError(503, Diagnostic("RLC0727", fact, help=(Help(way),)))


def as_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, object]]:
    """Return diagnostics as they stand in an answer."""
    return [{"code": d.code, "message": d.message, "help": [h.text for h in d.help]} for d in diagnostics]


def as_text(diagnostics: Sequence[Diagnostic]) -> str:
    """Return diagnostics as one message."""
    return "; ".join(f"{d.code}: {d.message}" + "".join(f" (help: {h.text})" for h in d.help[:1]) for d in diagnostics)
