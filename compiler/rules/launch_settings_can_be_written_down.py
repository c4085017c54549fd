"""What [launch] holds can be written into a script, a directive or a manifest.

What: paths are absolute, and without the colons and commas at which mounts are told apart; names of variables, of
Slurm's queues and accounts and of what Kubernetes has are made of the letters that these allow; a job is told that its
time is up before it is.
Why it matters: a directive of Slurm is a comment to the shell, where nothing can be quoted, and a mount is a text with
colons: what does not fit would end a line, or mean another folder.
Example: `[launch.slurm] partition = "batch --exclusive"`.
Fix: the message says what the field takes.
Source: sbatch(1); Kubernetes, Object Names and IDs; docker run --mount.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.cluster_launch import launch_faults
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0800"
ID = ""


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report what cannot be written down."""
    if isinstance(subject.experiment.launch, Off):
        return
    for fault in launch_faults(subject.experiment.launch):
        labels = subject.labels((fault.path, "cannot be written down"))
        yield Diagnostic(CODE, fault.message, labels, (Help(f"write {fault.wanted}"),), paths=(fault.path,))
