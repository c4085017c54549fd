"""Instructions that can be checked, by their names in the data of IFEval and IFBench."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stdlib.rewards._ifeval import IFEVAL

Check = Callable[[str, str, Mapping[str, Any]], bool]


def follows(name: str, text: str, prompt: str, given: Mapping[str, Any]) -> bool:
    """Whether a response follows one instruction; an empty one follows none.

    Raises: ValueError for a name that nobody knows, and for an argument that is missing or of another kind.
    """
    check = IFEVAL.get(name)
    if check is None:
        raise ValueError(f"there is no instruction {name}")
    if not text.strip():
        return False
    try:
        return check(text, prompt, given)
    except KeyError as missing:
        raise ValueError(f"the instruction {name} needs {missing.args[0]}") from missing
