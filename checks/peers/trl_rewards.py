"""Rewards of TRL beside ours: verdicts on boxed answers, and the fine of responses close to the limit."""

from __future__ import annotations

import torch
from trl.rewards import accuracy_reward, get_soft_overlong_punishment

from checks.peers.answers import sample
from checks.peers.ledger import Ledger
from compiler.ir.reward_settings import MathReward, Overlong
from stdlib.rewards import math
from stdlib.rewards._shaping import overlong_fine

_PAIRS = (
    ("42", "42"),
    ("42.0", "42"),
    ("43", "42"),
    ("\\frac{1}{2}", "0.5"),
    ("1/3", "\\frac{1}{3}"),
    ("x+1", "1+x"),
    ("x+1", "x-1"),
    ("\\sqrt{4}", "2"),
    ("(1,2)", "(1,2)"),
    ("(2,1)", "(1,2)"),
    ("\\frac{\\pi}{2}", "\\pi/2"),
    ("2^{10}", "1024"),
)


def compare(ledger: Ledger, seed: int) -> None:
    """Hold verdicts and fines against each other."""
    for answer, label in _PAIRS:
        text, gold = f"Thus the answer is $\\boxed{{{answer}}}$.", f"$\\boxed{{{label}}}$"
        theirs = accuracy_reward([[{"role": "assistant", "content": text}]], [gold])[0]
        ours = math.reward(sample(text, gold), MathReward())
        ledger.enter("trl accuracy_reward, verdicts", float(ours != theirs))
    generator = torch.Generator().manual_seed(seed)
    buffer = int(torch.randint(1, 20, (), generator=generator))
    limit = buffer + int(torch.randint(0, 50, (), generator=generator))
    spec = Overlong(buffer_tokens=buffer, penalty=1.0, max_tokens=limit)
    lengths = list(range(limit + 5))
    theirs = get_soft_overlong_punishment(limit, buffer)([[0] * length for length in lengths])
    ours = [overlong_fine(length, spec) for length in lengths]
    ledger.compare("trl get_soft_overlong_punishment", torch.tensor(ours), torch.tensor(theirs))
