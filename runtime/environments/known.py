"""What is known of a stage's environment without running code of the experiment's own: for a look at its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Never

from compiler.ir.environment import TOOLS, Documents
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from runtime.environments.toolbox import open_stdlib_tool
from stdlib.samples import JsonValue, Prompt


class KnownEnvironment(NamedTuple):
    """`schemas` are those that prompts are rendered with; `untold` are tools whose functions alone know theirs.

    `fault_of` says what is wrong with a prompt, or nothing.
    """

    schemas: tuple[Mapping[str, JsonValue], ...] = ()
    untold: tuple[str, ...] = ()
    fault_of: Callable[[Prompt], str] = lambda prompt: ""


def known_environment(stage: Stage[Never], *, root: Path) -> KnownEnvironment:
    """Return what is known of the environment of a stage.  Raises: SpecError RLC0747 for documents that are no such."""
    settings = stage.environment
    if isinstance(settings, Off):
        return KnownEnvironment()
    if isinstance(settings.search, Documents):
        import_module("stdlib.tools.search").open_tool(settings.search, root=root)
    if not isinstance(settings.code, Off):
        return KnownEnvironment()
    module: Any = import_module(f"stdlib.environments.{settings.name}")
    own = tuple(tool.name for tool in settings.tools if not isinstance(tool.code, Off))
    schemas = [open_stdlib_tool(tool, root=root).schema for tool in settings.tools if isinstance(tool.code, Off)]
    return KnownEnvironment(tuple(schemas) if settings.name == TOOLS else (), own, module.fault_of)


def documents_of(stage: Stage[Never]) -> list[str]:
    """Return the files that the environment of a stage searches."""
    settings = stage.environment
    if isinstance(settings, Off):
        return []
    searches = [settings.search, *(tool.search for tool in settings.tools)]
    return [one.documents for one in searches if isinstance(one, Documents)]
