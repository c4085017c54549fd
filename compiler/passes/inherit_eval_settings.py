"""Lets each held-out set be measured as [eval] says, where it does not say otherwise.

The sizes k are the powers of two from 2 to the samples of a prompt; what is voted on by cons@k is what a reward of the
standard library says of itself in a line `ANSWER = "..."`.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.data import Eval
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.paths import read
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage

_INHERITED = (
    "samples_per_prompt",
    "max_response_tokens",
    "metrics",
    "greedy",
    "max_prompts",
    "correct_at",
    "sampling.temperature",
    "sampling.top_p",
    "sampling.top_k",
)


def inherit_eval_settings(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Close the open fields of [eval] and of its sets."""

    def edit(editor: StageEditor) -> None:
        if not isinstance(editor.stage.eval, Eval):
            return
        if editor.is_open("eval.max_response_tokens") and editor.has("rollout.max_response_tokens"):
            _inherit(editor, "eval.max_response_tokens", "rollout.max_response_tokens")
        sizes_are_said, answer_is_said = not editor.is_open("eval.k"), not editor.is_open("eval.answer")
        if not sizes_are_said:
            _derive_sizes(editor, "eval")
        if not answer_is_said:
            _derive_answer(editor, "eval", "reward", catalogue)
        for at, measured in enumerate(editor.stage.eval.sets):
            path = f"eval.sets.{at}"
            for name in _INHERITED:
                if editor.is_open(f"{path}.{name}"):
                    _inherit(editor, f"{path}.{name}", f"eval.{name}")
            if editor.is_open(f"{path}.k") and sizes_are_said:
                _inherit(editor, f"{path}.k", "eval.k")
            elif editor.is_open(f"{path}.k"):
                _derive_sizes(editor, path)
            if editor.is_open(f"{path}.answer") and answer_is_said:
                _inherit(editor, f"{path}.answer", "eval.answer")
            elif editor.is_open(f"{path}.answer"):
                reward = "reward" if isinstance(measured.reward, Off) else f"{path}.reward"
                _derive_answer(editor, path, reward, catalogue)

    return each_stage(experiment, origins, edit, by="inherit_eval_settings")


def _inherit(editor: StageEditor, field: str, source: str) -> None:
    value = read(editor.stage, source)
    if not isinstance(value, Auto):
        editor.derive(field, value, inputs=(source,), kind="inherited")


def _derive_sizes(editor: StageEditor, table: str) -> None:
    source = f"{table}.samples_per_prompt"
    samples = read(editor.stage, source)
    if isinstance(samples, int):
        sizes = tuple(1 << power for power in range(1, samples.bit_length()))
        editor.derive(f"{table}.k", sizes, inputs=(source,))


def _derive_answer(editor: StageEditor, table: str, reward: str, catalogue: Catalogue) -> None:
    metrics = read(editor.stage, f"{table}.metrics")
    if isinstance(metrics, tuple) and "cons" in metrics and editor.has(f"{reward}.name"):
        answer = _answer_of(str(read(editor.stage, f"{reward}.name")), catalogue)
        editor.derive(f"{table}.answer", answer, inputs=(f"{table}.metrics", f"{reward}.name"))
    else:
        editor.derive(f"{table}.answer", OFF, inputs=(f"{table}.metrics",))


def _answer_of(reward: str, catalogue: Catalogue) -> str | Off:
    """What a reward of the standard library judges of a response, or OFF if it does not say, or is none of them."""
    if reward not in catalogue.rewards:
        return OFF
    text = (catalogue.stdlib / "rewards" / f"{reward}.py").read_text(encoding="utf-8")
    for line in text.split("\n"):
        if line.startswith("ANSWER = "):
            return line.removeprefix("ANSWER = ").strip("\"'")
    return OFF
