"""The order in which parameters and arguments may stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark import static_errors as errors
from compiler.frontend.starlark.nodes import Node

_RANKS = {"keyword": 1, "star_arg": 2, "kwargs_arg": 3}


def check_parameters(source: SourceFile, parameters: Node, reporter: Reporter) -> None:
    """Report RLC0134 for the parameters of a function."""
    seen: dict[str, Span] = {}
    optional = star = kwargs = None
    for parameter in parameters[3:]:
        kind, at = parameter[0], _span(source, parameter)
        if parameter[3] is not None:
            name = parameter[3][3]
            if name in seen:
                reporter.add(errors.parameter_twice(name, seen[name], _span(source, parameter[3])))
            seen.setdefault(name, _span(source, parameter[3]))
        if kwargs is not None:
            reporter.add(errors.parameter_after_kwargs(kwargs, at))
        elif kind == "kwargs_param":
            kwargs = at
        elif kind == "star_param":
            if star is not None:
                reporter.add(errors.two_stars(star, at))
            star = star or at
        elif parameter[4] is not None:
            optional = optional or at
        elif optional is not None and star is None:
            reporter.add(errors.required_after_optional(optional, at))
    for star_param, follower in _pairs(parameters[3:]):
        if star_param[0] == "star_param" and star_param[3] is None and (follower is None or follower[0] != "param"):
            reporter.add(errors.bare_star(_span(source, star_param)))


def check_arguments(source: SourceFile, arguments: Iterable[Node], reporter: Reporter) -> None:
    """Report RLC0135 for the arguments of a call."""
    seen: dict[str, Span] = {}
    last, last_at = 0, None
    for argument in arguments:
        rank = _RANKS.get(argument[0], 0)
        at = _span(source, argument)
        if argument[0] == "keyword":
            name = argument[3][3]
            if name in seen:
                reporter.add(errors.argument_twice(name, seen[name], _span(source, argument[3])))
            seen.setdefault(name, _span(source, argument[3]))
        if last_at is not None and (rank < last or (rank == last and rank >= _RANKS["star_arg"])):
            reporter.add(errors.argument_order(last_at, at, before=last, after=rank))
        else:
            last, last_at = rank, at


def _span(source: SourceFile, node: Node) -> Span:
    return Span(source, node[1], node[2])


def _pairs(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, Node | None]]:
    for i, node in enumerate(nodes):
        yield node, nodes[i + 1] if i + 1 < len(nodes) else None
