"""The functions of the universe of specs: `experiment`, `fragment`, `model`, `sweep`, `require`.

What they make belongs to the run of a file.  A requirement holds for what the call that states it makes, or the nearest
call around it that makes anything; at the top of a spec that is every experiment of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.span import Span
from compiler.frontend.requirements import KEY as REQUIRE
from compiler.frontend.starlark.budget import ENTRY, Budget
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.function import Function
from compiler.frontend.starlark.origins import Frame
from compiler.frontend.starlark.thread import CallSite, Thread
from compiler.frontend.starlark.values import Builtin, StarlarkDict, StarlarkList
from compiler.frontend.trees import FRAGMENT, LEAF, LIST, TABLE, Tree, TreeEntry
from compiler.frontend.universe.conversion import Converter, described, fault, items_of
from compiler.frontend.universe.spec_values import Experiment, Fragment, Model

MAX_EXPERIMENTS = 20_000

# What each experiment of a sweep may cost beyond what every program may.
_STEPS, _BYTES = 1_000, 2**16


class Recording:
    """What the run of a file makes: experiments, and requirements that wait for what they hold for.

    `loading` counts the files that are being loaded: what they make at their own top is nobody's experiment.
    `of_calls` is an experiment of each call that made some, by the id of its frame.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.experiments: list[Experiment] = []
        self.loading = 0
        self.of_calls: dict[int, Experiment] = {}
        self._made: dict[int, list[Fragment]] = {}
        self._required: list[tuple[Frame | None, Tree]] = []

    def made(self, value: Fragment) -> None:
        """Keep what a call has made."""
        self._made.setdefault(id(value.frame), []).append(value)

    def made_below(self, frame: Frame | None, experiment: Experiment) -> None:
        """Keep for each call on the way to an experiment that it made one."""
        while frame is not None and id(frame) not in self.of_calls:
            self.of_calls[id(frame)] = experiment
            frame = frame.parent

    def required(self, frame: Frame | None, tree: Tree) -> None:
        """Keep what a call requires."""
        self._required.append((frame, tree))

    def settle(self) -> list[Tree]:
        """Give each requirement to what it holds for, and return those that are stated at the top of the file."""
        of_all: list[Tree] = []
        for frame, tree in self._required:
            while frame is not None and id(frame) not in self._made:
                frame = frame.parent
            if frame is None:
                of_all.append(tree)
            for value in () if frame is None else self._made[id(frame)]:
                _demand(value, tree)
        for experiment in self.experiments:
            for tree in of_all:
                _demand(experiment, tree)
        self._required.clear()
        self._made.clear()
        return of_all


