"""The environment of a stage, opened: what begins an episode or drives it, its tools, how calls are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.environment import TOOLS, Environment
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from runtime.data.turns import Tools
from runtime.environments.foreign import Foreign, load_foreign
from runtime.environments.known import KnownEnvironment
from runtime.environments.toolbox import Toolbox, open_toolbox
from runtime.rewards.loops import LoopSlots
from stdlib.episodes import Parsed
from stdlib.samples import Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenEnvironment:
    """An environment that episodes can begin in.

    `function` begins an episode, or takes one to its end where `settings.drives`; `tools` are what prompts are rendered
    with; `fault_of` says what is wrong with a prompt, or nothing.
    """

    settings: Environment[Never]
    function: Foreign
    is_own: bool
    toolbox: Toolbox
    stop_strings: tuple[str, ...]
    slots: LoopSlots
    parse: Callable[[str, Any], Parsed]
    fault_of: Callable[[Prompt], str]

    @property
    def tools(self) -> Tools:
        """The schemas that the chat template is given."""
        return self.toolbox.schemas if self.settings.name == TOOLS else ()


def open_environment(stage: Stage[Never], *, root: Path) -> OpenEnvironment | None:
    """Return the environment of a stage, None where it has none.

    Raises: SpecError RLC0610 or RLC0611 for code that cannot be loaded, and as `open_toolbox`.
    """
    settings = stage.environment
    if isinstance(settings, Off):
        return None
    slots = LoopSlots(settings.concurrency)
    stops: Sequence[str] = ()
    fault_of: Callable[[Prompt], str] = _none
    if isinstance(settings.code, Off):
        module: Any = import_module(f"stdlib.environments.{settings.name}")
        function, stops, fault_of = Foreign(module.begin, module.__file__), module.STOP_STRINGS, module.fault_of
    else:
        function = load_foreign(settings.code, root=root, field="environment.name")
    parser: Any = import_module(f"stdlib.tool_parsers.{settings.parser}") if settings.name == TOOLS else None
    return OpenEnvironment(
        settings=settings,
        function=function,
        is_own=not isinstance(settings.code, Off),
        toolbox=open_toolbox(settings, slots, root=root),
        stop_strings=(*stops, *settings.stop_strings),
        slots=slots,
        parse=_unread if parser is None else parser.parse,
        fault_of=fault_of,
    )


def check_prompts(environment: OpenEnvironment | KnownEnvironment | None, prompts: Sequence[Prompt]) -> None:
    """Look at what an environment needs of its rows.  Raises: SpecError RLC0748 for the first that lacks it."""
    for prompt in prompts if environment is not None else ():
        fault = "" if environment is None else environment.fault_of(prompt)
        if fault:
            message = f"{prompt.source}: {fault}"
            way = Help("name the key of a row that holds it: data.train.metadata_key")
            raise SpecError(Diagnostic("RLC0748", message, help=(way,), paths=("data.train", "environment.name")))


def _none(prompt: Prompt) -> str:
    return ""


def _unread(text: str, tools: Any) -> Parsed:
    return Parsed(text)
