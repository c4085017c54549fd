"""Programs that want to pass tests without solving them: the verdict is formed where they never run."""

from __future__ import annotations

import pytest

from runtime.sandbox.box import Limits, Sandbox, UnfitTestsError

LIMITS = Limits(timeout_s=20.0, memory_mib=512, output_kib=64)
ONE = "assert f(2) == 4"
HUMANEVAL = "def check(candidate):\n    assert candidate(2) == 4\n    assert abs(candidate(3) - 9) < 1e-6\ncheck(f)\n"

YES = """
class Yes:
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda *_: True
    __sub__ = __rsub__ = __abs__ = __add__ = __radd__ = __getitem__ = __call__ = __enter__ = lambda self, *_: self
    __hash__ = lambda self: hash(4)
    __bool__ = lambda self: True
    __class__ = int
"""


def passes(program: str, checks: str) -> bool:
    return Sandbox(LIMITS).examine(program, checks).passed


@pytest.mark.parametrize(
    "program",
    [
        f"{YES}\ndef f(x): return Yes()",
        f"{YES}\nf = Yes()",
        "class Yes(int):\n    __eq__ = lambda *_: True\n    __hash__ = int.__hash__\ndef f(x): return Yes(0)",
        "class Yes(list):\n    __eq__ = lambda *_: True\ndef f(x): return Yes()",
        "from unittest.mock import ANY\ndef f(x): return ANY",
        "from unittest.mock import MagicMock as f",
        "def f(x): print('passed'); raise SystemExit(0)",
        "def f(x):\n    import os\n    os._exit(0)",
        "import sys\nsys.exit(0)\ndef f(x): return 0",
        "import os\nfor fd in range(4096):\n    try: os.write(fd, b'passed')\n    except OSError: pass\nos._exit(0)",
        "import os\nfor fd in range(3, 4096):\n"
        "    try: os.write(fd, b'[\"ok\", true, {}]\\n')\n    except OSError: pass",
        "import os\nfor fd in range(4096):\n    try: os.close(fd)\n    except OSError: pass\ndef f(x): return 4",
        "import builtins\nbuiltins.AssertionError = lambda *_: None\nbuiltins.exec = builtins.compile = print\n"
        "def f(x): return 0",
        "import builtins\nbuiltins.abs = builtins.len = builtins.all = lambda *_: 0\ndef f(x): return 0",
        "def abs(x): return 0\ndef check(f): pass\nassert_ = candidate = print\ndef f(x): return 0",
        "import sys\nsys.modules['runtime.sandbox.examiner'] = sys\ndef f(x): return 0",
        "import runtime.sandbox.served as s\ns.encoded = lambda *_: ['object', 10 ** 9]\ndef f(x): return 4",
        "import runtime.sandbox.served as s\ns.encoded = lambda *_: ['callback', 0]\ndef f(x): return 4",
        "import runtime.sandbox.served as s\ns.Served._done = lambda *_: ['call', 0, [], {}]\ndef f(x): return 4",
        "import gc, sys\ndef f(x):\n"
        "    for found in gc.get_objects():\n        if isinstance(found, str) and 'sert' + ' f' in found: return 4\n"
        "    frame = sys._getframe()\n    while frame:\n"
        "        if any('=' '= 4' in str(v) for v in frame.f_locals.values()): return 4\n"
        "        frame = frame.f_back\n"
        "    return 0",
        "def f(x):\n    import glob\n"
        "    return 4 if any('assert' in open(p).read() for p in glob.glob('../**', recursive=True)) else 0",
        "def f(x): raise StopIteration",
        "def f(x): raise AssertionError",
        "def f(x): return None",
        "import os\ndef f(x): os.abort()",
        "def f(x): return 'x' * (1 << 20)",
    ],
)
@pytest.mark.parametrize("checks", [ONE, HUMANEVAL], ids=["assert", "check"])
def test_a_cheat_is_refused(program: str, checks: str) -> None:
    assert not passes(program, checks)


