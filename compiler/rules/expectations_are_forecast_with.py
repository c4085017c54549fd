"""What is expected of responses is forecast with.

What: `rollout.expected_response_tokens`, `expected_p90_response_tokens`, `data.expected_sample_tokens`,
`reward.expected_call_s`, `environment.expected_turns` and `expected_turn_s` are set where a step's time is forecast: on
targets with GPUs.
Why it matters: elsewhere nothing reads them, and who writes them believes that something does.
Example: `target = "cpu"` with `expected_response_tokens = 800`.
Fix: delete them, or write `"off"`.
Source: CFG-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.data import Samples
from compiler.ir.machine import GPU_TARGETS
from compiler.ir.openness import OFF, Off
from compiler.ir.paths import read
from compiler.ir.rollout import Rollout
from compiler.ir.subject import Subject

CODE = "RLC0411"
ID = "CFG-02"
_RESPONSES = ("rollout.expected_response_tokens", "rollout.expected_p90_response_tokens")
_SAMPLES = ("data.expected_sample_tokens",)
_REWARD = ("reward.expected_call_s",)
_ENVIRONMENT = ("environment.expected_turns", "environment.expected_turn_s")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report expectations on a target without GPUs."""
    target = subject.experiment.cluster.target
    if target in GPU_TARGETS:
        return
    for stage in subject.stages():
        expected = _RESPONSES if isinstance(stage.stage.rollout, Rollout) else ()
        expected = _SAMPLES if isinstance(stage.stage.data, Samples) else expected
        expected += () if isinstance(stage.stage.reward, Off) else _REWARD
        expected += () if isinstance(stage.stage.environment, Off) else _ENVIRONMENT
        for path in expected:
            if not stage.written(path):
                continue
            if not isinstance(read(stage.stage, path), Off):
                yield Diagnostic(
                    CODE,
                    f"{path} is set, and no time is forecast on target {target}",
                    stage.labels((path, "has no effect")),
                    (stage.fix(path, OFF),),
                    rule=ID,
                    paths=(stage.path(path),),
                )
