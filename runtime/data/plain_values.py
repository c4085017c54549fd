"""Values of Arrow tables and of functions, as JSON has them.

A struct of Arrow has the keys of all rows; those that hold null in a row are absent from it, as they were in the JSON
that it was made of.  Dates and decimals become their texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from stdlib.samples import JsonValue

_AS_TEXT = (date, datetime, time, timedelta, Decimal)


def plain_row(row: Mapping[Any, Any]) -> dict[str, JsonValue]:
    """Return a row with plain values.  Raises: ValueError for what JSON cannot hold."""
    found: dict[str, JsonValue] = {}
    for key, value in row.items():
        if not isinstance(key, str):
            raise ValueError(f"a key is no text: {key!r}")
        found[key] = _plain(value, key)
    return found


def _plain(value: Any, key: str) -> JsonValue:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f'"{key}" holds {value}, which is no JSON number')
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one, key) for name, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(one, key) for one in value]
    if isinstance(value, _AS_TEXT):
        return str(value)
    raise ValueError(f'"{key}" holds a value of type {type(value).__name__}, which JSON does not have')
