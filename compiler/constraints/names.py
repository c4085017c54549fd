"""What a name in an expression means: a field of the stage at hand, of the experiment, of another stage, or a forecast.

`a.b` is looked up in the stage first, then at the root; other stages are `stages.NAME.a.b`.  An experiment without a
list of stages has one, and its fields are simply the fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import Span
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import leaves, read
from compiler.ir.record import Record
from compiler.ir.spec_tables import Key, spec_keys
from compiler.ir.subject import shown_path

FORECAST = "forecast"

Part = str | int


class UnknownNameError(Exception):
    """A name that no experiment has; `at` is the index of the part that fails."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class AbsentError(Exception):
    """A field that other stages have and this one does not, such as `rollout` where nothing samples."""

    def __init__(self, shown: str = "", span: Span | None = None) -> None:
        super().__init__(shown)
        self.shown = shown
        self.span = span


class Names(NamedTuple):
    """The fields that expressions of one stage, or of the whole experiment, may name.

    `stage` is None where an expression stands outside of all stages and there are several.
    """

    experiment: Experiment[Auto]
    stage: int | None
    has_stage_list: bool
    forecast: Record | None = None

    def path(self, parts: Sequence[Part], catalogue: Catalogue) -> str:
        """Return the internal path of a field or a table.  Raises: UnknownNameError, AbsentError."""
        if parts[0] == "stages":
            return self._of_named_stage(parts, catalogue)
        if parts[0] == FORECAST and self.forecast is not None:
            return self._of_forecast(parts)
        wanted = _dotted(parts)
        if self.stage is not None and (parts[0] != "name" or self.has_stage_list):
            path = f"stages.{self.stage}.{wanted}"
            if self._has(path):
                return path
        if self._has(wanted):
            return wanted
        self._missing(parts, 0, catalogue)
        raise AbsentError

    def value(self, path: str) -> object:
        """Return what a path holds: a value, a record, or a tuple of either."""
        if path.startswith(f"{FORECAST}."):
            return read(self.forecast, path.partition(".")[2])
        return read(self.experiment, path)

    def shown(self, path: str) -> str:
        """Return a path as a person writes it."""
        return shown_path(path, tuple(s.name for s in self.experiment.stages), has_stage_list=self.has_stage_list)

    def nearest(self, parts: Sequence[Part], catalogue: Catalogue) -> list[str]:
        """Return names that may have been meant."""
        wanted = _dotted(parts)
        known = dict.fromkeys(self._all(catalogue))
        near = nearest_names(wanted, known)
        if near:
            return near
        by_leaf: dict[str, str] = {}
        for name in known:
            by_leaf.setdefault(name.rpartition(".")[2], name)
        return [by_leaf[leaf] for leaf in nearest_names(wanted.rpartition(".")[2], by_leaf)]

    def _all(self, catalogue: Catalogue) -> Iterator[str]:
        for path, _ in leaves(self.experiment):
            head, _, rest = path.partition(".")
            index, _, inner = rest.partition(".")
            if head != "stages":
                yield path
            elif int(index or 0) == self.stage:
                yield inner
            else:
                yield self.shown(path)
        if self.forecast is not None:
            yield from (f"{FORECAST}.{path}" for path, _ in leaves(self.forecast))
        yield from (path for path, key in _keys(catalogue).items() if not key.is_of_an_engine)

    def _has(self, path: str) -> bool:
        try:
            read(self.experiment, path)
        except (KeyError, ValueError):
            return False
        return True

    def _of_named_stage(self, parts: Sequence[Part], catalogue: Catalogue) -> str:
        if len(parts) == 1:
            return "stages"
        names = [stage.name for stage in self.experiment.stages]
        index = parts[1] if isinstance(parts[1], int) else names.index(parts[1]) if parts[1] in names else -1
        if not self.has_stage_list or not 0 <= index < len(names):
            raise UnknownNameError(1)
        path = f"stages.{index}.{_dotted(parts[2:])}".rstrip(".")
        if not self._has(path):
            self._missing(parts, 2, catalogue)
            raise AbsentError
        return path

    def _of_forecast(self, parts: Sequence[Part]) -> str:
        for at in range(1, len(parts)):
            try:
                read(self.forecast, _dotted(parts[1 : at + 1]))
            except KeyError:
                raise UnknownNameError(at) from None
        return _dotted(parts)

    def _missing(self, parts: Sequence[Part], start: int, catalogue: Catalogue) -> None:
        """Find the part of a name that no experiment has.  Raises: UnknownNameError."""
        known = _keys(catalogue)
        path = ""
        for at in range(start, len(parts)):
            path = f"{path}.{parts[at]}".lstrip(".")
            if path not in known and not any(key.startswith(f"{path}.") for key in known):
                raise UnknownNameError(at)
        table = _dotted(parts[start:]).partition(".")[0]
        if self.stage is None and len(self.experiment.stages) > 1 and table in _stage_tables(self.experiment):
            raise UnknownNameError(start)


def is_table(value: object) -> bool:
    """Whether a value is a record, or a list of records."""
    return isinstance(value, Record) or (isinstance(value, tuple) and bool(value) and isinstance(value[0], Record))


@lru_cache(maxsize=1)
def _keys(catalogue: Catalogue) -> dict[str, Key]:
    return spec_keys(catalogue)


def _stage_tables(experiment: Experiment[Auto]) -> set[str]:
    return {path.split(".")[2] for path, _ in leaves(experiment) if path.startswith("stages.") and path.count(".") > 1}


def _dotted(parts: Sequence[Part]) -> str:
    return ".".join(str(part) for part in parts)
