"""The static errors of Starlark in words: what `resolve.py` finds without running a program."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import Span

_CONSTANTS = {
    "true": "True",
    "TRUE": "True",
    "false": "False",
    "FALSE": "False",
    "none": "None",
    "null": "None",
    "NULL": "None",
    "nil": "None",
    "undefined": "None",
}
_PYTHON_ONLY = {
    "isinstance": 'compare types by name: type(x) == "list"',
    "sum": "add in a loop, or in a function of your own",
    "round": "int(x + 0.5) rounds a number that is not negative",
    "map": "a comprehension does it: [f(x) for x in items]",
    "filter": "a comprehension does it: [x for x in items if f(x)]",
    "open": "a spec reads no files but those that it loads",
    "input": "a spec asks nobody: make it a parameter of a function",
    "frozenset": "set(...) gives a set",
    "object": "dict(...) and functions do what classes do elsewhere",
    "pow": "multiply, or shift: 1 << n is 2 to the power of n",
}
_TARGET_WORDS = {
    "call": "the result of a call",
    "int": "a number",
    "float": "a number",
    "string": "a string",
    "bytes": "a bytes literal",
    "slice": "a slice",
    "lambda": "a lambda",
    "dict": "a dict",
    "conditional": "a conditional expression",
    "list_comp": "a comprehension",
    "dict_comp": "a comprehension",
}
_SHORTEST_MISSPELT = 2
_ARGUMENT_WORDS = ("positional argument", "keyword argument", "`*` argument", "`**` argument")


def undefined(name: str, at: Span, known: Iterable[str]) -> Diagnostic:
    """Return RLC0131: a name that nothing defines."""
    if name in _CONSTANTS:
        advice = (Help(f"write {_CONSTANTS[name]}", replaced=_CONSTANTS[name]),)
    elif name in _PYTHON_ONLY:
        advice = (Help(_PYTHON_ONLY[name]),)
    else:
        # A short name is near to all other short names.
        near = nearest_names(name, known) if len(name) > _SHORTEST_MISSPELT else []
        meant = near[0] if len(near) == 1 else ""
        advice = (Help("did you mean " + " or ".join(near) + "?", replaced=meant),) if near else ()
    return _found("RLC0131", f"undefined name `{name}`", at, "not defined here", advice)


def bound_twice(name: str, first: Span, second: Span, *, is_augmented: bool) -> Diagnostic:
    """Return RLC0132: a name of the file that gets a second value."""
    labels = (Label(first, "bound here"), Label(second, "and again here", is_primary=True))
    if is_augmented:
        way = f"give the new value a name of its own: {name}_2 = {name} + ..."
    else:
        way = "give the second one another name; inside a function a name may be bound again"
    message = f"cannot reassign global `{name}`: a name of a file is bound once"
    return Diagnostic("RLC0132", message, labels, (Help(way),))


def only_in_function(word: str, at: Span) -> Diagnostic:
    """Return RLC0133: `if` or `for` at the top of a file."""
    inside = "x = a if condition else b" if word == "if" else "[f(x) for x in items]"
    advice = (Help(f"put it into a function and call that, or use an expression: {inside}"),)
    return _found("RLC0133", f"`{word}` statements stand in functions only", at, "at the top of a file", advice)


def outside_loop(word: str, at: Span) -> Diagnostic:
    """Return RLC0133: `break` or `continue` without a loop."""
    advice = (Help("return leaves the function"),) if word == "break" else ()
    return _found("RLC0133", f"`{word}` is not in a loop", at, "no `for` around it in this function", advice)


def return_outside(at: Span) -> Diagnostic:
    """Return RLC0133: `return` at the top of a file."""
    return _found("RLC0133", "`return` is not within a function", at, "at the top of a file", ())


def load_inside(at: Span) -> Diagnostic:
    """Return RLC0133: `load` in a function."""
    advice = (Help("move it to the top of the file"),)
    return _found("RLC0133", "`load` stands at the top of a file only", at, "within a function", advice)


def parameter_twice(name: str, first: Span, second: Span) -> Diagnostic:
    """Return RLC0134: two parameters of one name."""
    labels = (Label(first, "first here"), Label(second, "and again here", is_primary=True))
    return Diagnostic("RLC0134", f"duplicate parameter `{name}`", labels, (Help("rename one of them"),))


def parameter_after_kwargs(kwargs: Span, at: Span) -> Diagnostic:
    """Return RLC0134: something after `**kwargs`."""
    labels = (Label(kwargs, "takes all other keywords"), Label(at, "stands behind it", is_primary=True))
    return Diagnostic("RLC0134", f"no parameter may follow `{kwargs.text}`", labels, (Help("put it in front"),))


def two_stars(first: Span, second: Span) -> Diagnostic:
    """Return RLC0134: a second `*`."""
    labels = (Label(first, "first here"), Label(second, "and again here", is_primary=True))
    return Diagnostic("RLC0134", "multiple `*` parameters", labels, (Help("keep one of them"),))


def required_after_optional(optional: Span, at: Span) -> Diagnostic:
    """Return RLC0134: a parameter without a default after one with a default."""
    labels = (Label(optional, "has a default"), Label(at, "has none", is_primary=True))
    ways = (Help(f"give it a default: {at.text} = None"), Help("or put a `*` in front: it is then given by keyword"))
    return Diagnostic("RLC0134", "required parameter may not follow an optional one", labels, ways)


def bare_star(at: Span) -> Diagnostic:
    """Return RLC0134: a `*` that separates nothing."""
    advice = (Help("name what takes the other arguments: *args"),)
    return _found("RLC0134", "a bare `*` must be followed by a parameter", at, "nothing behind it", advice)


def argument_twice(name: str, first: Span, second: Span) -> Diagnostic:
    """Return RLC0135: a keyword given twice in one call."""
    labels = (Label(first, "first here"), Label(second, "and again here", is_primary=True))
    return Diagnostic("RLC0135", f"keyword argument `{name}` is repeated", labels, (Help("keep one of them"),))


def argument_order(first: Span, second: Span, *, before: int, after: int) -> Diagnostic:
    """Return RLC0135: arguments in an order that a call may not have; ranks are those of `_ARGUMENT_WORDS`."""
    labels = (Label(first, f"a {_ARGUMENT_WORDS[before]}"), Label(second, "stands behind it", is_primary=True))
    if before == after:
        message = f"multiple {_ARGUMENT_WORDS[after]}s in a call"
    else:
        message = f"{_ARGUMENT_WORDS[after]} may not follow a {_ARGUMENT_WORDS[before]}"
    order = "arguments come in this order: positional, keyword, *args, **kwargs"
    return Diagnostic("RLC0135", message, labels, (Help(order),))


def not_assignable(rule: str, at: Span) -> Diagnostic:
    """Return RLC0136: a target that is none."""
    word = _TARGET_WORDS.get(rule, "the value of an operator")
    return _found("RLC0136", f"cannot assign to {word}", at, "neither a name nor a place in a list or dict", ())


def augmented_sequence(rule: str, at: Span) -> Diagnostic:
    """Return RLC0136: several targets of an augmented assignment."""
    message = f"cannot use a {rule} as the target of an augmented assignment"
    return _found("RLC0136", message, at, "several targets", (Help("one assignment for each target"),))


def loads_nothing(at: Span) -> Diagnostic:
    """Return RLC0137: `load("file")`."""
    return _found(
        "RLC0137", "`load` names nothing to load", at, "at least one name", (Help('load("file.star", "name")'),)
    )


def loads_no_name(at: Span) -> Diagnostic:
    """Return RLC0137: a string that is no name."""
    return _found("RLC0137", f"`load` of {at.text}, which is no name", at, "a name in quotes", ())


def loads_private(name: str, at: Span) -> Diagnostic:
    """Return RLC0137: a name that belongs to its own file."""
    message = f"`{name}` cannot be loaded: names that begin with `_` are not exported"
    return _found("RLC0137", message, at, "private to its file", (Help(f"rename it in its file: {name.lstrip('_')}"),))


def _found(code: str, message: str, at: Span, label: str, advice: tuple[Help, ...]) -> Diagnostic:
    return Diagnostic(code, message, (Label(at, label, is_primary=True),), advice)
