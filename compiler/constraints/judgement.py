"""Whether what is required holds of a resolved experiment, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Callable

from compiler.constraints.arithmetic import described, said
from compiler.constraints.equations import legal, open_paths, settable, solved
from compiler.constraints.evaluate import OpenFieldError, Surroundings, Value, evaluate
from compiler.constraints.exact import said as number_said
from compiler.constraints.labels import distinct, field_in_words, statement_labels, written_labels
from compiler.constraints.statements import Statement, conjuncts
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.starlark.nodes import Node
from compiler.ir.equations import NAMED
from compiler.ir.subject import Subject

BROKEN, FIXED_TWICE, NO_SOLUTION, UNDECIDED, NO_CONDITION, POLICY = (
    "RLC0320",
    "RLC0321",
    "RLC0322",
    "RLC0323",
    "RLC0324",
    "RLC0325",
)


class Judge(NamedTuple):
    """Says of statements whether they hold of one subject; `around` gives what each is evaluated in."""

    subject: Subject
    statements: tuple[Statement, ...]
    around: Callable[[Statement], Surroundings]

    def fault(self, statement: Statement) -> Diagnostic | None:
        """Return the fault of a statement, without ways out; None where it holds, or nothing can be said yet."""
        around = self.around(statement)
        undecided = open_paths(statement.paths, around.names)
        if undecided:
            return self._undecided(statement, around, undecided)
        try:
            value = evaluate(statement.expression, around)
        except SpecError as fault:
            return fault.diagnostics[0]._replace(paths=statement.paths)
        except OpenFieldError:
            return None
        if not isinstance(value, bool):
            return _no_condition(statement, value)
        return None if value else self._broken(statement, around)

    def failing_part(self, statement: Statement) -> Node:
        """Return the first of the parts of a false statement that must all hold and that does not."""
        around = self.around(statement)
        parts = conjuncts(statement.expression.tree)
        return next(part for part in parts if evaluate(statement.expression, around, part) is not True)

    def _undecided(self, statement: Statement, around: Surroundings, paths: tuple[str, ...]) -> Diagnostic | None:
        for node in statement.equations():
            inside = tuple(path for path in statement.paths_of(node) if path in paths)
            if inside and all(settable(self.subject.experiment, path, derives=True) for path in inside):
                fault = self._of_equation(statement, around, inside, node=node)
                if fault is not None:
                    return fault._replace(paths=inside)
        return None

    def _of_equation(
        self, statement: Statement, around: Surroundings, unknowns: tuple[str, ...], *, node: Node
    ) -> Diagnostic | None:
        """What keeps an equation from deciding the fields in it that nobody has decided."""
        shown = [self.subject.shown(path) for path in unknowns]
        helps = tuple(Help(f"{'or ' * (i > 0)}write {name}{_rest(shown, name)}") for i, name in enumerate(shown[:2]))
        if len(unknowns) > 1:
            message = f"{' and '.join(shown)} are not decided: a requirement has one unknown too many"
            labels = statement_labels(self.subject, statement, around, f"{len(unknowns)} unknowns", node=node)
            return Diagnostic(UNDECIDED, message, labels, helps)
        numbers = solved(statement, node, around, path=unknowns[0])
        if numbers is None:
            labels = statement_labels(self.subject, statement, around, f"does not say what {shown[0]} is", node=node)
            message = f"{shown[0]} is not decided, and a requirement does not say exactly what it is"
            return Diagnostic(UNDECIDED, message, labels, helps)
        field = settable(self.subject.experiment, unknowns[0])
        if field is None or any(legal(field, number) is not None for number in numbers):
            return None
        would = f"it would be {number_said(numbers[0])}" if numbers else "there is none"
        labels = statement_labels(self.subject, statement, around, would, node=node)
        why = statement.requirement.why
        return Diagnostic(NO_SOLUTION, f"no value of {shown[0]} meets a requirement ({why}): {would}", labels)

    def _broken(self, statement: Statement, around: Surroundings) -> Diagnostic:
        node = self.failing_part(statement)
        twice = None if statement.is_policy else self._fixed_twice(statement, around, node=node)
        if twice is not None:
            return twice
        labels = statement_labels(self.subject, statement, around, _sides(statement, around, node), node=node)
        stage = self._stage_of(statement)
        where = f" in stage {stage}" if stage else ""
        head = "the policy does not hold" if statement.is_policy else "a requirement does not hold"
        code = POLICY if statement.is_policy else BROKEN
        return Diagnostic(code, f"{head}{where}: {statement.requirement.why}", labels, paths=statement.paths)

    def _fixed_twice(self, statement: Statement, around: Surroundings, *, node: Node) -> Diagnostic | None:
        """The conflict of an equation with another one, which has decided one of its fields."""
        if node[0] != "compare" or node[3] != "==":
            return None
        for path in statement.paths_of(node):
            other = self._behind(path)
            numbers = None if other in (None, statement) else solved(statement, node, around, path=path)
            if not numbers:
                continue
            now, wanted = field_in_words(self.subject, around, path), number_said(numbers[0])
            why = statement.requirement.why
            mine = statement_labels(self.subject, statement, around, f"makes it {wanted}: {why}", node=node)
            if isinstance(other, Statement):
                text = f"makes it {now}: {other.requirement.why}"
                tree = other.expression.tree
                theirs = statement_labels(self.subject, other, self.around(other), text, node=tree)
                because = other.requirement.why
            else:
                origin = self.subject.origins[path]
                theirs = tuple(written_labels(self.subject, around, self._written_behind(origin.inputs)))
                because = f"the {other}"
            labels = distinct((*(label._replace(is_primary=False) for label in theirs), *mine))
            message = f"{self.subject.shown(path)} is fixed twice: {now} ({because}) and {wanted} ({why})"
            return Diagnostic(FIXED_TWICE, message, labels, paths=statement.paths)
        return None

    def _written_behind(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """The fields that somebody wrote, of some and of those that they were derived from."""
        found: dict[str, None] = {}
        waiting = list(paths)
        for path in waiting:  # grows while it is read
            origin = self.subject.origins.get(path)
            if origin is None or path in found:
                continue
            if origin.span is not None:
                found[path] = None
            else:
                waiting += origin.inputs
        return tuple(found)

    def _behind(self, path: str) -> Statement | str | None:
        """Return what decided a field: another statement, or the name of a built-in equation."""
        origin = self.subject.origins.get(path)
        if origin is None or origin.kind != "derived":
            return None
        if any(equation.name == origin.by for equation in NAMED):
            return origin.by
        for other in self.statements:
            said_there = other.requirement
            if path in other.paths and (origin.span, origin.by) == (said_there.span, said_there.text):
                return other
        return None

    def _stage_of(self, statement: Statement) -> str:
        """Return the name of the stage that a statement is about, where stages are listed."""
        if statement.stage is None or not self.subject.has_stage_list:
            return ""
        is_about_it = any(path.startswith(f"stages.{statement.stage}.") for path in statement.paths)
        return self.subject.experiment.stages[statement.stage].name if is_about_it else ""


def _no_condition(statement: Statement, value: Value) -> Diagnostic:
    label = Label(statement.expression.span(statement.expression.tree), f"is {said(value)}", is_primary=True)
    way = Help('compare it with something: require("rollout.samples_per_prompt % 2 == 0", "pairs need an even group")')
    return Diagnostic(NO_CONDITION, f"a requirement is true or false, and this is {described(value)}", (label,), (way,))


def _sides(statement: Statement, around: Surroundings, node: Node) -> str:
    """Return what a false part comes to."""
    if node[0] != "compare":
        return "is not true"
    left, right = (evaluate(statement.expression, around, side) for side in node[4:6])
    if node[3] == "==":
        return f"is {said(left)}, not {said(right)}"
    return f"{said(left)} {node[3]} {said(right)} is not true"


def _rest(shown: list[str], written: str) -> str:
    rest = [name for name in shown if name != written]
    return f": {' and '.join(rest)} then follow{'s' * (len(rest) == 1)} from it" if rest else ""
