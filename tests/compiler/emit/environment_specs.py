"""Specs with environments, of which there are several kinds."""

from __future__ import annotations

PLAY = '''\
"""An environment and a tool."""


async def generate(policy):
    return len((await policy.turn()).text)


def look(query: str) -> str:
    """Look something up.

    Args:
        query: What to look for.
    """
    return query
'''

_TOOLS = """
[environment]
name = "tools"
max_turns = 4
max_observation_tokens = 32
on_tool_failure = "end_episode"
train_turns = "last"

[[environment.tools]]
name = "calculator"

[[environment.tools]]
name = "play.py:look"
timeout_s = 2

[[environment.tools]]
name = "search"
search.documents = "documents.jsonl"
"""

_SEARCH = """
[environment]
name = "search"
max_observation_tokens = 32
search.documents = "documents.jsonl"
search.num_results = 2
judged = "all_turns"
failed_episodes = "train"
"""

_OWN = """
[environment]
name = "play.py:generate"
max_observation_tokens = 32
stop_strings = ["</move>"]
on_malformed_call = "end_episode"
on_episode_failure = "stop"
"""


def environment_specs(base: str) -> dict[str, str]:
    """Return the specs by name, each on top of one that samples."""
    return {"with_tools": base + _TOOLS, "with_search": base + _SEARCH, "own_environment": base + _OWN}
