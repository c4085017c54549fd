"""Whether the response follows instructions that can be checked, those of IFEval and of IFBench.

The metadata of a row says which: `instruction_id_list`, such as `["punctuation:no_comma"]`, and `kwargs`, one object of
arguments for each.  With `mode = "loose"` the response also passes an instruction where it would without its first
line, its last line, both, or its asterisks.  An empty response follows none.  `score` says whether all instructions
together score 1, or each its share.

Sources: Zhou et al., IFEval, arXiv:2311.07911, table 1; Pyatkin et al., IFBench, arXiv:2507.02833, appendix.  The
checks are written from these descriptions, and held against the examples that come with the benchmarks.  Sentences,
syllables and languages are told by rules instead of trained models.  Two of the 83 instructions need more than rules
(`count:words_french`, `words:start_verb`): a row that has one is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stdlib.rewards._instructions import follows
from stdlib.rewards._isolation import Isolation

if TYPE_CHECKING:
    from compiler.ir.reward_settings import IfBenchReward
    from stdlib.samples import Sample

# Patterns meet what a policy makes up.
ISOLATION = Isolation(score=0.0, memory_gib=2, imports=())


def reward(sample: Sample, settings: IfBenchReward) -> float:
    """Return 1.0 or 0.0, or a share.  Raises: ValueError for an instruction that is unknown or lacks an argument."""
    metadata: Any = sample.prompt.metadata
    ids = metadata.get("instruction_id_list") if isinstance(metadata, dict) else None
    if not isinstance(ids, list) or not ids:
        raise ValueError("the metadata of the row has no instruction_id_list")
    arguments = metadata.get("kwargs") or [{} for _ in ids]
    if not isinstance(arguments, list) or len(arguments) != len(ids):
        raise ValueError(f"the metadata of the row has {len(ids)} instructions, and kwargs for another number")
    texts = _variants(sample.text) if settings.mode == "loose" else [sample.text]
    prompt = sample.prompt.text
    followed = [
        any(follows(str(name), text, prompt, _given(known)) for text in texts)
        for name, known in zip(ids, arguments, strict=True)
    ]
    return sum(followed) / len(followed) if settings.score == "fraction" else float(all(followed))


def _given(arguments: Any) -> dict[str, Any]:
    return {key: value for key, value in (arguments or {}).items() if value is not None}


def _variants(text: str) -> list[str]:
    lines = text.split("\n")
    cut = [text, "\n".join(lines[1:]).strip(), "\n".join(lines[:-1]).strip(), "\n".join(lines[1:-1]).strip()]
    return [*cut, *(one.replace("*", "") for one in cut)]
