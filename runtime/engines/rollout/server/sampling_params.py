"""SGLang's sampling parameters, as far as the native engine has them; everything else is refused by its name.

Names and defaults are those of SGLang 0.5.23 (`SamplingParams`).  Of a generation in
lockstep only whole responses are told, whatever `stream_interval` says of the tokens between two events.
Of `custom_params` three names are read here:

  rlc_draw      [seed, stage, step, group, first_sample, first_draw]: the draws, as `GenerationRequest` names them, so
                that the tokens are those of an engine in the same process.  Without it they follow from sampling_seed.
  rlc_lockstep  the name of a generation whose requests advance only when asked to: see `under_way.py`.
  rlc_keeps_prefix  false where no later request is likely to begin with this one's tokens and response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.server.fields import Fields, is_integers
from runtime.protocols import DrawKey

DRAW: Final = "rlc_draw"
LOCKSTEP: Final = "rlc_lockstep"
KEEPS_PREFIX: Final = "rlc_keeps_prefix"

# SGLang's own number for the whole vocabulary, beside -1.
_ALL: Final = 1 << 30
_COUNT_MAX: Final = 1 << 31
_GREEDY_BELOW: Final = 1e-6
_MAX_NEW_TOKENS: Final = 128
# More responses at once are no batch but a mistake.
SAMPLES_MAX: Final = 65_536

_SERVED: Final = (
    "max_new_tokens",
    "stop",
    "stop_token_ids",
    "min_new_tokens",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "ignore_eos",
    "no_stop_trim",
    "sampling_seed",
    "stream_interval",
    "custom_params",
)
# What SGLang has and the engine has not, with the values that ask for nothing.
_REFUSED: Final[tuple[tuple[tuple[str, ...], tuple[object, ...], str], ...]] = (
    (("stop_regex",), ("", [], [""]), "end responses by stop or stop_token_ids"),
    (("min_p", "frequency_penalty", "presence_penalty"), (0,), "leave it out, or set it to 0"),
    (("repetition_penalty",), (1,), "leave it out, or set it to 1"),
    (("json_schema", "regex", "ebnf", "structural_tag"), ("",), "leave it out: responses cannot be constrained"),
    (("logit_bias",), ({},), "leave it out"),
    (("beam_width",), (1,), "leave it out: responses are sampled"),
    (("watermark",), (False,), "leave it out"),
    (("skip_special_tokens", "spaces_between_special_tokens"), (True,), "leave it out, and read output_ids"),
)
NAMES: Final = frozenset((*_SERVED, *(name for names, _, _ in _REFUSED for name in names)))


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How one prompt is answered.

    Args:
        max_new_tokens: None for as many as there is room for.
        key: None where the server chooses the draws.
        lockstep: a name, or nothing for what advances by itself.
    """

    max_new_tokens: int | None
    num_samples: int
    sampling: Sampling
    stop_strings: tuple[str, ...]
    stop_token_ids: frozenset[int]
    min_new_tokens: int
    ignore_eos: bool
    trims_stop: bool
    key: DrawKey | None
    first_sample: int
    first_draw: int
    lockstep: str
    keeps_prefix: bool
    stream_interval: int


def read_sampling_params(given: object, where: str) -> SamplingParams:
    """Return the parameters of one prompt.

    Raises: RefusalError RLC0720 for a value of the wrong form, RLC0721 for an unknown name, RLC0722 for what the engine
    cannot do; all at once.
    """
    fields = Fields({} if given is None else given, where, NAMES)
    for names, neutral, way in _REFUSED:
        fields.only(names, neutral, way)
    given_custom = fields.raw("custom_params")
    custom = Fields(
        {} if given_custom is None else given_custom, f"custom_params of {where}", (DRAW, LOCKSTEP, KEEPS_PREFIX)
    )
    key, first_sample, first_draw = _draws(fields, custom)
    has_limit = not (isinstance(given, dict) and "max_new_tokens" in given and given["max_new_tokens"] is None)
    max_new_tokens = fields.integer("max_new_tokens", _MAX_NEW_TOKENS, least=1) if has_limit else None
    lockstep, keeps_prefix = custom.text(LOCKSTEP), custom.flag(KEEPS_PREFIX, default=True)
    fields.faults += custom.faults
    params = SamplingParams(
        max_new_tokens=max_new_tokens,
        num_samples=fields.integer("n", 1, least=1, most=SAMPLES_MAX),
        sampling=_sampling(fields),
        stop_strings=_stop_strings(fields),
        stop_token_ids=frozenset(fields.integers("stop_token_ids")),
        min_new_tokens=fields.integer("min_new_tokens", 0),
        ignore_eos=fields.flag("ignore_eos", default=False),
        trims_stop=not fields.flag("no_stop_trim", default=False),
        key=key,
        first_sample=first_sample,
        first_draw=first_draw,
        lockstep=lockstep,
        keeps_prefix=keeps_prefix,
        stream_interval=fields.integer("stream_interval", 1, least=1),
    )
    fields.close()
    return params


def _sampling(fields: Fields) -> Sampling:
    temperature = fields.number("temperature", 1.0, low=0.0)
    top_p = fields.number("top_p", 1.0, low=0.0, high=1.0)
    if top_p == 0.0:
        fields.wrong("top_p", "above 0")
        top_p = 1.0
    top_k = fields.integer("top_k", -1, least=-1)
    if top_k == 0:
        fields.wrong("top_k", "-1 or at least 1")
    is_open = top_k < 1 or top_k >= _ALL
    return Sampling(
        temperature=0.0 if temperature < _GREEDY_BELOW else temperature, top_p=top_p, top_k=OFF if is_open else top_k
    )


def _stop_strings(fields: Fields) -> tuple[str, ...]:
    given = fields.raw("stop")
    strings = [given] if isinstance(given, str) else given or []
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        fields.wrong("stop", "a text, or a list of texts")
        return ()
    return tuple(text for text in strings if text)


def _draws(fields: Fields, custom: Fields) -> tuple[DrawKey | None, int, int]:
    named = custom.raw(DRAW)
    if named is not None:
        if not is_integers(named) or len(named) != 6 or not 0 <= min(named[4:]) <= max(named[4:]) < _COUNT_MAX:
            custom.wrong(DRAW, "[seed, stage, step, group, first_sample, first_draw], the last two from 0 to 2**31 - 1")
            return None, 0, 0
        seed, stage, step, group, first_sample, first_draw = named
        return DrawKey(seed=seed, stage=stage, step=step, group=group), first_sample, first_draw
    if "sampling_seed" not in fields:
        return None, 0, 0
    seed = fields.integer("sampling_seed", 0, least=-(1 << 63))
    return DrawKey(seed=seed, stage=0, step=0, group=0), 0, 0
