"""Evaluations that sample several responses draw different ones.

What: a set with more than one sample for each prompt has a temperature above 0, and a top-k above 1.
Why it matters: at temperature 0 all responses to a prompt are equal.  pass@k, avg@n and cons@k are then the accuracy of
one response under another name, and the time for the others is lost.
Example: `eval.samples_per_prompt = 8` with `eval.sampling.temperature = 0`.
Fix: `eval.sampling.temperature = 0.6`, or `eval.samples_per_prompt = 1`; `eval.greedy` measures the most likely tokens
beside the sampled ones.
Source: EVAL-02; NeMo-RL refuses the same (num_tests_per_prompt above 1 needs a temperature above 0 and top_k not 1).
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.evaluated import is_greedy
from compiler.ir.subject import Subject
from compiler.rules._eval_sets import eval_sets, fix_set, said_at

CODE = "RLC0371"
ID = "EVAL-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report sets whose responses are all the same."""
    for stage, at, measured in eval_sets(subject):
        samples, sampling = measured.samples_per_prompt, measured.sampling
        if not isinstance(samples, int) or samples == 1 or not is_greedy(sampling.temperature, sampling.top_k):
            continue
        name = "temperature" if sampling.temperature == 0 else "top_k"
        asked, drawn = (said_at(stage, at, field) for field in ("samples_per_prompt", f"sampling.{name}"))
        better = 0.6 if name == "temperature" else "off"
        yield Diagnostic(
            CODE,
            f"the {samples:,} responses to each prompt of {measured.name} are all the same",
            stage.labels((asked, f"{samples:,} responses"), (drawn, "takes the most likely token")),
            alternatives(fix_set(stage, drawn, better), fix_set(stage, asked, 1)),
            rule=ID,
            paths=(stage.path(asked), stage.path(drawn)),
        )
