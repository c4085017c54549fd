"""What a caller can get wrong with the native engine, as coded diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.diagnostics.nearest import nearest_names
from runtime.protocols import GenerationRequest


class Limits(NamedTuple):
    """What a request has to fit into: one sequence, and the cache as a whole."""

    max_context_tokens: int
    cache_tokens: int


def check_requests(requests: Sequence[GenerationRequest], limits: Limits, *, vocab_size: int) -> None:
    """Raise SpecError with every request that cannot be served."""
    found: list[Diagnostic] = []
    for idx, request in enumerate(requests):
        if request.num_samples < 1 or request.max_new_tokens < 1:
            raise InternalError(f"request {idx} asks for no sample or no token: {request}")
        found += _faults(request, f"request {idx}", limits, vocab_size)
    if found:
        raise SpecError(*found)


def unknown_weight(name: str, known: Iterable[str]) -> Diagnostic:
    """Return the diagnostic for a weight that the architecture does not have."""
    near = nearest_names(name, known, most=1)
    help_ = (Help(f"did you mean {near[0]}?"),) if near else ()
    return Diagnostic("RLC0633", f"the rollout engine has no weight {name}", help=help_)


def missing_weights(names: Sequence[str]) -> Diagnostic:
    """Return the diagnostic for weights that were not given."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    text = f"{len(names)} weights were not given to the rollout engine: {', '.join(names[:3])}{more}"
    return Diagnostic("RLC0634", text, help=(Help("give every weight on each load; the engine keeps none of the old"),))


def misshapen_weight(name: str, given: tuple[int, ...], expected: tuple[int, ...]) -> Diagnostic:
    """Return the diagnostic for a weight of another shape."""
    text = f"weight {name} has shape {list(given)}, and [model] makes it {list(expected)}"
    return Diagnostic("RLC0635", text, paths=("model",))


def untied_head(name: str, embedding: str) -> Diagnostic:
    """Return the diagnostic for an output head that differs from the embedding it is tied to."""
    text = f"model.tie_embeddings = true, but {name} differs from {embedding}"
    fix = Help("set model.tie_embeddings = false", sets=(("model.tie_embeddings", "false"),))
    return Diagnostic("RLC0636", text, help=(fix,), paths=("model.tie_embeddings",))


def not_finite(version: int) -> SpecError:
    """Return the error for a policy whose output is not a number."""
    text = f"the policy's logits are not finite (weights of version {version})"
    fix = Help("lower the learning rate or clip the gradient; look at grad_norm in the steps before")
    return SpecError(Diagnostic("RLC0637", text, help=(fix,)))


def _faults(request: GenerationRequest, who: str, limits: Limits, vocab_size: int) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    num_prompt, num_new = len(request.tokens), request.max_new_tokens
    if not num_prompt:
        found.append(Diagnostic("RLC0631", f"{who} has an empty prompt", help=(Help("drop the row from the data"),)))
    text = f"{who} does not fit: {num_prompt} prompt tokens + {num_new} new tokens = {num_prompt + num_new}, and "
    if num_prompt + num_new > limits.max_context_tokens:
        text += f"max_context_tokens = {limits.max_context_tokens}"
        found.append(Diagnostic("RLC0630", text, paths=("rollout.max_context_tokens",)))
    elif num_prompt + num_new > limits.cache_tokens:
        text += f"the cache of the engine holds {limits.cache_tokens}"
        path, value = "rollout.engine.cache_tokens", str(limits.max_context_tokens)
        fix = Help(f"set {path} = {value}, or ask for fewer new tokens", sets=((path, value),))
        found.append(Diagnostic("RLC0700", text, help=(fix,), paths=(path,)))
    named = {*request.tokens, *request.stop_token_ids, *request.logprob_token_ids}
    foreign = sorted(t for t in named if not 0 <= t < vocab_size)
    if foreign:
        text = f"{who} has token id {foreign[0]}, and model.vocab_size = {vocab_size}"
        found.append(Diagnostic("RLC0632", text, paths=("model.vocab_size", "model.tokenizer")))
    found += [Diagnostic("RLC0701", f"{who} {fault}", help=(Help(fix),)) for fault, fix in _unmet(request, vocab_size)]
    return found


def _unmet(request: GenerationRequest, vocab_size: int) -> Iterator[tuple[str, str]]:
    """Yield what a request asks for that there is not, and what to ask for instead."""
    if "" in request.stop_strings:
        yield "has an empty stop string", "leave it out: every response would have it"
    if request.stop_strings and request.decode is None:
        yield "has stop strings and nothing that makes text of tokens", "give it the tokenizer's decode"
    if request.min_new_tokens > request.first_draw + request.max_new_tokens:
        most = request.first_draw + request.max_new_tokens
        text = f"asks for at least {request.min_new_tokens} tokens of a response that has at most {most}"
        yield text, f"set min_new_tokens = {most} at most"
    if request.min_new_tokens and len(request.stop_token_ids) >= vocab_size:
        yield "may not stop and may draw nothing else", "name fewer stop tokens"
    first, most = request.prompt_logprobs_from, len(request.tokens)
    if first is not None and not 1 <= first < most:
        text = f"asks for log-probs of its prompt from position {first} on, and its {most} tokens have none there"
        yield text, "the first token has no log-prob: ask from 1 on, or not at all"
    if not 0 <= request.top_logprobs <= vocab_size:
        text = f"asks for the {request.top_logprobs} likeliest tokens of a vocabulary of {vocab_size}"
        yield text, f"set top_logprobs = {vocab_size} at most"
