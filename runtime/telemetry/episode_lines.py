"""An episode for a person to read: a line for each turn, of the policy and of what answered it."""

from __future__ import annotations

from runtime.telemetry.wording import number, one_line
from stdlib.episodes import EpisodeFacts
from stdlib.samples import Message


def episode_lines(episode: EpisodeFacts, *, length: int, most: int) -> list[tuple[str, str]]:
    """Return who spoke and what was said, the middle of long episodes left out, and how it ended.

    Args:
        length: characters of a line.
        most: turns that are shown.
    """
    said = [(_speaker(message), one_line(str(message.get("content", "")), length=length)) for message in episode.said]
    if len(said) > most:
        head = most // 2
        said = [*said[:head], ("", f"... {len(said) - most + 1} more ..."), *said[len(said) - (most - head - 1) :]]
    earned = f"earned {number(episode.reward)}, " if episode.reward is not None else ""
    ended = f"ended by {(episode.ended_by or 'the environment').replace('_', ' ')}"
    return [*said, ("", f"{earned}{episode.num_turns} turns, {ended}")]


def _speaker(message: Message) -> str:
    role, name = str(message.get("role", "")), message.get("name")
    return f"{role} {name}" if name else role
