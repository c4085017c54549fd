"""The plan of the measured step, compiled from step.toml beside this file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from compiler.compile import compile_spec
from compiler.ir.plan import Plan
from rlc.catalogue import scan

SPEC = Path(__file__).with_name("step.toml")
PROMPTS = Path(__file__).with_name("prompts.jsonl")


def compiled_step(overrides: Sequence[str] = ()) -> Plan:
    """Return the plan, with settings changed as by `--set`."""
    compiled = compile_spec(SPEC, scan(), overrides=overrides)
    if compiled.plan is None:
        sys.exit("\n".join(f"{d.code}: {d.message}" for d in compiled.diagnostics))
    return compiled.plan
