"""The tools of a stage: what the model is told of them, and calls that come back in time or not at all.

Arguments are checked against a tool's schema before it is called: their names, which are required, their plain types.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Never

from transformers.utils.chat_template_utils import get_json_schema

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.environment import SEARCH, Environment, Tool
from compiler.ir.openness import Off
from runtime.environments.foreign import called, load_foreign
from runtime.own_coroutine import HeldLoopError
from runtime.rewards.border import RewardCallError
from runtime.rewards.loops import LoopSlots
from stdlib.episodes import ToolCall, ToolRefusalError, ToolSpec
from stdlib.samples import JsonValue

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class OpenTool(NamedTuple):
    """A tool that can be called; `file` is where a function of one's own stands, or that of the standard library."""

    name: str
    schema: Mapping[str, JsonValue]
    call: Callable[..., Any]
    file: str
    is_quick: bool
    timeout_s: float


class Outcome(NamedTuple):
    """What came of a call: a text, and what kind of thing it is."""

    kind: Literal["result", "refusal", "malformed", "timeout", "error"]
    text: str


class Toolbox:
    """Tools by the names that the model calls them by.

    Args:
        slots: bound the calls under way at once.
    """

    def __init__(self, tools: Sequence[OpenTool], slots: LoopSlots) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._slots = slots

    @property
    def schemas(self) -> tuple[Mapping[str, JsonValue], ...]:
        """What the model is told of the tools."""
        return tuple(tool.schema for tool in self._tools.values())

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The schema of each parameter, by tool and name."""
        return {name: _parameters(tool)["properties"] for name, tool in self._tools.items()}

    async def call(self, call: ToolCall) -> Outcome:
        """Return what came of a call.  A call that is given up goes on in its thread, and nobody listens."""
        tool = self._tools.get(call.name)
        if tool is None:
            near = nearest_names(call.name, self._tools)
            known = f"did you mean {near[0]}?" if near else f"there are: {', '.join(self._tools)}"
            return Outcome("malformed", f"there is no tool {call.name[:80]}; {known}")
        fault = _argument_fault(tool, call.arguments)
        if fault:
            return Outcome("malformed", fault)
        try:
            if tool.is_quick:
                return Outcome("result", _text(tool.call(**call.arguments)))
            async with self._slots(), asyncio.timeout(tool.timeout_s):
                return Outcome("result", await called(_answering(tool), tool.file, tool.timeout_s, **call.arguments))
        except ToolRefusalError as refusal:
            return Outcome("refusal", str(refusal))
        except RewardCallError as fault_of_tool:
            if isinstance(fault_of_tool.__cause__, ToolRefusalError):
                return Outcome("refusal", str(fault_of_tool.__cause__))
            at = f" at line {fault_of_tool.line}" if fault_of_tool.line else ""
            return Outcome("error", f"{tool.name} raised {fault_of_tool.message}{at}")
        except HeldLoopError as held:
            return Outcome("timeout", str(held))
        except TimeoutError:
            return Outcome("timeout", f"{tool.name} took longer than {tool.timeout_s:g} s")


def open_toolbox(settings: Environment[Never], slots: LoopSlots, *, root: Path) -> Toolbox:
    """Return the tools of an environment.

    Raises: SpecError RLC0610 or RLC0611 for code that cannot be loaded, RLC0746 for a function that does not say what
    it takes, RLC0747 for documents that cannot be read.
    """
    tools = [_opened(tool, root=root) for tool in settings.tools]
    if not isinstance(settings.search, Off):
        spec = import_module("stdlib.tools.search").open_tool(settings.search, root=root)
        tools.append(
            OpenTool("search", spec.schema, spec.call, _file(spec.call), spec.is_quick, settings.call_timeout_s)
        )
    return Toolbox(tools, slots)


def open_stdlib_tool(tool: Tool[Never], *, root: Path) -> ToolSpec:
    """Return a tool of the standard library.  Raises: SpecError RLC0747 for documents that cannot be read."""
    module: Any = import_module(f"stdlib.tools.{tool.name}")
    spec: ToolSpec = module.open_tool(tool.search if tool.name == SEARCH else None, root=root)
    return spec


def _opened(tool: Tool[Never], *, root: Path) -> OpenTool:
    if isinstance(tool.code, Off):
        spec = open_stdlib_tool(tool, root=root)
        function: Any = spec.schema["function"]
        return OpenTool(function["name"], spec.schema, spec.call, _file(spec.call), spec.is_quick, tool.timeout_s)
    foreign = load_foreign(tool.code, root=root, field="environment.tools.name")
    schema = _described(foreign.call, tool.name)
    return OpenTool(tool.code.function, schema, foreign.call, foreign.file, False, tool.timeout_s)


def _described(function: Callable[..., Any], name: str) -> dict[str, JsonValue]:
    """The schema of a function, from its annotations and its docstring.  Raises: SpecError RLC0746."""
    try:
        return get_json_schema(function)
    except (ValueError, TypeError, KeyError) as fault:
        way = (
            "annotate every parameter, and describe each in the docstring below `Args:`, as `query: What to look for.`"
        )
        words = f"{name} does not say what the model is to be told of it: {str(fault).splitlines()[0]}"
        faults = Diagnostic("RLC0746", words, help=(Help(way),), paths=("environment.tools.name",))
        raise SpecError(faults) from fault


def _answering(tool: OpenTool) -> Callable[..., Any]:
    """A tool that answers with a text; what it returns is written out where it was called."""
    if inspect.iscoroutinefunction(tool.call):

        async def answer(**arguments: object) -> str:
            return _text(await tool.call(**arguments))

        answer.__name__ = tool.name
        return answer

    def answer_at_once(**arguments: object) -> str:
        return _text(tool.call(**arguments))

    # What it is called where it is given up.
    answer_at_once.__name__ = tool.name
    return answer_at_once


def _text(returned: object) -> str:
    return returned if isinstance(returned, str) else json.dumps(returned, ensure_ascii=False, default=str)


def _parameters(tool: OpenTool) -> dict[str, Any]:
    function: Any = tool.schema["function"]
    return {"properties": {}, **function.get("parameters", {})}


def _argument_fault(tool: OpenTool, arguments: Mapping[str, JsonValue]) -> str:
    """What is wrong with arguments, or nothing."""
    schema = _parameters(tool)
    known, required = schema["properties"], schema.get("required", [])
    missing = [name for name in required if name not in arguments]
    if missing:
        return f"{tool.name} needs {', '.join(missing)}"
    for name, value in arguments.items():
        if name not in known:
            return f"{tool.name} takes no {name[:80]}; it takes {', '.join(known) or 'nothing'}"
        kinds = known[name].get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds or []
        if (
            kinds
            and not any(_is_of(value, kind) for kind in kinds)
            and not (value is None and known[name].get("nullable"))
        ):
            return f"{name} of {tool.name} has to be of type {' or '.join(kinds)}"
    return ""


def _is_of(value: JsonValue, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _KINDS.get(kind, (object,)))


def _file(call: Callable[..., Any]) -> str:
    return call.__code__.co_filename
