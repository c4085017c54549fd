"""Instructions that can be checked, by their names in the data of IFEval and IFBench."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stdlib.rewards._ifbench_format import FORMAT
from stdlib.rewards._ifbench_words import WORDS
from stdlib.rewards._ifeval import IFEVAL

Check = Callable[[str, str, Mapping[str, Any]], bool]

INSTRUCTIONS: Mapping[str, Check] = {**IFEVAL, **WORDS, **FORMAT}

# They ask for knowledge of French and of parts of speech: rules cannot tell.
UNCHECKED = ("count:words_french", "words:start_verb")


def follows(name: str, text: str, prompt: str, given: Mapping[str, Any]) -> bool:
    """Whether a response follows one instruction; an empty one follows none.

    Raises: ValueError for a name that nobody knows, and for an argument that is missing or of another kind.
    """
    check = INSTRUCTIONS.get(name)
    if check is None:
        why = "cannot be checked by rules" if name in UNCHECKED else "is not one of IFEval or IFBench"
        raise ValueError(f"the instruction {name} {why}")
    if not text.strip():
        return False
    try:
        return check(text, prompt, given)
    except KeyError as missing:
        raise ValueError(f"the instruction {name} needs {missing.args[0]}") from missing
    except TypeError as wrong:
        raise ValueError(f"an argument of the instruction {name} is of another kind: {wrong}") from wrong
