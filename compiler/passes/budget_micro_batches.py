"""Sets the sizes that only bound memory: micro-batches, vocabulary chunks, and what is decoded at once.

Without a memory model of the device these are plain bounds: enough work for a forward pass to be efficient, never less
than one longest sample as padding makes it, never more than a step has.  The engine takes memory for every sequence at
its longest, so a long context leaves room for fewer at once.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.data import Data, PreferenceData
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import Parallel
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Provenance
from compiler.ir.rollout import Rollout
from compiler.passes._each_stage import StageEditor, each_stage
from compiler.planner.memory.kv_cache import kv_bytes_per_token
from compiler.planner.padding import padded, padding_unit

MICRO_BATCH_TOKENS = 16384
VOCAB_CHUNK = 16384
CONCURRENT_SEQUENCES = 512
KV_CACHE_BYTES = 4 << 30
PREFILL_TOKENS = 2048

_PADDING = ("/parallel.tp", "/parallel.sp", "/parallel.cp")
_KV_FACTS = ("/model.num_layers", "/model.num_kv_heads", "/model.head_dim")


def budget_micro_batches(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Fill train.packing.tokens, train.vocab_chunk, rollout.concurrency and the limits of the engine `native`."""
    vocab, longest = experiment.model.vocab_size, experiment.model.max_position_tokens
    # An engine on a GPU admits what its own cache has room for; this one takes memory for all at once.
    unit = padding_unit(experiment.parallel) if isinstance(experiment.parallel, Parallel) else 1
    is_bounded = not catalogue.load_target(experiment.cluster.target).vendor

    def edit(editor: StageEditor) -> None:
        stage = editor.stage
        if editor.is_open("train.packing.tokens"):
            if not isinstance(stage.train.micro_batch, Off):
                editor.derive("train.packing.tokens", OFF, inputs=("train.micro_batch",))
            else:
                tokens, of = _longest_sample(stage, longest)
                if unit > 1 and tokens > MICRO_BATCH_TOKENS and tokens % unit:
                    tokens, of = padded(tokens, unit), (*of, *_PADDING)
                tokens, multiple = max(MICRO_BATCH_TOKENS, tokens), stage.train.packing.pad_multiple
                if tokens % multiple:
                    tokens, of = padded(tokens, multiple), (*of, "train.packing.pad_multiple")
                editor.derive("train.packing.tokens", tokens, inputs=of)
        if editor.is_open("train.vocab_chunk"):
            editor.derive("train.vocab_chunk", min(vocab, VOCAB_CHUNK), inputs=("/model.vocab_size",))
        if editor.is_open("rollout.concurrency"):
            wanted, of = _wanted_sequences(stage)
            context, of_context = _longest_sample(stage.replacing(data=Data(train=())), longest)
            # Without a layer of full attention nothing grows with the context; another rule says so.
            each = max(1, context * kv_bytes_per_token(experiment.model))
            room = max(1, KV_CACHE_BYTES // each)
            room = room if is_bounded else CONCURRENT_SEQUENCES
            inputs = of if wanted <= room else (*of_context, *_KV_FACTS)
            editor.derive("rollout.concurrency", min(wanted, room), inputs=inputs)
        _limit_engine(editor, longest)

    return each_stage(experiment, origins, edit, by="budget_micro_batches")


def _limit_engine(editor: StageEditor, model_limit: int) -> None:
    """An engine that is not rlc's own sizes its cache by itself."""
    cache, prefill = "rollout.engine.cache_tokens", "rollout.engine.prefill_tokens"
    rollout, name = editor.stage.rollout, "rollout.engine.name"
    if isinstance(rollout, Off):
        return
    is_own = rollout.engine.name == "native"
    if editor.is_open(cache) and not is_own:
        editor.derive(cache, OFF, inputs=(name,))
    elif editor.is_open(cache) and isinstance(rollout.concurrency, int):
        context, of = _longest_sample(editor.stage.replacing(data=Data(train=())), model_limit)
        editor.derive(cache, rollout.concurrency * context, inputs=("rollout.concurrency", *of))
    if editor.is_open(prefill):
        editor.derive(prefill, PREFILL_TOKENS if is_own else OFF, inputs=(name,))


def _longest_sample(stage: Stage[Auto], model_limit: int) -> tuple[int, tuple[str, ...]]:
    """Of one row: a pair of answers is two samples."""
    answers = 2 if isinstance(stage.data, PreferenceData) else 1
    if not isinstance(stage.rollout, Off) and isinstance(stage.rollout.max_context_tokens, int):
        return answers * stage.rollout.max_context_tokens, ("rollout.max_context_tokens",)
    return answers * model_limit, ("/model.max_position_tokens",)


def _wanted_sequences(stage: Stage[Auto]) -> tuple[int, tuple[str, ...]]:
    rollout = stage.rollout
    if isinstance(rollout, Rollout):
        prompts, samples = rollout.prompts_per_step, rollout.samples_per_prompt
        if isinstance(prompts, int) and isinstance(samples, int):
            inputs: tuple[str, ...] = ("rollout.prompts_per_step", "rollout.samples_per_prompt")
            if not isinstance(rollout.buffer, Off) and rollout.buffer.partial:
                prompts = rollout.buffer.prompts_under_way(prompts)
                inputs = (*inputs, "rollout.buffer.oversample")
            return min(prompts * samples, CONCURRENT_SEQUENCES), inputs
    return CONCURRENT_SEQUENCES, ()
