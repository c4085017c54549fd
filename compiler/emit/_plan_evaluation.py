"""The rows of a plan page about evaluation: what is measured, when, and what is measured otherwise of single sets."""

from __future__ import annotations

from collections.abc import Callable

from compiler.emit._plan_reward import reward_lines
from compiler.emit._plan_text import Sheet, Values, counted, sentence, shown

_BESIDE = {"pass": "pass@k", "avg": "avg@n", "cons": "cons@k"}


def write_evaluation(sheet: Sheet, stage: Values, source: Callable[[Values], str], times: str) -> None:
    """Add the rows; `source` words a file, `times` is how often."""
    if not stage.is_on("eval"):
        sheet.row("evaluation", f"none{stage.mark('eval')}")
        return
    table = stage.below("eval")
    sets = _sets(table)
    lines = [f"{measured('name')}: {source(measured)}" for measured in sets]
    lines += _answers(table, source)
    start = table("at_start", "before the first step" if table.raw("at_start") else "not before the first step")
    lines.append(sentence(start, times, "after the last step"))
    if not table.has("sets"):
        lines.append(f"intervals of {table('confidence')}")
        sheet.row("evaluation", *lines)
        return
    lines.append(sentence(*(_SETTINGS[name](table) for name in _COUNTS)))
    lines.append(sentence(*(_SETTINGS[name](table) for name in _METRICS), f"intervals of {table('confidence')}"))
    lines.append(f"{_SETTINGS['correct_at'](table)}{_cost(stage)}")
    for measured in sets:
        others = [said_as(measured) for name, said_as in _SETTINGS.items() if _differs(measured, table, name)]
        lines.append(f"{measured('name')} alone: {sentence(*others)}" if others else "")
        if measured.is_on("reward"):
            judged, *further = reward_lines(measured.below("reward"))
            lines += [f"{measured('name')} judged by {judged}", *further]
    sheet.row("evaluation", *lines)


def _sets(table: Values) -> list[Values]:
    sets = table.raw("sets") if table.has("sets") else ()
    return [table.below(f"sets.{at}") for at in range(len(sets) if isinstance(sets, tuple) else 0)]


def _answers(table: Values, source: Callable[[Values], str]) -> list[str]:
    """Sets of answers that are there, with what is measured of them."""
    lines: list[str] = []
    for name, most, unit, what in (
        ("pairs", "max_pairs", "pairs", "accuracy, loss and margin of pairs"),
        ("scored", "max_rows", "answers", "squared error and correlations of scores"),
    ):
        rows = table.raw(name) if table.has(name) else ()
        for at in range(len(rows) if isinstance(rows, tuple) else 0):
            one = table.below(f"{name}.{at}")
            bound = f"at most {one.count(most, unit)}" if one.is_on(most) else f"all {unit}{one.mark(most)}"
            lines.append(f"{one('name')}: {source(one)}")
            lines.append(f"{one('name')}: {sentence(what, bound)}")
    return lines


def _differs(measured: Values, table: Values, name: str) -> bool:
    return measured.raw(name) != table.raw(name)


def _prompts(table: Values) -> str:
    if not table.is_on("max_prompts"):
        return f"all prompts{table.mark('max_prompts')}"
    some = table.count("max_prompts", "prompts")
    return f"{some} of each set" if table.has("sets") else some


def _metrics(table: Values) -> str:
    metrics = table.raw("metrics")
    names = [_BESIDE.get(str(name), shown(name)) for name in metrics] if isinstance(metrics, tuple) else []
    return table("metrics", f"accuracy and {' and '.join(names)}" if names else "accuracy")


def _top(name: str, word: str) -> Callable[[Values], str]:
    return lambda table: f"{word} {table(f'sampling.{name}')}"


_SETTINGS: dict[str, Callable[[Values], str]] = {
    "max_prompts": _prompts,
    "samples_per_prompt": lambda t: f"{t.count('samples_per_prompt', 'samples')} each",
    "sampling.temperature": _top("temperature", "temperature"),
    "sampling.top_p": _top("top_p", "top-p"),
    "sampling.top_k": _top("top_k", "top-k"),
    "max_response_tokens": lambda t: f"response up to {t.count('max_response_tokens', 'tokens')}",
    "greedy": lambda t: t("greedy", "and once greedy" if t.raw("greedy") else "not greedy"),
    "metrics": _metrics,
    "k": lambda t: f"k: {t('k')}",
    "answer": lambda t: f"votes on: {t('answer')}",
    "correct_at": lambda t: f"right from reward {t('correct_at')} on",
}
_METRICS = ("metrics", "k", "answer")
_COUNTS = tuple(name for name in _SETTINGS if name not in (*_METRICS, "correct_at"))


def _cost(stage: Values) -> str:
    """The most tokens that one evaluation samples, where the number of prompts is bounded."""
    total = 0
    for measured in _sets(stage.below("eval")):
        bounds = [measured.raw(name) for name in ("max_prompts", "samples_per_prompt", "max_response_tokens")]
        prompts, samples, response = bounds
        if not (isinstance(prompts, int) and isinstance(samples, int) and isinstance(response, int)):
            return ""
        total += prompts * (samples + bool(measured.raw("greedy"))) * response
    return f"; one evaluation samples at most {counted(total, 'tokens')}"