@pytest.mark.parametrize(
    ("program", "checks"),
    [
        ("def set(x): return 1\ndef f(x): return [0]", "assert set(f([1, 2])) == set([1, 2])"),
        ("def all(x): return True\ndef f(x): return 0", "assert all(f(x) == x for x in (1, 2))"),
        ("class math:\n    isclose = staticmethod(lambda *_: 1)\ndef f(): return 0", "assert math.isclose(f(), 0.5)"),
        ("def f(x): raise StopIteration", "assert all(map(lambda x: f(x) == x, (1, 2)))"),
        ("import os\ndef f(x): os._exit(0)", "try:\n    f(1)\nexcept:\n    pass"),
        ("class Yes:\n    __sub__ = lambda *_: 0.0\ndef f(x): return Yes()", "assert abs(f(1) - 3.0) < 1e-6"),
        (
            "class Yes(str):\n    __eq__ = lambda *_: True\ndef f(): return Yes('b')",
            "assert f() in {'a', 'c'} or f() == 'a'",
        ),
        ("class Yes(dict):\n    __eq__ = lambda *_: True\ndef f(): return [Yes()]", "assert f() == [{'a': 1}]"),
    ],
)
def test_a_cheat_against_one_form_of_test_is_refused(program: str, checks: str) -> None:
    assert not passes(program, checks)


NODE = """
class Node:
    def __init__(self, value): self.value, self.next = value, None
def total(node):
    return node.value + total(node.next) if node else 0
def chain(*values):
    first = None
    for value in reversed(values):
        node = Node(value); node.next = first; first = node
    return first
"""


@pytest.mark.parametrize(
    ("program", "checks"),
    [
        ("def f(x): return x * x", ONE),
        ("def f(x): return x * x", HUMANEVAL),
        ("def f(x): return x * 2.0", "import math\nassert math.isclose(f(0.1), 0.2)"),
        ("import math\ndef f(x): return x * 2.0", "assert math.isclose(f(0.1), 0.2)"),
        ("def f(): return {1: (2, {3}), 'a': [None, b'x', 1j, float('inf')]}",
         "assert f() == {1: (2, {3}), 'a': [None, b'x', 1j, float('inf')]} and type(f()[1]) is tuple"),
        ("def f(n): return 7 ** n", "assert f(9000) == 7 ** 9000"),
        ("from fractions import Fraction\ndef f(): return Fraction(1, 3)",
         "from fractions import Fraction as F\nassert f() == F(1, 3)"),
        ("from collections import Counter\ndef f(x): return Counter(x)", "assert f('aab') == {'a': 2, 'b': 1}"),
        ("import datetime\ndef f(): return datetime.date(2024, 2, 29)",
         "from datetime import date\nassert f() == date(2024, 2, 29)"),
        ("def f(x): x.sort(); x.append(9)", "x = [3, 1]\nf(x)\nassert x == [1, 3, 9]"),
        ("def f(x):\n    yield from range(x)", "assert list(f(3)) == [0, 1, 2] and sum(f(3)) == 3"),
        ("def f(g, x): return [g(one) for one in x]",
         "assert f(lambda x: x + 1, [1]) == [2] and f(str, [1]) == ['1']"),
        ("def f(x): return lambda y: x + y", "assert f(1)(2) == 3"),
        ("def f(x):\n    if x < 0: raise ValueError('less')",
         "try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'less'"),
        ("class Bad(KeyError): pass\ndef f(): raise Bad", "try:\n    f()\n    assert False\nexcept Bad:\n    pass"),
        (NODE, "n = Node(1)\nn.next = Node(2)\nassert total(n) == 3 and isinstance(n.next, Node)"),
        (NODE, "n = chain(1, 2)\nassert n.value == 1 and n.next is n.next and n.next == n.next and n != n.next"),
        ("class Solution:\n    def f(self, x): return x + 1", "assert Solution().f(1) == 2"),
        ("def sum(a, b): return a * b", "assert sum(2, 5) == 10"),
        ("LIMIT = 3\ndef f(): return LIMIT", "assert f() == LIMIT == 3"),
        ("def f(x=1, *, y): return x - y", "assert f(y=2) == -1"),
    ],
)  # fmt: skip
def test_what_honest_programs_return_arrives(program: str, checks: str) -> None:
    assert passes(program, checks)
    assert not passes(program, f"{checks}\nassert False")


def test_tests_that_hand_over_an_object_of_their_own_say_so() -> None:
    with pytest.raises(UnfitTestsError, match="hand over an object of class Own, which cannot leave their process"):
        passes("def f(x): return 1", "class Own: pass\nassert f(Own()) == 1")


def test_a_program_cannot_say_that_it_was_not_confined() -> None:
    program = (
        "import os\nfor fd in range(64):\n    try: os.write(fd, b'no Landlock')\n    except OSError: pass\nos._exit(97)"
    )
    assert Sandbox(LIMITS).run(program).code == 97
    assert not passes(program, ONE)
