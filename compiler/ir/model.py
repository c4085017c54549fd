"""[model]: the network, its weights and its tokenizer."""

from __future__ import annotations

from typing import Generic, Literal

from compiler.ir.kinds import SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting


class Tokenizer(Record):
    """[model.tokenizer]: how text becomes token ids."""

    kind: Literal["huggingface", "characters"] = setting(
        "Where the tokenizer comes from: the files beside the weights, or one token for each character of an alphabet.",
        default="huggingface",
    )
    alphabet: str | Off = setting(
        "The characters that have a token of their own, in the order of their ids.",
        default=OFF,
        read_if=("kind", ("characters",)),
    )


class Model(Record, Generic[A]):
    """[model]: architecture facts, weights and tokenizer."""

    name: str | Off = setting("A model of the standard library, by its label (`//models:tiny_qwen3`).", default=OFF)
    hf: SpecPath | Off = setting(
        "A Hugging Face model directory: its config.json gives the facts, and weights and tokenizer are read from it.",
        default=OFF,
    )
    weights: Literal["random"] | SpecPath | A = setting(
        'The weights to start from: a Hugging Face directory, or "random" for a fresh initialisation.  '
        "Follows model.hf when that is set."
    )
    family: Literal["qwen3"] = setting("The architecture, as the engines know it.")
    num_layers: int = setting("Transformer blocks.", unit="layers", ge=1)
    hidden_size: int = setting("Width of the residual stream.", unit="channels", ge=1)
    intermediate_size: int = setting("Inner width of the feed-forward layer.", unit="channels", ge=1)
    num_heads: int = setting("Query heads.", unit="heads", ge=1)
    num_kv_heads: int = setting("Key and value heads.", unit="heads", ge=1)
    head_dim: int = setting("Width of one head.", unit="channels", ge=2)
    vocab_size: int = setting("Rows of the embedding table.", unit="tokens", ge=2)
    max_position_tokens: Tokens = setting("Longest sequence that the positions were made for.", unit="tokens", ge=1)
    rope_base: float = setting("Base of the rotary position embedding.", gt=0)
    norm_eps: float = setting("Epsilon of the RMS norms.", gt=0)
    tie_embeddings: bool = setting("Whether the output head is the embedding table.")
    init_std: float = setting(
        "Standard deviation of random weights.", default=0.02, gt=0, read_if=("weights", ("random",))
    )
    tokenizer: Tokenizer = setting("How text becomes token ids.")
