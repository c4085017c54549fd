"""Experiments as lowering leaves them, before any pass, and small specs that differ in what they leave open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st

from compiler.diagnostics.reporter import Reporter
from compiler.frontend.loader import load
from compiler.frontend.session import Session
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.subject import Subject
from compiler.lowering.lower import lower
from compiler.passes.pipeline import PIPELINE
from rlc.catalogue import scan
from tests.support.good_spec import GRPO, SFT

OPTIONAL = {
    "rollout.max_prompt_tokens": ["8", '"64"', '"auto"'],
    "rollout.max_context_tokens": ["100", '"auto"'],
    "rollout.concurrency": ["1", "7", '"auto"'],
    "rollout.engine.name": ['"native"', '"auto"'],
    "train.steps_per_rollout": ["1", "2", '"auto"'],
    "train.vocab_chunk": ["3", '"auto"'],
    "train.micro_batch": ["4", '"off"'],
    "train.packing.tokens": ["1000", '"off"', '"auto"'],
    "loss.clip_high": ["0.25", '"auto"'],
    "loss.kl.estimator": ['"k3"', '"off"'],
    "optim.total_steps": ["10", "30", '"auto"'],
    "optim.clip_grad_norm": ["2", '"off"'],
    "eval.sets": ['[{ name = "held", path = "h.jsonl" }]'],
    "eval.sampling.temperature": ["0.5", '"auto"'],
    "eval.sampling.top_k": ["3", '"off"', '"auto"'],
    "stages": ['[{ name = "a" }, { name = "b", train.global_batch = 16 }]'],
}
LEFT_OUT = ("rollout.prompts_per_step", "rollout.samples_per_prompt", "train.global_batch", "run.max_steps")


def spec_texts() -> st.SearchStrategy[str]:
    """Specs of both kinds of algorithm with some fields added and some left out; not all have a plan."""
    added = st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in OPTIONAL.items()})
    return st.builds(_text, st.sampled_from([GRPO, SFT]), added, st.sets(st.sampled_from(LEFT_OUT), max_size=2))


def lowered(text: str) -> Subject:
    """Return the experiment of a spec before any pass."""
    with TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.toml"
        spec.write_text(text)
        reporter = Reporter()
        loaded = load(spec, (), Session(scan().stdlib), reporter)
        assert loaded is not None
        return lower(loaded, scan(), reporter).subject


def step_by_step(subject: Subject) -> Iterator[tuple[str, Experiment[Auto], Experiment[Auto]]]:
    """Yield each pass with the experiment before and after it."""
    experiment = subject.experiment
    for step in PIPELINE:
        after = step.run(experiment, subject.origins, subject.catalogue)
        yield step.name, experiment, after
        experiment = after


def _text(base: dict[str, str], added: dict[str, str], left_out: set[str]) -> str:
    return "".join(f"{path} = {value}\n" for path, value in {**base, **added}.items() if path not in left_out)
