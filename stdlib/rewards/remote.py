"""A score from a service of your own: it is sent `{"prompt", "response", "label"}` as JSON, and answers with a number.

Where the answer is an object, `reward.remote.key` says which of its values is the score.  Connections are kept open and
bounded, each attempt has a timeout, and what may pass (refused connections, timeouts, the statuses 408, 425, 429 and
5xx) is tried again after growing pauses.  What is still no score then is a failed judgement, of which
`reward.on_failure` decides.

Source: the `remote_rm` contract of slime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.ir.reward_settings import RemoteReward
    from stdlib.samples import JsonValue, Sample


def question(sample: Sample) -> dict[str, JsonValue]:
    """Return what the service is sent."""
    return {"prompt": sample.prompt.text, "response": sample.text, "label": sample.prompt.label}


def score(reply: JsonValue, settings: RemoteReward) -> JsonValue:
    """Return the score that a reply holds.  Raises: ValueError if there is none."""
    key = settings.key
    if not isinstance(key, str):
        return reply
    if not isinstance(reply, dict) or key not in reply:
        raise ValueError(f"the reply has no {key}")
    return reply[key]
