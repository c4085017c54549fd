"""Derives the prompt limit and the context limit from each other and from the model, and the limit of shaping."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Auto, Off
from compiler.ir.paths import read
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage

_OVERLONG, _BUFFER = "reward.shaping.overlong.max_tokens", "reward.shaping.overlong.buffer_tokens"


def derive_token_limits(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Context is prompt plus response; a prompt limit that nobody set is what the context or the model leaves over."""
    longest = experiment.model.max_position_tokens

    def edit(editor: StageEditor) -> None:
        rollout = editor.stage.rollout
        if isinstance(rollout, Off):
            return
        if editor.is_open(_OVERLONG):
            editor.derive(_OVERLONG, rollout.max_response_tokens, inputs=("rollout.max_response_tokens",))
        if editor.is_open(_BUFFER):
            limit = read(editor.stage, _OVERLONG)
            # DAPO's own: 4,096 of 20,480 tokens.
            if isinstance(limit, int):
                editor.derive(_BUFFER, max(1, limit // 5), inputs=(_OVERLONG,))
        response, context, prompt = rollout.max_response_tokens, rollout.max_context_tokens, rollout.max_prompt_tokens
        turns = _Turns(editor.stage, response)
        if isinstance(prompt, Auto):
            bound, of = (longest, "/model.max_position_tokens")
            if isinstance(context, int):
                bound, of = (context, "rollout.max_context_tokens")
            if bound <= turns.shortest:
                return
            prompt = bound - turns.shortest
            editor.derive("rollout.max_prompt_tokens", prompt, inputs=(of, *turns.inputs))
        if isinstance(context, Auto):
            # Every turn and every answer as long as allowed, or as much of that as the model can hold.
            together = prompt + turns.longest
            if turns.may_answer:
                together = max(prompt + response, min(together, longest))
            inputs = ("rollout.max_prompt_tokens", *turns.inputs)
            editor.derive("rollout.max_context_tokens", together, inputs=inputs)

    return each_stage(experiment, origins, edit, by="derive_token_limits")


class _Turns:
    """Tokens behind a prompt: `shortest` is room for a second turn where an environment answers, `longest` for all."""

    def __init__(self, stage: Stage[Auto], response: int) -> None:
        environment = stage.environment
        self.may_answer = not isinstance(environment, Off) and environment.max_turns > 1
        self.shortest = self.longest = response
        self.inputs: tuple[str, ...] = ("rollout.max_response_tokens",)
        if not isinstance(environment, Off) and self.may_answer:
            turn = environment.max_observation_tokens + response
            self.shortest, self.longest = response + turn, response + (environment.max_turns - 1) * turn
            self.inputs += ("environment.max_turns", "environment.max_observation_tokens")
