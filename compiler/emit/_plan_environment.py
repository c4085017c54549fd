"""The row of a plan page about the environment: what answers the policy, within which limits, and what fails how."""

from __future__ import annotations

from compiler.emit._plan_reward import code_lines
from compiler.emit._plan_text import Sheet, Values, sentence

_TOOLS: dict[object, str] = {
    "tell_model": "the model is told of a call that fails",
    "end_episode": "a call that fails ends the episode",
    "stop": "a call that fails ends the run",
}
_CALLS: dict[object, str] = {
    "tell_model": "the model is told of a malformed call",
    "end_episode": "a malformed call ends the episode",
}
_FAILURES: dict[object, str] = {
    "end_episode": "an environment that fails ends the episode",
    "stop": "an environment that fails ends the run",
}
_MASKS: dict[object, str] = {
    "train": "failed episodes count in the loss",
    "mask": "failed episodes do not count in the loss",
}
_TURNS: dict[object, str] = {"all": "all turns count in the loss", "last": "the last turn alone counts in the loss"}
_JUDGED: dict[object, str] = {"last_turn": "the last turn is judged", "all_turns": "all turns are judged together"}


def write_environment(sheet: Sheet, stage: Values) -> None:
    """Add the row of a stage's environment, if it has one; paths of `stage` are relative to the stage."""
    if not stage.is_on("environment"):
        return
    one = stage.below("environment")
    drives = "takes episodes to their end" if one.raw("drives") else "answers turn by turn"
    stops = f"turns end at {one('stop_strings')} too" if one.raw("stop_strings") else ""
    sheet.row(
        "environment",
        f"{one('name')}: {one('drives', drives)}, up to {one.count('max_turns', 'turns')}",
        *code_lines(one),
        sentence(
            f"answers of up to {one('max_observation_tokens')} tokens",
            f"{one('episode_timeout_s')} s for an episode",
            f"up to {one.count('concurrency', 'calls')} at once",
            stops,
            f"{one.count('expected_turns', 'turns')} expected" if one.is_on("expected_turns") else "",
            f"{one('expected_turn_s')} s expected between two" if one.is_on("expected_turn_s") else "",
        ),
        *_tools(one),
        *_fates(one),
    )


def _tools(one: Values) -> list[str]:
    tools = one.raw("tools")
    lines: list[str] = []
    for at in range(len(tools) if isinstance(tools, tuple) else 0):
        tool = one.below(f"tools.{at}")
        lines += [f"tool {tool('name')}, {tool('timeout_s')} s a call", *_documents(tool), *code_lines(tool)]
    if one.is_on("parser"):
        lines.append(f"calls read as {one('parser')} writes them")
    if one.is_on("search"):
        lines += [f"search, {one('call_timeout_s')} s a call", *_documents(one)]
    return lines


def _documents(table: Values) -> list[str]:
    if not table.is_on("search"):
        return []
    found = table.below("search")
    return [f"{found.count('num_results', 'documents')} of {found('documents')}, texts from {found('text_key')}"]


def _fates(one: Values) -> list[str]:
    calls = one("on_malformed_call", _CALLS[one.raw("on_malformed_call")])
    may_call = one.raw("name") in ("tools", "search")
    tools = one("on_tool_failure", _TOOLS[one.raw("on_tool_failure")]) if may_call else ""
    failure = one("on_episode_failure", _FAILURES[one.raw("on_episode_failure")])
    masked = one("failed_episodes", _MASKS[one.raw("failed_episodes")])
    turns, judged = one("train_turns", _TURNS[one.raw("train_turns")]), one("judged", _JUDGED[one.raw("judged")])
    return [sentence(tools, calls, failure), sentence(turns, masked, judged)]
