"""Names of other tools that do not say what they count."""

from __future__ import annotations

from types import MappingProxyType

_PROMPTS = ("rollout.prompts_per_step", "prompts of one rollout")
_SAMPLES = ("train.global_batch", "samples of one optimizer step, over all devices")
_MICRO = ("train.micro_batch", "samples of one forward and backward pass")
_GROUP = ("rollout.samples_per_prompt", "samples for each prompt")
_STEPS = ("train.steps_per_rollout", "optimizer steps on one rollout")
_RESPONSE = ("rollout.max_response_tokens", "tokens of a response")
_PROMPT = ("rollout.max_prompt_tokens", "tokens of a prompt")
_CONTEXT = ("rollout.max_context_tokens", "tokens of prompt and response together")
_BUDGET = ("train.packing.tokens", "tokens of one micro-batch")

MEANINGS = MappingProxyType(
    {
        "batch_size": (_PROMPTS, _SAMPLES, _MICRO),
        "train_batch_size": (_PROMPTS, _SAMPLES),
        "rollout_batch_size": (_PROMPTS,),
        "global_batch_size": (_SAMPLES,),
        "train_global_batch_size": (_SAMPLES,),
        "mini_batch_size": (_SAMPLES, _STEPS),
        "mini_batch": (_SAMPLES, _STEPS),
        "ppo_mini_batch_size": (_SAMPLES, _STEPS),
        "policy_mini_batch_size": (_SAMPLES, _STEPS),
        "num_minibatches": (_STEPS,),
        "micro_batch_size": (_MICRO, _BUDGET),
        "per_device_train_batch_size": (_MICRO, _BUDGET),
        "n": (_GROUP,),
        "num_generations": (_GROUP,),
        "n_samples": (_GROUP,),
        "group_size": (_GROUP,),
        "max_length": (_CONTEXT, _RESPONSE),
        "max_len": (_CONTEXT, _RESPONSE),
        "max_tokens": (_RESPONSE, _BUDGET, _CONTEXT),
        "seq_len": (_CONTEXT,),
        "max_seq_len": (_CONTEXT,),
        "max_new_tokens": (_RESPONSE,),
        "max_completion_length": (_RESPONSE,),
        "max_prompt_length": (_PROMPT,),
        "max_response_length": (_RESPONSE,),
    }
)
