"""What a chat template writes between two turns of the policy, as the text to append behind what was sampled.

The template is given the prompt, a turn of the policy that is a mark, and the messages that answer it; what it writes
behind the mark is appended.  What the policy said is never rendered again, so its tokens stay those that were sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.data.tokenizers import TextTokenizer
from runtime.data.turns import Tools
from stdlib.samples import JsonValue, Message

# Characters of private use: they stand for no text, and templates have nothing to strip from them.
_PRIVATE = range(0xE000, 0xF900)
_REFUSED = "RLC0608"


def between_turns(
    tokenizer: TextTokenizer,
    messages: Sequence[Message],
    observed: Sequence[Message],
    tools: Tools,
    *,
    ended_with: str,
) -> str:
    """Return the end of the turn that was sampled, the messages that answer it, and the opening of the next turn.

    Args:
        messages: of the prompt.
        ended_with: the token that ended the turn, or nothing; the template's own is not written again.

    Raises: SpecError RLC0740 if the template writes the prompt otherwise once an answer is there, leaves out what the
    policy said, or refuses the messages; RLC0604 without a template.
    """
    before = tokenizer.chat_text(messages, tools, opens=False)
    (mark,) = unused_marks([*messages, *observed], 1)
    said: Message = {"role": "assistant", "content": mark}
    try:
        whole = tokenizer.chat_text([*messages, said, *observed], tools)
    except SpecError as refusal:
        if refusal.diagnostics[0].code != _REFUSED:
            raise
        return _after_calls(tokenizer, messages, observed, tools, ended_with=ended_with)
    if not whole.startswith(before):
        raise _unstable("writes the prompt otherwise once a turn is answered")
    if whole.count(mark) != 1:
        raise _unstable("does not write what the assistant said, once, before an answer to it")
    behind = whole.partition(mark)[2]
    rest = behind.lstrip()
    return rest[len(ended_with) :] if ended_with and rest.startswith(ended_with) else behind


def unused_marks(messages: Sequence[Message], count: int) -> list[str]:
    """Return characters that stand for no text and are in none of these messages."""
    used = set("".join(str(value) for message in messages for value in message.values()))
    free = (chr(code) for code in _PRIVATE if chr(code) not in used)
    return list(islice(free, count))


def _after_calls(
    tokenizer: TextTokenizer, messages: Sequence[Message], observed: Sequence[Message], tools: Tools, *, ended_with: str
) -> str:
    """The same of a template that takes results of tools only after calls with ids."""
    calls: list[JsonValue] = []
    answers: list[Message] = []
    for number, message in enumerate(observed):
        call_id = f"{number:09d}"
        function: JsonValue = {"name": str(message.get("name", "tool")), "arguments": {}}
        calls.append({"type": "function", "id": call_id, "function": function})
        answers.append({**message, "tool_call_id": call_id})
    said: Message = {"role": "assistant", "content": "", "tool_calls": calls}
    try:
        called = tokenizer.chat_text([*messages, said], tools, opens=False)
        whole = tokenizer.chat_text([*messages, said, *answers], tools)
    except SpecError as refusal:
        raise _unstable(f"refuses an answer to the assistant: {refusal.diagnostics[0].message}") from refusal
    end = tokenizer.decode((tokenizer.eos_token_id,), keeps_special=True)
    if not whole.startswith(called) or not called.endswith(end):
        raise _unstable("writes calls of tools otherwise once they are answered")
    return whole[len(called) :] if ended_with == end else end + whole[len(called) :]


def _unstable(what: str) -> SpecError:
    return SpecError(
        Diagnostic(
            "RLC0740",
            f"the chat template of the model {what}, so that turns cannot be added to what was sampled",
            help=(
                Help("take a template that appends turns: one that keeps earlier messages as they are"),
                Help("or an environment that answers with plain text, as `search` does"),
            ),
            paths=("environment.name", "model.hf"),
        )
    )
