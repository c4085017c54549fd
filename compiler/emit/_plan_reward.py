"""The rows of a plan page about rewards: which judge, with which settings, and what becomes of their scores."""

from __future__ import annotations

from compiler.emit._plan_text import Sheet, Values, said, sentence
from compiler.ir.openness import Off
from compiler.ir.record import Record

_LEVELS: dict[object, str] = {
    "sample": "one sample a call",
    "group": "one group a call",
    "batch": "the whole batch in one call",
}
_FAILURES: dict[object, str] = {
    "stop": "a failed judgement ends the run",
    "score": "a failed judgement scores",
    "drop_group": "a failed judgement leaves its group out",
}
_EMPTY: dict[object, str] = {
    "judge": "empty responses are judged as any other",
    "fail": "an empty response is a failed judgement",
}


def write_reward(sheet: Sheet, stage: Values) -> None:
    """Add the rows of a stage's reward, if it has one; paths of `stage` are relative to the stage."""
    if not stage.is_on("reward"):
        return
    reward = stage.below("reward")
    sheet.row("reward", *reward_lines(reward))
    if reward.is_on("shaping"):
        sheet.row("shaping", *_shaping(reward.below("shaping")))


def reward_lines(reward: Values) -> list[str]:
    """Return what judges a response, with its settings and terms, and what becomes of a judgement that fails."""
    calls = f"up to {reward.count('concurrency', 'calls')} at once, {reward('timeout_s')} s each"
    calls += f", {reward('expected_call_s')} s expected" if reward.is_on("expected_call_s") else ""
    lines = [f"{_judgement(reward)}, {calls}", *_settings(reward), *code_lines(reward)]
    terms = reward.raw("terms")
    for at in range(len(terms) if isinstance(terms, tuple) else 0):
        term = reward.below(f"terms.{at}")
        label = f", called {term('label')}" if term.is_on("label") else ""
        lines += [f"{term('weight')} x {_judgement(term)}{label}", *_settings(term), *code_lines(term)]
    failure = reward("on_failure", _FAILURES.get(reward.raw("on_failure"), str(reward.raw("on_failure"))))
    if reward.raw("on_failure") == "score":
        failure += f" {reward('failure_score')}"
    if reward.raw("name") == "by_row":
        failure = sentence(f"each row names its term under {reward('row_key')}", failure)
    empty = reward("empty_responses", _EMPTY[reward.raw("empty_responses")])
    return [*lines, sentence(failure, empty)]


def _judgement(one: Values) -> str:
    return f"{one('name')}: {one('level', _LEVELS.get(one.raw('level'), str(one.raw('level'))))}"


def code_lines(one: Values) -> list[str]:
    """Return where the function of the experiment's own stands, if a table names one."""
    if not one.is_on("code"):
        return []
    digest = said(str(one.raw("code.sha256")))[:12]
    return [f"code {one('code.path')}, function {one('code.function')}, sha256 {one('code.sha256', digest)}"]


def _settings(one: Values) -> list[str]:
    """The settings of the reward that has a table, by their names."""
    record = one.record
    found: list[str] = []
    for name, field in type(record).fields().items() if isinstance(record, Record) else ():
        value = one.raw(name)
        if field.kind.records and isinstance(value, Record) and name not in ("code", "shaping"):
            found.append(_listed(one.below(name), value))
    return found


def _listed(table: Values, record: Record) -> str:
    return sentence(*(f"{name} {table(name)}" for name in type(record).fields()))


def _shaping(table: Values) -> list[str]:
    lines: list[str] = []
    if table.is_on("scale"):
        scale = table.below("scale")
        lines.append(
            f"{scale('source_min')} to {scale('source_max')} becomes {scale('target_min')} to {scale('target_max')}"
        )
    lines.append(f"x {table('truncated_coef')} where truncated")
    overlong = table.raw("overlong")
    if not isinstance(overlong, Off):
        limit = table.below("overlong")
        end = limit("floor", "and no more" if limit.raw("floor") else "and more behind it")
        lines.append(
            f"- {limit('penalty')} at {limit.count('max_tokens', 'tokens')}, "
            f"from {limit('buffer_tokens')} before, {end}"
        )
    return lines
