"""`reward.name`: a reward of the standard library, or a function of the experiment's own; alone or one of several."""

from __future__ import annotations

from compiler.diagnostics.annotations import TypeVar
from compiler.diagnostics.diagnostic import InternalError
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import Span
from compiler.ir.catalogue import Catalogue
from compiler.ir.data import Eval
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Origin
from compiler.ir.reward_settings import BOXABLE, BOXED, BY_ROW, COMBINED, base_name
from compiler.ir.rollout import CustomCode, Judgement
from compiler.lowering.code_reference import REWARD, CodeRoots, Fault
from compiler.lowering.function_references import FunctionReferences
from compiler.lowering.reader import Reader

_LEVELS = ("sample", "group", "batch")
J = TypeVar("J", bound="Judgement[Auto]")


def bind_reward(
    experiment: Experiment[Auto], reader: Reader, catalogue: Catalogue, roots: CodeRoots
) -> Experiment[Auto]:
    """Return the experiment with level and code of every reward filled, or RLC0206/RLC0209 reported.

    Args:
        roots: the folders that custom code stands below.
    """
    binder = _Binder(reader, catalogue, roots)
    stages = (binder.stage(stage, f"stages.{index}.reward") for index, stage in enumerate(experiment.stages))
    bound = (binder.sets(stage, f"stages.{index}.eval.sets") for index, stage in enumerate(stages))
    return experiment.replacing(stages=tuple(bound))


def standard_level(path: Path) -> str:
    """Return what a reward of the standard library is given.

    Those are written as CONTRIBUTING says, so the text is enough: loading a parser takes longer than all of lowering.
    """
    for line in path.read_text(encoding="utf-8").split("\n"):
        before, _, call = line.partition("def ")
        name, _, parameters = call.partition("(")
        first = parameters.replace(":", ",").replace(")", ",").partition(",")[0]
        if before in ("", "async ") and name in ("reward", "question") and first in _LEVELS:
            return first
    raise InternalError(f"{path.name} has no function reward(sample), reward(group) or reward(batch), and no question")


class _Binder:
    def __init__(self, reader: Reader, catalogue: Catalogue, roots: CodeRoots) -> None:
        self._reader = reader
        self._catalogue = catalogue
        self._references = FunctionReferences(reader, roots)

    def stage(self, stage: Stage[Auto], path: str) -> Stage[Auto]:
        reward = stage.reward
        if isinstance(reward, Off):
            return stage
        if reward.name not in COMBINED:
            return stage.replacing(reward=self._bound(reward, path))
        terms = tuple(self._term(term, f"{path}.terms.{i}", reward.name) for i, term in enumerate(reward.terms))
        reward = reward.replacing(terms=terms)
        levels = [term.level for term in terms]
        if any(isinstance(level, Auto) for level in levels):
            self._reader.broken.update((f"{path}.level", f"{path}.code"))
            return stage.replacing(reward=reward)
        level = max((str(level) for level in levels), key=_LEVELS.index, default="sample")
        return stage.replacing(reward=self._filled(reward, path, level, OFF, None))

    def sets(self, stage: Stage[Auto], path: str) -> Stage[Auto]:
        """Bind the rewards of held-out sets that have one of their own."""
        if not isinstance(stage.eval, Eval):
            return stage
        sets = []
        for at, measured in enumerate(stage.eval.sets):
            judged = self.stage(stage.replacing(reward=measured.reward), f"{path}.{at}.reward")
            sets.append(measured.replacing(reward=judged.reward))
        return stage.replacing(eval=stage.eval.replacing(sets=tuple(sets)))

    def _term(self, term: J, path: str, name: str) -> J:
        """One of several rewards, which cannot itself be made of several."""
        if term.name in COMBINED:
            self._report(path, "RLC0206", Fault(f"a term of {name} is one reward", ("list its terms here",)))
            return term
        bound = self._bound(term, path)
        if name == BY_ROW and bound.level == "batch":
            helps = ("a row chooses for its own responses only: let the function take a sample or a group",)
            self._report(path, "RLC0209", Fault(f"{term.name} judges a whole batch, not the rows that name it", helps))
        return bound

    def _bound(self, one: J, path: str) -> J:
        reader, catalogue = self._reader, self._catalogue
        if f"{path}.name" in reader.broken:
            reader.broken.update((f"{path}.level", f"{path}.code"))
            return one
        base = base_name(one.name)
        if ":" in one.name:
            return self._bound_to_code(one, path)
        if base in catalogue.rewards and base not in COMBINED:
            level = standard_level(catalogue.stdlib / "rewards" / f"{base}.py")
            return self._filled(one, path, level, OFF, None)
        if one.name.startswith(BOXED) and base == one.name:
            inner = one.name.removeprefix(BOXED)
            helps = (f'write name = "{inner}"',) if inner in catalogue.rewards else ()
            fault = Fault(f"{one.name} is no reward: {', '.join(BOXABLE)} can be asked about a box", helps)
            self._report(path, "RLC0206", fault)
            return one
        near = nearest_names(one.name, catalogue.rewards)
        known = f"there are: {', '.join(catalogue.rewards)}; your own is written as file.py:function"
        shown = ".".join(part for part in path.split(".")[2:] if not part.isdigit())
        fault = Fault(f"{shown}.name names no reward", () if near else (known,), meant=tuple(near))
        self._report(path, "RLC0206", fault, "no reward has this name")
        return one

    def _bound_to_code(self, one: J, path: str) -> J:
        found = self._references.code_of(f"{path}.name", one.name, REWARD)
        if found is None:
            self._reader.broken.update((f"{path}.level", f"{path}.code"))
            return one
        return self._filled(one, path, found.parameter.name, found.code, found.parameter.function)

    def _filled(self, one: J, path: str, level: str, code: CustomCode | Off, defined: Span | None) -> J:
        self._reader.origins.record(f"{path}.level", Origin("derived", by="lower", inputs=(f"{path}.name",)))
        self._references.record(f"{path}.name", f"{path}.code", code, defined)
        return one.replacing(level=level, code=code)

    def _report(self, path: str, code: str, fault: Fault, said: str = "named here") -> None:
        self._reader.broken.update((f"{path}.level", f"{path}.code"))
        self._references.report(f"{path}.name", code, fault, said)
