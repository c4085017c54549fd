"""The model on the page of a plan: every fact, those of an architecture that has none of something in few words."""

from __future__ import annotations

from compiler.emit._plan_text import Sheet, Values, counted, cut, said, sentence, shown
from compiler.ir.model import Override
from compiler.planner.parameters import Parameters

_LONGEST_ALPHABET = 40


def write_model(sheet: Sheet, model: Values, counts: Parameters) -> None:
    """Add the rows of a model."""
    sheet.row("from", sentence(*(f"{key} {model(key)}" for key in ("name", "hf") if model.is_on(key))))
    _write_architecture(sheet, model)
    for path, label, write in _TABLES:
        if model.is_on(path):
            sheet.row(label, write(model.below(path)))
    _write_parameters(sheet, model, counts)
    weights = model("weights")
    if model.raw("weights") == "random":
        weights += f", standard deviation {model('init_std')}"
    sheet.row("weights", weights)
    tokenizer = model("tokenizer.kind")
    if model.raw("tokenizer.kind") == "characters":
        tokenizer += f": {_alphabet(model)}"
    if model.is_on("tokenizer.name"):
        tokenizer += f" {model('tokenizer.name')}"
    template = f"chat template {model('chat_template')}" if model.is_on("chat_template") else ""
    sheet.row("tokenizer", sentence(tokenizer, template))
    overrides = model.raw("overrides")
    for changed in overrides if isinstance(overrides, tuple) else ():
        sheet.row(
            "changed", said(f"{changed.fact}: {changed.why}") if isinstance(changed, Override) else shown(changed)
        )


def _write_architecture(sheet: Sheet, model: Values) -> None:
    sheet.row(
        "architecture",
        f"{model('family')}: {model.count('num_layers', 'layers')} of {model.count('hidden_size', 'channels')}, "
        f"feed-forward {model('intermediate_size')}, {model('num_heads')} query heads and "
        f"{model('num_kv_heads')} key/value heads of {model.count('head_dim', 'channels')}",
        f"positions up to {model.count('max_position_tokens', 'tokens')}, rotary base {model('rope_base')}, "
        f"norm epsilon {model('norm_eps')}",
        f"{model.count('vocab_size', 'tokens')} in the vocabulary, output head tied to the embeddings: "
        f"{model('tie_embeddings')}",
    )
    sheet.row(
        "attention",
        f"biases on queries, keys and values: {model('qkv_bias')}, norms of queries and keys: {model('qk_norm')}, "
        f"gated: {model('attention_gate')}, outputs normed: {model('post_norms')}, "
        f"{model('rope_fraction')} of a head turns, in neighbouring pairs: {model('rope_interleaved')}",
    )


def _write_parameters(sheet: Sheet, model: Values, counts: Parameters) -> None:
    counted_as = shown(counts.total)
    if counts.active != counts.total:
        counted_as += f", of which a token passes through {shown(counts.active)}"
    said_by = [model(name) for name in ("published_parameters", "published_active_parameters") if model.is_on(name)]
    published = f"published as {' and '.join(said_by)} billion" if said_by else ""
    hub = f"on the hub as {model('hf_id')}" if model.is_on("hf_id") else ""
    more = model.count("num_mtp_layers", "further layers") if model.raw("num_mtp_layers") else ""
    prediction = f"{more} for the prediction of more tokens" if more else ""
    sheet.row("parameters", *(line for line in (counted_as, sentence(published, hub), prediction) if line))


def _experts(moe: Values) -> str:
    shared = ""
    if moe.is_on("shared_expert_size"):
        shared = f"one of {moe.count('shared_expert_size', 'channels')} for every token"
    return sentence(
        f"{moe('experts_per_token')} of {moe('num_experts')}, of {moe.count('expert_size', 'channels')} each",
        shared,
        f"with a gate: {moe('shared_expert_gate')}",
        f"{moe('num_dense_layers')} leading layers without",
        f"{moe('score')} scores x {moe('routed_scaling')}",
        f"adding up to one: {moe('normalize_weights')}",
        f"balanced by a bias: {moe('expert_bias')}",
        f"{moe('groups_per_token')} of {moe('num_groups')} groups",
    )


def _latent(mla: Values) -> str:
    return sentence(
        f"keys and values from {mla.count('kv_lora_rank', 'channels')}",
        f"queries from {mla('q_lora_rank')}",
        f"heads of {mla('qk_nope_dim')} + {mla('qk_rope_dim')} channels that turn",
        f"values of {mla('v_head_dim')}",
    )


def _delta_nets(linear: Values) -> str:
    return sentence(
        f"but for every {linear('full_attention_interval')} layers",
        f"{linear('num_key_heads')} key heads of {linear('key_head_dim')}",
        f"{linear('num_value_heads')} value heads of {linear('value_head_dim')}",
        f"convolution over {linear.count('conv_kernel', 'tokens')}",
    )


def _indexer(indexer: Values) -> str:
    return sentence(
        f"{indexer.count('tokens', 'tokens')} by {indexer('num_heads')} heads of {indexer('head_dim')} channels",
        f"in {indexer.count('leading_layers', 'leading layers')}",
        f"then in one of every {indexer('pick_interval')}",
    )


def _scaling(rope: Values) -> str:
    text = f"{rope('kind')}, {rope('factor')} x {rope.count('original_max_position_tokens', 'tokens')}"
    if rope.raw("kind") == "llama3":
        text += f", between {rope('low_freq_factor')} and {rope('high_freq_factor')} waves"
    else:
        text += f", between {rope('beta_fast')} and {rope('beta_slow')} turns"
        text += f", attention sharpened by {rope('mscale')} over {rope('mscale_all_dim')}"
    return text


_TABLES = (
    ("rope_scaling", "positions", _scaling),
    ("moe", "experts", _experts),
    ("mla", "latent", _latent),
    ("linear_attention", "delta nets", _delta_nets),
    ("indexer", "sparse", _indexer),
)


def _alphabet(model: Values) -> str:
    alphabet = model.raw("tokenizer.alphabet")
    if not isinstance(alphabet, str):
        return f"alphabet {model('tokenizer.alphabet')}"
    excerpt = cut(said(alphabet), _LONGEST_ALPHABET)
    return sentence(f"{counted(len(alphabet), 'characters')}{model.mark('tokenizer.alphabet')}", excerpt)
