"""The score of a reward model of your own: a Hugging Face sequence-classification model with one output.

The model is read once, from `config.json` and safetensors only, without running code of the directory; the samples of a
group are judged together, as many as `batch_tokens` lets at once.  It sits where the plan places the stage's reward.  A
model with a chat template sees the prompt's messages and the response as the assistant's; without one, or for a prompt
that is a plain text, prompt and response follow each other.  A longer text than `max_tokens` is a failed judgement: cut
anywhere, its score would be that of another text.

Source: Ouyang et al., InstructGPT, arXiv:2203.02155, sec. 3.5, in the form of `AutoModelForSequenceClassification`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stdlib.samples import Message, Sample


def question(sample: Sample) -> str | list[Message]:
    """Return what the model is shown: a conversation, or a text where the prompt is none."""
    if sample.prompt.messages:
        return [*sample.prompt.messages, {"role": "assistant", "content": sample.text}]
    return sample.prompt.text + sample.text