class Universe:
    """The functions, for the run that is under way: loaded files keep them from one run to the next."""

    def __init__(self) -> None:
        self.converter = Converter()
        self.recording = Recording(self.converter.budget)

    def functions(self) -> dict[str, Builtin]:
        """Return the functions by name."""
        found = (self.experiment, self.fragment, self.model, self.sweep, self.require)
        return {function.__name__: Builtin(function.__name__, function) for function in found}

    @contextmanager
    def run(self, recording: Recording, *, is_bare: bool) -> Iterator[None]:
        """Record what is made in what follows.

        Args:
            is_bare: whether the outermost call is none of a .star file.
        """
        before = self.recording, self.converter.budget, self.converter.is_bare
        self.recording, self.converter.budget, self.converter.is_bare = recording, recording.budget, is_bare
        try:
            yield
        finally:
            self.recording, self.converter.budget, self.converter.is_bare = before

    def experiment(self, thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        site, frame = _site(thread), thread.frame
        thread.budget.steps += _STEPS
        thread.budget.bytes += _BYTES
        name, name_at = kwargs.get("name"), _written(site, "name", frame)[1]
        if name is not None and type(name) is not str:
            kind = described(name)
            raise fault(
                "RLC0153",
                f"the name of an experiment is a text, not {kind}",
                (name_at, kind),
                frame,
                ("write it in quotes, or str(...)",),
            )
        entries = self.entries("experiment", thread, args, kwargs)
        tree = self.converter.node(TABLE, entries, site.span, frame)
        label = name if isinstance(name, str) else ""
        made = Experiment(tree, entries, site.span, frame, name=label, name_span=name_at)
        self.recording.made(made)
        if not self.recording.loading:
            if len(self.recording.experiments) == MAX_EXPERIMENTS:
                message = f"a file makes at most {MAX_EXPERIMENTS:,} experiments"
                raise fault("RLC0158", message, (site.span, "one too many"), frame)
            self.recording.experiments.append(made)
            self.recording.made_below(frame, made)
        return made

    def fragment(self, thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        site = _site(thread)
        entries = self.entries("fragment", thread, args, kwargs)
        tree = self.converter.node(FRAGMENT, entries, site.span, thread.frame)
        made = Fragment(tree, entries, site.span, thread.frame)
        self.recording.made(made)
        return made

    def model(self, thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        site, frame = _site(thread), thread.frame
        _no_positional("model", args, site, frame, 'model(name = "...", facts = {...})')
        found: dict[str, TreeEntry] = {}
        for key, value in kwargs.items():
            key_at, value_at, by = _written(site, key, frame)
            wanted = {"name": str, "facts": StarlarkDict, "changes": StarlarkDict}.get(key)
            if wanted is None:
                ways = ("facts of the architecture go into facts = {...}", "what the experiment decides into changes")
                raise fault("RLC0153", f"model() takes no `{key}`", (key_at, "name, facts or changes"), frame, ways)
            if value is not None and type(value) is not wanted:
                said = "a text" if wanted is str else "a dict"
                kind = described(value)
                raise fault("RLC0153", f"`{key}` of a model is {said}, not {kind}", (value_at, kind), frame)
            entry = self.converter.entry(key, key_at, self.converter.tree(value, value_at, by))
            if entry is not None:
                found[key] = entry
        file, start, end = self.converter.file(site.span.file), site.span.start, site.span.end
        facts, changes = found.get("facts"), found.get("changes")
        return Model(
            found.get("name"),
            None if facts is None else facts[3],
            None if changes is None else changes[3],
            at=(file, start, end),
            calls=self.converter.calls(frame),
        )

    def sweep(self, thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        site, frame = _site(thread), thread.frame
        if len(args) != 1 or kwargs or type(args[0]) not in (StarlarkList, tuple):
            raise fault(
                "RLC0153",
                "sweep() takes a list of experiments",
                (site.span, "no list"),
                frame,
                ("write sweep([...]), with brackets",),
            )
        for item in items_of(args[0]):
            if type(item) is not Experiment:
                kind = described(item)
                label = (site.argument(0), f"holds {kind}")
                raise fault("RLC0153", f"sweep() takes experiments, not {kind}", label, frame)
        return args[0]

    def require(self, thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        site, frame = _site(thread), thread.frame
        places = {name: site.argument(i) for i, name in zip(range(len(args)), ("that", "why"), strict=False)}
        given = dict(zip(("that", "why"), args, strict=False))
        for key, value in kwargs.items():
            if key not in ("that", "why") or key in given:
                raise StarlarkError(f"require() got an unexpected keyword argument `{key}`")
            given[key], places[key] = value, _written(site, key, frame)[1]
        if len(args) > 2 or len(given) != 2 or not all(type(v) is str and v.strip() for v in given.values()):
            example = 'require("rollout.samples_per_prompt % 2 == 0", "pairs need an even group")'
            message = "a requirement is a condition and the reason for it"
            raise fault("RLC0216", message, (site.span, "expected two texts"), frame, (f"write {example}",))
        if frame is None and self.recording.loading:
            message = "a requirement at the top of a loaded file holds for nothing"
            ways = ("move it into the function that makes the fragment",)
            raise fault("RLC0216", message, (site.span, "this file is loaded, not planned"), frame, ways)
        entries: list[TreeEntry] = []
        for key in ("that", "why"):
            leaf = self.converter.node(LEAF, given[key], places[key], frame)
            entries.append((key, leaf[1], leaf[2], leaf))
        self.recording.required(frame, self.converter.node(TABLE, tuple(entries), site.span, frame))
        return None

    def entries(self, function: str, thread: Thread, args: list[object], kwargs: dict[str, object]) -> list[TreeEntry]:
        """The entries of an experiment or a fragment, as its keyword arguments give them."""
        site, frame = _site(thread), thread.frame
        _no_positional(function, args, site, frame, f"{function}(optim = dict(lr = 1e-6))")
        found: list[TreeEntry] = []
        uses: list[Tree] = []
        for key, value in kwargs.items():
            key_at, value_at, by = _written(site, key, frame)
            if key == "use":
                uses += self.uses(value, value_at, thread, by)
                continue
            if key in ("model", "teacher") and type(value) in (Function, Builtin):
                value = thread.call(value, [], {})
            if key == "model" and type(value) is Model:
                at = (self.converter.file(value_at.file), value_at.start, value_at.end)
                tree: Tree | None = value.table(at)
                uses.append(value.fragment())
            elif key == "teacher" and type(value) is Model:
                tree = value.table((self.converter.file(value_at.file), value_at.start, value_at.end))
            elif key == "stages":
                tree = self.stages(value, value_at, thread, by)
            else:
                tree = self.converter.tree(value, value_at, by)
            entry = self.converter.entry(key, key_at, tree)
            if entry is not None:
                found.append(entry)
        if uses:
            at = _written(site, "use", frame)[1]
            used = self.converter.node(LIST, tuple(uses), at, frame)
            found.append(("use", used[1], used[2], used))
        return found

    def uses(self, value: object, at: Span, thread: Thread, frame: Frame | None) -> list[Tree]:
        """The fragments and names of files of a `use`."""
        if value is None:
            return []
        if type(value) is not StarlarkList and type(value) is not tuple:
            kind = described(value)
            ways = ('write use = [grpo(), "base.toml"]',)
            raise fault("RLC0153", f"`use` takes a list, not {kind}", (at, kind), frame, ways)
        found: list[Tree] = []
        for item in list(items_of(value)):
            made = thread.call(item, [], {}) if isinstance(item, (Function, Builtin)) else item
            if type(made) is Fragment:
                self.check_recipe(made, at, thread)
                thread.budget.elements(made.size, ENTRY)
                found.append(made.tree)
            elif type(made) is str:
                found.append(self.converter.node(LEAF, made, at, frame))
            else:
                kind = described(made)
                said = f"`{item.name}` returns {kind}" if isinstance(item, (Function, Builtin)) else f"holds {kind}"
                message = f"`use` takes fragments, functions that return one, and texts, not {kind}"
                raise fault("RLC0153", message, (at, said), frame)
        return found

    def check_recipe(self, made: Fragment, at: Span, thread: Thread) -> None:
        """Hold a recipe to making fragments.  Raises: SpecError RLC0159.

        The recipe is the outermost call that led to the fragment and not to its use.
        """
        around: set[int] = set()
        frame = thread.frame
        while frame is not None:
            around.add(id(frame))
            frame = frame.parent
        recipe = made.frame
        if recipe is None or id(recipe) in around:
            return
        while recipe.parent is not None and id(recipe.parent) not in around:
            recipe = recipe.parent
        experiment = self.recording.of_calls.get(id(recipe))
        if experiment is not None:
            raise experiment_in_recipe(experiment, at)

    def stages(self, value: object, at: Span, thread: Thread, frame: Frame | None) -> Tree | None:
        """The list of stages, each of which may use fragments of its own."""
        if type(value) is not StarlarkList and type(value) is not tuple:
            return self.converter.tree(value, at, frame)
        items: list[Tree] = []
        for item in items_of(value):
            if type(item) is not StarlarkDict or "use" not in item.entries:
                items.append(self.converter.element(item, at, frame, depth=1))
                continue
            others = item.copy()
            used = others.remove("use")
            key_at, used_at, by = (item.origins or {}).get("use") or (at, at, frame)
            entries = self.converter.entries(others, at, frame, depth=2)
            uses = self.converter.node(LIST, tuple(self.uses(used, used_at, thread, by)), used_at, by)
            entries.append(("use", *_within(key_at, used_at), uses))
            items.append(self.converter.node(TABLE, tuple(entries), at, frame))
        return self.converter.node(LIST, tuple(items), at, frame)


def experiment_in_recipe(experiment: Experiment, at: Span) -> SpecError:
    """Return RLC0159 for an experiment that a recipe makes; `at` is where the recipe is used."""
    name = f" {experiment.name}" if experiment.name else ""
    labels = (Label(at, "used here"), Label(experiment.span, "an experiment is made here", is_primary=True))
    ways = (
        Help("return fragment(...), and call experiment(...) in the file that is planned"),
        Help("or move what the experiments share into a function that both call"),
    )
    return SpecError(Diagnostic("RLC0159", f"a recipe makes an experiment{name}", labels, ways))


def _demand(value: Fragment, tree: Tree) -> None:
    """Add a requirement to an experiment or a fragment."""
    for at, (key, start, end, written) in enumerate(value.entries):
        if key == REQUIRE and written[0] == LIST:
            kind, first, last, items, file, calls = written
            if tree not in items:
                value.entries[at] = key, start, end, (kind, first, last, (*items, tree), file, calls)
            return
    _, start, end, _, file, calls = tree
    value.entries.append((REQUIRE, start, end, (LIST, start, end, (tree,), file, calls)))


def _site(thread: Thread) -> CallSite:
    assert thread.site is not None, "a built-in that runs was called somewhere"
    return thread.site


def _written(site: CallSite, name: str, frame: Frame | None) -> tuple[Span, Span, Frame | None]:
    """Where a keyword argument is written: in the call, or where the dict behind `**` has it from."""
    return site.written(name, frame) or (site.span, site.span, frame)


def _no_positional(function: str, args: list[object], site: CallSite, frame: Frame | None, example: str) -> None:
    if args:
        message = f"{function}() takes its parts by name"
        label = (site.argument(0), "which part is this?")
        raise fault("RLC0153", message, label, frame, (f"write {example}",))


def _within(key: Span, value: Span) -> tuple[int, int]:
    return (key.start, key.end) if key.file is value.file else (value.start, value.end)
