"""What the formats have in common: calls as JSON, marked parts of a text, values typed by a tool's schema.

A model may write anything, a hundred thousand blanks in a row among it, so every text is read in one pass: no pattern
here or in a format may try a run of characters again from each of its places.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from stdlib.episodes import Parsed, ToolCall
from stdlib.samples import JsonValue

# The JSON schema of each parameter, by tool and name.
Tools = Mapping[str, Mapping[str, Any]]

_SHOWN = 80


class Marked(NamedTuple):
    """A text without its marked parts, these parts, and whether the last of them is open to its end."""

    rest: str
    parts: tuple[str, ...]
    is_open: bool


def marked(text: str, begin: str, end: str) -> Marked:
    """Return the parts of a text between two marks."""
    rest, at = "", 0
    parts: list[str] = []
    while (start := text.find(begin, at)) >= 0:
        rest += text[at:start]
        stop = text.find(end, start + len(begin))
        if stop < 0:
            return Marked(rest, (*parts, text[start + len(begin) :]), True)
        parts.append(text[start + len(begin) : stop])
        at = stop + len(end)
    return Marked(rest + text[at:], tuple(parts), False)


class Tagged(NamedTuple):
    """Named parts of a text in order, and what stands outside of them."""

    parts: tuple[tuple[str, str], ...]
    left: str


def tagged(text: str, opening: re.Pattern[str], closing: str) -> Tagged:
    """Return the parts of a text that a tag with a name opens and another closes.

    Args:
        opening: has one group, the name, which is no longer than some characters.
    """
    parts: list[tuple[str, str]] = []
    left, at = "", 0
    while (found := opening.search(text, at)) is not None:
        left += text[at : found.start()]
        stop = text.find(closing, found.end())
        if stop < 0:
            return Tagged(tuple(parts), (left + text[found.start() :]).strip())
        parts.append((found[1], text[found.end() : stop]))
        at = stop + len(closing)
    return Tagged(tuple(parts), (left + text[at:]).strip())


def parsed(content: str, found: Iterable[ToolCall | str]) -> Parsed:
    """Return calls, and in the place of some of them why they are malformed."""
    every = list(found)
    calls = tuple(one for one in every if isinstance(one, ToolCall))
    return Parsed(content.strip(), calls, tuple(one for one in every if isinstance(one, str)))


def section_of_calls(text: str, section: str, marks: tuple[str, str], call: Callable[[str], ToolCall | str]) -> Parsed:
    """Return the calls of a turn whose last part, from one mark on, is a section of marked calls.

    Args:
        call: returns the call of one part, or why it is none.
    """
    content, mark, calls_text = text.partition(section)
    found = marked(calls_text, *marks)
    calls = [call(part) for part in found.parts]
    if found.is_open:
        calls[-1] = "a call is not closed"
    elif mark and not calls:
        calls = ["there is no call in the section of calls"]
    return parsed(content, calls)


def json_call(text: str, *keys: str) -> ToolCall | str:
    """Return a call that is a JSON object, or why it is none; its arguments stand under one of the keys."""
    value = json_value(text)
    if isinstance(value, Broken):
        return value.why
    return object_call(value, *keys)


def object_call(value: JsonValue, *keys: str) -> ToolCall | str:
    """Return a call that is an object with a name and arguments, or why it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return f'a call is an object with a "name", and this is {shown(json.dumps(value))}'
    given = next((value[key] for key in keys if key in value), None)
    if given is None:
        return f'the call of {value["name"]} has no "{keys[0]}"'
    return arguments_call(str(value["name"]), given)


def text_call(name: str, arguments: str) -> ToolCall | str:
    """Return a call whose arguments are JSON, or why it is none."""
    if not name:
        return "a call has no name"
    value = json_value(arguments)
    return value.why if isinstance(value, Broken) else arguments_call(name, value)


def arguments_call(name: str, value: JsonValue) -> ToolCall | str:
    """Return a call with arguments, which may be a JSON text of them, or why it is none."""
    if isinstance(value, str):
        value = inner.why if isinstance(inner := json_value(value), Broken) else inner
    if not isinstance(value, dict):
        return f"the arguments of {name} have to be an object, and are {shown(json.dumps(value))}"
    return ToolCall(name, value)


class Broken(NamedTuple):
    """Why a text is no JSON."""

    why: str


def json_value(text: str) -> JsonValue | Broken:
    """Return what a JSON text says; NaN and infinities are none, nor numbers that are too large for a float."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=finite)
    except RecursionError:
        return Broken("this JSON is nested too deeply")
    except ValueError as fault:
        return Broken(f"this is no JSON ({fault}): {shown(text)}")


def typed(value: str, name: str, key: str, tools: Tools) -> JsonValue:
    """Return a value that was written as plain text, as the schema of its parameter has it.

    What does not fit stays a text, and is refused where arguments are checked.
    """
    wanted = tools.get(name, {}).get(key, {})
    kinds = wanted.get("type", "string") if isinstance(wanted, Mapping) else "string"
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return value
    found = json_value(value.strip())
    if isinstance(found, Broken):
        return {"True": True, "False": False, "None": None}.get(value.strip(), value)
    return found


def shown(text: str) -> str:
    """Return the beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}..."


def finite(number: str) -> float:
    """Return a number.  Raises: ValueError if it is too large."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number:.20} is too large")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
