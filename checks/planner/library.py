"""The networks that measured rows name, by the names that their sources give them."""

from __future__ import annotations

import re

from checks.planner.comparison import UnreadableError
from compiler.ir.model import Moe
from compiler.planner.memory.network import Network, network_of
from rlc.catalogue import scan
from rlc.models import LibraryModel, read_models

# What the library of models does not have, and rows name: shapes from the papers.
_GPT = {"gated_ffn": False, "biases": True, "norm_vectors": 2, "positions": 2048, "dropout": True, "tied": True}
OTHERS = {
    "gpt22b": Network(48, 6144, 4 * 6144, 64, 64, 96, 51200, **_GPT),
    "gpt175b": Network(96, 12288, 4 * 12288, 96, 96, 128, 51200, **_GPT),
    "gpt530b": Network(105, 20480, 4 * 20480, 128, 128, 160, 51200, **_GPT),
    "gpt1t": Network(128, 25600, 4 * 25600, 160, 160, 160, 51200, **_GPT),
    "mixtral8x7b": Network(
        32, 4096, 14336, 32, 8, 128, 32000, moe=Moe(num_experts=8, experts_per_token=2, expert_size=14336)
    ),
    "mixtral8x22b": Network(
        56, 6144, 16384, 48, 8, 128, 32768, moe=Moe(num_experts=8, experts_per_token=2, expert_size=16384)
    ),
    "gpt320b": Network(44, 6144, 4 * 6144, 48, 48, 128, 51200, gated_ffn=False, biases=True, norm_vectors=2),
    "llama27b": Network(32, 4096, 11008, 32, 32, 128, 32000),
    "llama213b": Network(40, 5120, 13824, 40, 40, 128, 32000),
    "llama270b": Network(80, 8192, 28672, 64, 8, 128, 32000),
    "intellect3": "glm45106ba12b",
    "deepseekv3671b": "deepseekv3",
    "deepseekv3r1": "deepseekv3",
    "r1distillqwen7b": "qwen257b",
    "llama3370b": "llama3170b",
}

_APPENDED = ("instruct2507", "thinking2507", "instruct", "base", "a3b", "v01")


class Library:
    """Models of the library and of papers, under names without dots, dashes and what comes in brackets."""

    def __init__(self) -> None:
        """Read all models once."""
        self._models: dict[str, LibraryModel] = {_plain(m.name): m for m in read_models(scan())}

    def model(self, name: str) -> LibraryModel:
        """Return a model of the library.  Raises: UnreadableError if there is none."""
        for key in _spellings(name):
            known = OTHERS.get(key)
            key = known if isinstance(known, str) else key
            if key in self._models:
                return self._models[key]
        raise UnreadableError(f"the library has no model {name}")

    def network(self, name: str) -> Network:
        """Return the facts of a network.  Raises: UnreadableError if there is none of the name."""
        for key in _spellings(name):
            known = OTHERS.get(key)
            if isinstance(known, Network):
                return known
        return network_of(self.model(name).facts)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\(.*\)", "", name).lower())


def _spellings(name: str) -> list[str]:
    """The name, with and without its owner, and without what a publisher or a recipe appends to it.

    What has no number is an owner's name.
    """
    spelled: list[str] = []
    for part in dict.fromkeys((*re.split(r"/", name), name)):
        plain = re.sub(r"(bf16|fp8|mxfp8)$", "", _plain(part))
        spelled.extend((plain, *(plain.removesuffix(tail) for tail in _APPENDED)))
    return [key for key in dict.fromkeys(spelled) if re.search(r"[a-z].*\d", key)]
