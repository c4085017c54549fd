"""The names of a program, each bound to the place that will hold its value, and all static errors of Starlark.

A variable belongs to the file, to a function, or to a comprehension, whose variables live in the function around it.
What a function inside uses of one around it is kept in a cell that both share.  The result is plain data beside the
tree, keyed by offset (no two names begin at the same one), so that it can be kept on disk with the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark import static_errors as errors
from compiler.frontend.starlark import tree_cache
from compiler.frontend.starlark.bindings import Block, Function, Layout, Variable, bound, names_in, place
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.signatures import check_arguments, check_parameters

# Whoever has more errors than these has one that causes them.
MOST_ERRORS = 30


class Resolution(NamedTuple):
    """Where the names of a tree are.

    `names[start]` is the kind of place (LOCAL, CELL, GLOBAL, UNIVERSAL) and its number; `layouts[start]` belongs to the
    `def` or `lambda` that begins there; `main` is the layout of the tree itself; `globals_` are the names of the file
    in the order of their numbers, and `loaded` those of them that other files gave.
    """

    names: dict[int, tuple[int, int]]
    layouts: dict[int, Layout]
    main: Layout
    globals_: tuple[str, ...]
    loaded: frozenset[str]


def resolve(source: SourceFile, tree: Node, universe: Iterable[str], cache: Path | None) -> Resolution:
    """Return the places of all names of a file or an expression.  Raises: SpecError with every static error."""
    key = tree_cache.key_of("names", source.text, *sorted(universe)) if cache is not None else ""
    found = tree_cache.read(cache, key)
    if found is not None:
        names, layouts, main, globals_, loaded = found
        return Resolution(names, {at: Layout(*it) for at, it in layouts.items()}, Layout(*main), globals_, loaded)
    made = _resolve(source, tree, universe)
    plain = {at: tuple(layout) for at, layout in made.layouts.items()}
    tree_cache.write(cache, key, (made.names, plain, tuple(made.main), made.globals_, made.loaded))
    return made


def _resolve(source: SourceFile, tree: Node, universe: Iterable[str]) -> Resolution:
    resolver = _Resolver(source, frozenset(universe))
    if tree[0] == "file":
        resolver.declare_globals(tree[3:])
        resolver.statements(tree[3:])
    else:
        resolver.visit(tree)
    resolver.reporter.raise_errors()
    return resolver.resolution()


class _Resolver:
    def __init__(self, source: SourceFile, universe: frozenset[str]) -> None:
        self.source = source
        self.universe = universe
        self.reporter = Reporter()
        self.top = Function(None)
        self.globals_: dict[str, Variable] = {}
        self.loaded: set[str] = set()
        self.unknown: set[str] = set()
        self.block = Block(self.top, self.globals_, None)
        self.uses: list[tuple[int, Variable | None]] = []
        self.functions: list[tuple[int, Function]] = []

    def resolution(self) -> Resolution:
        names = {at: place(variable) for at, variable in self.uses}
        layouts = {at: function.layout() for at, function in self.functions}
        return Resolution(names, layouts, self.top.layout(), tuple(self.globals_), frozenset(self.loaded))

    def span(self, node: Node) -> Span:
        return Span(self.source, node[1], node[2])

    def report(self, found: Diagnostic) -> None:
        if len(self.reporter.diagnostics) < MOST_ERRORS:
            self.reporter.add(found)

    # Names

    def declare_globals(self, statements: Iterable[Node]) -> None:
        for statement, name in bound(statements):
            text = name[3]
            first = self.globals_.get(text)
            if first is None:
                self.globals_[text] = Variable(name[1], len(self.globals_), is_global=True)
            else:
                at = Span(self.source, first.at, first.at + len(text))
                self.report(errors.bound_twice(text, at, self.span(name), is_augmented=statement[0] == "augment"))
            if statement[0] == "load":
                self.loaded.add(text)

    def use(self, name: Node) -> None:
        text, block, function = name[3], self.block, self.block.function
        while True:
            variable = block.names.get(text)
            if variable is not None:
                if block.function is not function and not variable.is_global:
                    variable = function.capture(variable, block.function)
                self.uses.append((name[1], variable))
                return
            if block.around is None:
                break
            block = block.around
        if text in self.universe:
            self.uses.append((name[1], None))
        elif text not in self.unknown:
            self.unknown.add(text)
            if len(self.unknown) <= MOST_ERRORS:
                self.report(errors.undefined(text, self.span(name), self.visible()))

    def visible(self) -> set[str]:
        known = set(self.universe)
        block: Block | None = self.block
        while block is not None:
            known.update(block.names)
            block = block.around
        return known

    # Statements

    def statements(self, statements: Iterable[Node]) -> None:
        for statement in statements:
            self.visit(statement)

    def visit(self, node: Node) -> None:
        special = _SPECIAL.get(node[0])
        if special is not None:
            special(self, node)
            return
        for part in node[3:]:
            if type(part) is tuple:
                self.visit(part)

    def in_function(self) -> bool:
        return self.block.function is not self.top

    def on_assign(self, node: Node) -> None:
        self.visit(node[4])
        self.target(node[3])

    def on_augment(self, node: Node) -> None:
        target = node[4]
        if target[0] in ("tuple", "list"):
            self.report(errors.augmented_sequence(target[0], self.span(target)))
        else:
            self.target(target)
        self.visit(node[5])

    def target(self, node: Node) -> None:
        if node[0] in ("tuple", "list"):
            for part in node[3:]:
                self.target(part)
        elif node[0] in ("name", "index", "dot"):
            self.visit(node)
        else:
            self.report(errors.not_assignable(node[0], self.span(node)))

    def on_if(self, node: Node) -> None:
        if not self.in_function():
            self.report(errors.only_in_function("if", Span(self.source, node[1], node[1] + 2)))
        for part in node[3:]:
            if part is not None:
                self.visit(part)

    def on_for(self, node: Node) -> None:
        if not self.in_function():
            self.report(errors.only_in_function("for", Span(self.source, node[1], node[1] + 3)))
        function = self.block.function
        self.visit(node[4])
        self.target(node[3])
        function.loops += 1
        self.visit(node[5])
        function.loops -= 1

    def on_jump(self, node: Node) -> None:
        if not self.block.function.loops:
            self.report(errors.outside_loop(node[0], self.span(node)))

    def on_return(self, node: Node) -> None:
        if not self.in_function():
            self.report(errors.return_outside(Span(self.source, node[1], node[1] + len("return"))))
        if node[3] is not None:
            self.visit(node[3])

    def on_load(self, node: Node) -> None:
        if self.in_function():
            self.report(errors.load_inside(Span(self.source, node[1], node[1] + len("load"))))
        if len(node) == 4:
            self.report(errors.loads_nothing(self.span(node)))
        for bind in node[4:]:
            _, _, _, local, original = bind
            if not original[3].isidentifier() or not local[3].isidentifier():
                self.report(errors.loads_no_name(self.span(original)))
            elif original[3].startswith("_"):
                self.report(errors.loads_private(original[3], self.span(original)))
            self.visit(local)

    # Functions

    def on_def(self, node: Node) -> None:
        _, _, _, name, parameters, body = node
        self.visit(name)
        self.function(node, parameters, body)

    def on_lambda(self, node: Node) -> None:
        self.function(node, node[3], node[4])

    def function(self, node: Node, parameters: Node, body: Node) -> None:
        check_parameters(self.source, parameters, self.reporter)
        for parameter in parameters[3:]:
            if parameter[0] == "param" and parameter[4] is not None:
                self.visit(parameter[4])
        function = Function(self.block.function)
        names: dict[str, Variable] = {}
        for parameter in parameters[3:]:
            if parameter[3] is not None and parameter[3][3] not in names:
                names[parameter[3][3]] = function.declare(parameter[3][1])
        if body[0] == "suite":
            for _, name in bound(body[3:]):
                if name[3] not in names:
                    names[name[3]] = function.declare(name[1])
        around, self.block = self.block, Block(function, names, self.block)
        self.visit(body)
        self.block = around
        self.functions.append((node[1], function))

    # Expressions

    def on_call(self, node: Node) -> None:
        self.visit(node[3])
        check_arguments(self.source, node[4:], self.reporter)
        for argument in node[4:]:
            self.visit(argument[4] if argument[0] == "keyword" else argument)

    def on_dot(self, node: Node) -> None:
        self.visit(node[3])

    def on_comprehension(self, node: Node) -> None:
        _, _, _, element, first, *clauses = node
        self.visit(first[4])
        function = self.block.function
        names: dict[str, Variable] = {}
        for clause in (first, *clauses):
            if clause[0] == "for_clause":
                for name in names_in(clause[3]):
                    if name[3] not in names:
                        names[name[3]] = function.declare(name[1])
        around, self.block = self.block, Block(function, names, self.block)
        self.target(first[3])
        for clause in clauses:
            self.visit(clause[-1])
            if clause[0] == "for_clause":
                self.target(clause[3])
        self.visit(element)
        self.block = around


_SPECIAL: dict[str, Callable[[_Resolver, Node], None]] = {
    "name": _Resolver.use,
    "assign": _Resolver.on_assign,
    "augment": _Resolver.on_augment,
    "if": _Resolver.on_if,
    "for": _Resolver.on_for,
    "break": _Resolver.on_jump,
    "continue": _Resolver.on_jump,
    "return": _Resolver.on_return,
    "load": _Resolver.on_load,
    "def": _Resolver.on_def,
    "lambda": _Resolver.on_lambda,
    "call": _Resolver.on_call,
    "dot": _Resolver.on_dot,
    "list_comp": _Resolver.on_comprehension,
    "dict_comp": _Resolver.on_comprehension,
}
