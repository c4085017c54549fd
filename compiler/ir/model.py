"""[model]: the network, its weights and its tokenizer."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting


class Tokenizer(Record):
    """[model.tokenizer]: how text becomes token ids."""

    kind: Literal["huggingface", "characters", "bytes"] = setting(
        "Where the tokenizer comes from: the files beside the weights, one token for each character of an alphabet, or "
        "one for each byte of UTF-8.",
        default="huggingface",
    )
    name: str | Off = setting(
        "Which tokenizer it is: models that name the same one read each other's tokens.",
        default=OFF,
        read_if=("kind", ("huggingface",)),
        in_hash=False,
    )
    alphabet: str | Off = setting(
        "The characters that have a token of their own, in the order of their ids.",
        default=OFF,
        read_if=("kind", ("characters",)),
    )


class Moe(Record):
    """[model.moe]: feed-forward layers of experts, of which a router picks a few for each token."""

    num_experts: int = setting("Routed experts of one layer.", unit="experts", ge=2)
    experts_per_token: int = setting("Routed experts that one token visits.", unit="experts", ge=1)
    expert_size: int = setting("Inner width of one routed expert.", unit="channels", ge=1)
    shared_expert_size: int | Off = setting(
        "Inner width of the expert that every token visits.", default=OFF, unit="channels", ge=1
    )
    shared_expert_gate: bool = setting("Whether the shared expert is weighted by a gate of its own.", default=False)
    num_dense_layers: int = setting("Leading layers without experts.", default=0, unit="layers", ge=0)
    score: Literal["softmax", "sigmoid"] = setting("What the router makes of its logits.", default="softmax")
    expert_bias: bool = setting(
        "Whether a bias of each expert, kept outside of the gradient, balances their load.", default=False
    )
    normalize_weights: bool = setting("Whether the weights of the chosen experts add up to one.", default=True)
    routed_scaling: float = setting("Multiplies the sum of the routed experts.", default=1.0, gt=0)
    num_groups: int = setting("Groups of experts, of which a token may visit a few.", default=1, unit="groups", ge=1)
    groups_per_token: int = setting("Groups that one token may visit.", default=1, unit="groups", ge=1)


class LatentAttention(Record):
    """[model.mla]: multi-head latent attention, whose keys and values are cached as one narrow vector."""

    q_lora_rank: int | Off = setting("Width that queries pass through.", default=OFF, unit="channels", ge=1)
    kv_lora_rank: int = setting("Width of the cached vector.", unit="channels", ge=1)
    qk_nope_dim: int = setting("Channels of a head's query and key without a position.", unit="channels", ge=1)
    qk_rope_dim: int = setting("Channels of a head's query and key that turn with the position.", unit="channels", ge=2)
    v_head_dim: int = setting("Channels of a head's value.", unit="channels", ge=1)


class LinearAttention(Record):
    """[model.linear_attention]: gated delta nets in place of most attention layers; their state does not grow."""

    full_attention_interval: int = setting("Every so many layers one has full attention.", unit="layers", ge=2)
    num_key_heads: int = setting("Heads of keys and queries.", unit="heads", ge=1)
    num_value_heads: int = setting("Heads of values.", unit="heads", ge=1)
    key_head_dim: int = setting("Width of a head's key.", unit="channels", ge=1)
    value_head_dim: int = setting("Width of a head's value.", unit="channels", ge=1)
    conv_kernel: int = setting("Tokens that the short convolution looks back over.", unit="tokens", ge=1)


class SparseIndexer(Record):
    """[model.indexer]: what picks the tokens that sparse attention looks at."""

    num_heads: int = setting("Heads of the indexer.", unit="heads", ge=1)
    head_dim: int = setting("Width of one head.", unit="channels", ge=1)
    tokens: int = setting("Tokens that a query looks at, at most.", unit="tokens", ge=1)
    leading_layers: int = setting("Leading layers, each of which picks its own tokens.", default=1, unit="layers", ge=1)
    pick_interval: int = setting(
        "Behind those every so many layers one picks its own; those between look at what it picked.",
        default=1,
        unit="layers",
        ge=1,
    )


class RopeScaling(Record):
    """[model.rope_scaling]: rotary positions stretched beyond the length that they were trained for."""

    kind: Literal["llama3", "yarn"] = setting("The rule by which wave lengths are stretched.")
    factor: float = setting("By how much the longest waves are stretched.", ge=1)
    original_max_position_tokens: Tokens = setting("The length before.", unit="tokens", ge=1)
    low_freq_factor: float = setting(
        "Waves longer than the original length over this are stretched whole.",
        default=1.0,
        gt=0,
        read_if=("kind", ("llama3",)),
    )
    high_freq_factor: float = setting(
        "Waves shorter than the original length over this are left alone.",
        default=4.0,
        gt=0,
        read_if=("kind", ("llama3",)),
    )
    beta_fast: float = setting(
        "Waves that turn more often than this within the original length are left alone.",
        default=32.0,
        gt=0,
        read_if=("kind", ("yarn",)),
    )
    beta_slow: float = setting(
        "Waves that turn less often than this within the original length are stretched whole.",
        default=1.0,
        gt=0,
        read_if=("kind", ("yarn",)),
    )
    mscale: float | Off = setting(
        "How strongly the factor sharpens attention, over mscale_all_dim; without both, as YaRN's own paper has it.",
        default=OFF,
        gt=0,
        read_if=("kind", ("yarn",)),
    )
    mscale_all_dim: float | Off = setting(
        "The same for the whole of a head, which latent attention puts into its softmax.",
        default=OFF,
        gt=0,
        read_if=("kind", ("yarn",)),
    )


class Override(Record):
    """[[model.overrides]]: a fact of the library that this experiment changes on purpose."""

    fact: str = setting("The fact, by its key in [model].")
    why: str = setting("The reason, for whoever reviews the plan.")


class Model(Record, Generic[A]):
    """[model]: architecture facts, weights and tokenizer."""

    name: str | Off = setting("A model of the standard library, by its label (`//models:tiny_qwen3`).", default=OFF)
    hf: SpecPath | Off = setting(
        "A Hugging Face model directory: its config.json gives the facts, and weights and tokenizer are read from it.",
        default=OFF,
    )
    weights: Literal["random"] | SpecPath | A = setting(
        'The weights to start from: a Hugging Face directory, or "random" for a fresh initialisation.  '
        "Follows model.hf when that is set.  The facts are held against its config.json, if it has one."
    )
    family: Literal[
        "deepseek_v3",
        "glm4",
        "glm4_moe",
        "glm4_moe_lite",
        "glm_moe_dsa",
        "kimi_k2",
        "llama",
        "mimo",
        "minimax_m2",
        "qwen2",
        "qwen3",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_moe",
        "qwen3_next",
    ] = setting("The architecture, as Hugging Face calls it.")
    num_layers: int = setting("Transformer blocks.", unit="layers", ge=1)
    hidden_size: int = setting("Width of the residual stream.", unit="channels", ge=1)
    intermediate_size: int = setting("Inner width of a feed-forward layer without experts.", unit="channels", ge=1)
    num_heads: int = setting("Query heads.", unit="heads", ge=1)
    num_kv_heads: int = setting("Key and value heads.", unit="heads", ge=1)
    head_dim: int = setting("Width of one head.", unit="channels", ge=2)
    vocab_size: int = setting("Rows of the embedding table.", unit="tokens", ge=2)
    max_position_tokens: Tokens = setting("Longest sequence that the positions were made for.", unit="tokens", ge=1)
    rope_base: float = setting("Base of the rotary position embedding.", gt=0)
    rope_fraction: float = setting("Share of a head's channels that turn with the position.", default=1.0, gt=0, le=1)
    rope_interleaved: bool = setting(
        "Whether a rotary pair is two neighbouring channels, instead of one of each half.", default=False
    )
    rope_scaling: RopeScaling | Off = setting("Positions beyond the trained length.", default=OFF)
    norm_eps: float = setting("Epsilon of the RMS norms.", gt=0)
    tie_embeddings: bool = setting("Whether the output head is the embedding table.")
    qkv_bias: bool = setting("Whether queries, keys and values have biases.", default=False)
    qk_norm: Literal["none", "head", "whole"] = setting(
        "Whether queries and keys are normed: each head by itself, or all heads as one vector.", default="none"
    )
    post_norms: bool = setting("Whether the outputs of attention and feed-forward are normed too.", default=False)
    attention_gate: bool = setting("Whether the output of attention is gated by its input.", default=False)
    moe: Moe | Off = setting("Experts.", default=OFF)
    mla: LatentAttention | Off = setting("Latent attention.", default=OFF)
    linear_attention: LinearAttention | Off = setting("Gated delta nets.", default=OFF)
    indexer: SparseIndexer | Off = setting("Sparse attention.", default=OFF)
    num_mtp_layers: int = setting(
        "Layers that predict further tokens; they serve speculation and are not counted as parameters of the model.",
        default=0,
        unit="layers",
        ge=0,
    )
    hf_id: str | Off = setting("The model on the Hugging Face hub.", default=OFF, in_hash=False)
    chat_template: (
        Literal[
            "deepseek_r1",
            "deepseek_v3",
            "deepseek_v3.1",
            "glm4",
            "glm4.5",
            "glm4.6",
            "glm4.7",
            "glm5",
            "glm5.2",
            "glm_z1",
            "kimi_k2",
            "kimi_k2_thinking",
            "llama3",
            "llama3.1",
            "llama3.2",
            "mimo",
            "minimax_m2",
            "moonlight",
            "qwen2.5",
            "qwen2.5_math",
            "qwen3",
            "qwen3.5",
            "qwen3.6",
            "qwen3_instruct_2507",
            "qwen3_next_instruct",
        ]
        | Off
    ) = setting(
        "Which chat template the model was tuned with, as its family calls it; prompts are written by the tokenizer's.",
        default=OFF,
        in_hash=False,
    )
    published_parameters: float | Off = setting(
        "What its publisher says of the parameters, in billions.", default=OFF, gt=0, in_hash=False
    )
    published_active_parameters: float | Off = setting(
        "What its publisher says of the parameters that one token passes through, in billions.",
        default=OFF,
        gt=0,
        in_hash=False,
    )
    overrides: tuple[Override, ...] = setting(
        "Facts of the library that this experiment changes on purpose, each with the reason; with random weights there "
        "is no checkpoint to contradict, and facts may be changed without one.",
        default=(),
        in_hash=False,
    )
    init_std: float = setting(
        "Standard deviation of random weights.", default=0.02, gt=0, read_if=("weights", ("random",))
    )
    tokenizer: Tokenizer = setting("How text becomes token ids.")
