"""Reward functions, found and loaded: those of the standard library by name, custom ones from the file in the plan."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.span import SourceFile, Span
from compiler.ir.openness import Off
from compiler.ir.record import Record
from compiler.ir.reward_settings import base_name
from compiler.ir.rollout import Judgement
from runtime.custom_code import load_file
from runtime.rewards.border import RewardCallError
from stdlib.rewards._boxed import last_boxed
from stdlib.rewards._isolation import Isolation
from stdlib.samples import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardSource:
    """Where a reward function stands; `sha256` is empty for the standard library.

    `file` is the path to open, `shown` the one that messages name, `settings` what the function is given beside the
    sample, and `is_boxed` whether it is given the text of the last box in the place of the response.
    """

    name: str
    file: str
    shown: str
    function: str
    sha256: str
    settings: Record | None = None
    is_boxed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedReward:
    """A reward function ready to be called."""

    source: RewardSource
    call: Callable[[Any], Any]
    isolation: Isolation | None

    @property
    def is_custom(self) -> bool:
        """Whether the experiment brought the function."""
        return bool(self.source.sha256)


def locate_reward(reward: Judgement[Never], *, root: Path) -> RewardSource:
    """Return where the function of a reward stands.  Raises: SpecError RLC0610 for an unknown name."""
    if not isinstance(reward.code, Off):
        code = reward.code
        path = str(root / code.path)
        return RewardSource(name=reward.name, file=path, shown=code.path, function=code.function, sha256=code.sha256)
    base = base_name(reward.name)
    known = not base.startswith("_") and base.isidentifier()
    spec = importlib.util.find_spec(f"stdlib.rewards.{base}") if known else None
    if spec is None or spec.origin is None:
        raise _not_loaded(f"the standard library has no reward {reward.name}")
    settings = reward.__dict__.get(base)
    return RewardSource(
        name=reward.name,
        file=spec.origin,
        shown=f"//rewards/{base}.py",
        function="reward",
        sha256="",
        settings=settings if isinstance(settings, Record) else None,
        is_boxed=base != reward.name,
    )


def load_reward(source: RewardSource) -> LoadedReward:
    """Return the function.

    Raises: SpecError RLC0610 if it cannot be loaded, RLC0611 if the file is not the one that was compiled.
    """
    base = base_name(source.name)
    module = _custom(source) if source.sha256 else importlib.import_module(f"stdlib.rewards.{base}")
    call = getattr(module, source.function, None)
    if not callable(call):
        raise _not_loaded(f"{source.shown} has no function {source.function}")
    if source.settings is not None:
        call = partial(call, settings=source.settings)
    if source.is_boxed:
        call = partial(_of_the_box, call)
    isolation = getattr(module, "ISOLATION", None)
    return LoadedReward(source=source, call=call, isolation=isolation if isinstance(isolation, Isolation) else None)


def _of_the_box(call: Callable[[Sample], Any], sample: Sample) -> Any:
    return call(replace(sample, text=last_boxed(sample.text) or ""))


def line_label(source: RewardSource, line: int | None, note: str) -> tuple[Label, ...]:
    """Return a label at a line of the reward's file, or nothing where none is known or the file is another by now."""
    if line is None:
        return ()
    try:
        raw = Path(source.file).read_bytes()
    except OSError:
        return ()
    if source.sha256 and hashlib.sha256(raw).hexdigest() != source.sha256:
        return ()
    shown = SourceFile(source.shown, raw.decode("utf-8", errors="replace").replace("\r\n", "\n"))
    code = shown.line(line)
    start = sum(len(shown.line(i)) + 1 for i in range(1, line)) + len(code) - len(code.lstrip())
    return (Label(Span(shown, start, start + len(code.strip())), note, is_primary=True),)


def _custom(source: RewardSource) -> ModuleType:
    try:
        return load_file(Path(source.file), shown=source.shown, sha256=source.sha256, field="reward.name")
    except RewardCallError as fault:
        label = line_label(source, fault.line, "raised here")
        raise _not_loaded(f"{source.shown} cannot be loaded: {fault.message}", label) from fault


def _not_loaded(message: str, labels: tuple[Label, ...] = ()) -> SpecError:
    way = Help("name a reward of the standard library (exact, math), or a function of your own as file.py:function")
    return SpecError(Diagnostic(code="RLC0610", message=message, labels=labels, help=(way,), paths=("reward.name",)))
