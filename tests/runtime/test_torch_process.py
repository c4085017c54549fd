"""How a process that computes is set up."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, torch
from runtime.torch_process import set_up_torch
set_up_torch(cpu_threads=3)
def resident():
    return int(open("/proc/self/statm").read().split()[1])
held = torch.ones(16 << 20)
largest = resident()
del held
print(json.dumps([torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), resident() / largest]))
"""


def test_threads_are_set_operations_are_deterministic_and_freed_memory_stays() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    threads, is_deterministic, kept = json.loads(told.stdout)
    assert (threads, is_deterministic) == (3, True)
    assert kept > 0.9
