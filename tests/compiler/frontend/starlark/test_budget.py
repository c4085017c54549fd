"""Programs that would take all time or all memory: each ends in a diagnostic, and says which limit it met."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.budget import MAX_INTEGER_BITS, Budget
from compiler.frontend.starlark.builtins import universe
from compiler.frontend.starlark.errors import BudgetError
from compiler.frontend.starlark.evaluate import evaluate_expression
from compiler.frontend.starlark.operators import binary
from compiler.frontend.starlark.syntax import parse_expression
from compiler.frontend.starlark.thread import Thread
from compiler.frontend.starlark.values import hash_key
from tests.compiler.frontend.starlark.programs import failure, value

ROOT = Path(__file__).parents[4]


def looping(start: str, statement: str) -> str:
    """Return a program that repeats a statement on x for ever, or nearly."""
    return f"def f():\n    x = {start}\n    for i in range(100000000):\n        {statement}\n    return x\nf()\n"


def doubling(start: str, statement: str, use: str) -> str:
    """Return a program that repeats a statement on x forty times, and then uses what came of it."""
    return (
        f"def f():\n    x, y = {start}, {start}\n    for _ in range(40):\n        {statement}\n    return {use}\nf()\n"
    )


def comparing(expression: str) -> str:
    """Return a program that compares two equal values for ever, or nearly."""
    return f"def f():\n    x, y = {expression}, {expression}\n    for i in range(1000000):\n        x == y\nf()\n"


STEPS = {
    "a loop": looping("0", "x += 1"),
    "a comprehension of a million elements": "x = [i for i in range(1000000)]\n",
    "a comprehension in another": "x = [[j for j in range(1000)] for i in range(1000)]\n",
    "the text of a list that holds itself often": doubling("[1]", "x = [x, x]", "str(x)"),
    "a comparison of two such lists": doubling("[1]", "x, y = [x, x], [y, y]", "x == y"),
    "an order of two such lists": doubling("[1]", "x, y = [x, x], [y, y]", "sorted([x, y])"),
    "such a tuple as a key": doubling("(1,)", "x = (x, x)", "{x: 1}"),
    "a failure with such a list": doubling("[1]", "x = [x, x]", "fail(x)"),
    "sorting with a key": "x = sorted(range(200000), key = lambda i: -i)\n",
    "stripping many characters": looping('"a" * 100000', 'x.strip("bcdefghij" * 1000 + "a")'),
    "a text of many characters as a key": looping('"a" * 5000', "{x: 1}"),
    "bytes as a key": looping('b"a" * 5000', "set([x])"),
    "such a text in a tuple": looping('"a" * 5000', "{(x, 1): 1}"),
    "taking the first of a dict": looping("{j: j for j in range(20000)}", "x[i] = x.popitem()"),
    "going through a dict that was full": (
        "def f():\n    x = {i: i for i in range(20000)}\n    for i in range(19999):\n        x.pop(i)\n"
        "    for i in range(1000000):\n        for k in x:\n            pass\nf()\n"
    ),
    "tuples as keys": looping("{}", "x[(i, 0.5, True)] = i"),
    "lists in lists in lists": looping("[]", "x = [x]"),
    "a difference of sets": looping("set([(j, 0.5) for j in range(1000)])", "x.difference(x)"),
    "looking through a list": looping("list(range(50000))", "-1 in x"),
    "comparing long strings": comparing('"a" * 1000000'),
    "hashing a long string": looping('"a" * 1000000', "hash(x)"),
    "searching a long string": looping('"a" * 1000000', "('a' * 1000 + 'b') in x"),
    "multiplying the largest integers": looping("1 << 500", "y = x * x * x * x * x * x * x * x"),
    "writing the largest integers": looping("(1 << 500) * (1 << 500) * (1 << 500)", "str(x * x * x)"),
    "reading the largest integers": looping('"9" * 2400', "int(x)"),
    "comparing sets": comparing("set(range(10000))"),
    "splitting": looping('"a," * 1000', 'x.split(",")'),
    "a union of sets": looping("set(range(1000))", "x = x | set(range(i, i + 1000))"),
    "taking from the front of a list": looping("[0] * 1000000", "x.pop(0)"),
    "adding to the front of a list": looping("[0] * 1000000", "x.insert(0, 1)"),
}
MEMORY = {
    "one long text split": 'x = ("a," * 1000000).split(",")\n',
    "a string repeated": 'x = "a" * 1000000000\n',
    "bytes repeated": 'x = 1000000000 * b"a"\n',
    "a list repeated": "x = [0] * 1000000000\n",
    "a tuple repeated": "x = (0,) * 1000000000\n",
    "a string doubled": doubling('"ab"', "x = x + x", "x"),
    "a list doubled in place": doubling("[1]", "x += x", "x"),
    "a join": 'x = ",".join(["a" * 100000] * 100000)\n',
    "a replacement of nothing": 'x = ("a" * 100000).replace("", "b" * 100000)\n',
    "a replacement": 'x = ("a" * 100000).replace("a", "b" * 100000)\n',
    "percent": 'x = ("%s" * 10000) % tuple(["a" * 10000] * 10000)\n',
    "format": 'x = ("{0}" * 10000).format("a" * 100000)\n',
    "the list of a range": "x = list(range(1000000000000))\n",
    "unpacking a range": "a, b = range(1000000000)\n",
    "the numbers of a range": "x = enumerate(range(100000000))\n",
    "a range sorted": "x = sorted(range(1000000000000000000))\n",
    "a string that grows": looping('""', 'x += "x" * 1000'),
    "printing": looping('"a" * 1000000', "print(x, x)"),
}
INTEGER = {
    "24 squarings": "def f():\n    x = 2\n    for _ in range(24):\n        x = x * x\n    return x\nf()\n",
    "doublings": looping("1", "x = x + x"),
    "digits": 'x = int("9" * 100000)\n',
    "shifts": looping("1", "x = x << 511"),
}
DEPTH = {
    "lists in lists": looping("[]", "x = [x]").replace("100000000", "5000").replace("return x", "return str(x)"),
    "a comparison": doubling("[]", "x, y = [x], [y]", "x == y").replace("range(40)", "range(5000)"),
    "calls": "".join(f"def f{i}():\n    return f{i + 1}()\n" for i in range(200)) + "def f200():\n    return 1\nf0()\n",
}


def cases(code: str, programs: dict[str, str]) -> list[pytest.ParameterSet]:
    return [pytest.param(code, program, id=name) for name, program in programs.items()]


@pytest.mark.parametrize(
    ("code", "program"),
    [*cases("RLC0140", STEPS), *cases("RLC0141", MEMORY), *cases("RLC0143", INTEGER), *cases("RLC0142", DEPTH)],
)
def test_a_program_without_bound_ends_in_a_diagnostic(code: str, program: str) -> None:
    assert failure(program).code == code


def test_no_such_program_takes_more_than_half_a_gigabyte() -> None:
    """Each runs where the system gives no more: a failed allocation would end as no diagnostic."""
    limited = (
        "import resource, sys\n"
        "from tests.compiler.frontend.starlark import test_budget as t\n"
        "resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))\n"
        "print(*sorted({t.failure(p).code for p in {**t.MEMORY, **t.INTEGER, **t.DEPTH}.values()}))\n"
    )
    done = subprocess.run([sys.executable, "-c", limited], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["RLC0141", "RLC0142", "RLC0143"]), done.stderr


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("len(range(1000000000000000000))", "1000000000000000000"),
        ("999999999999999999 in range(1000000000000000000)", "True"),
        ("range(1000000000000000000)[-1]", "999999999999999999"),
        ("range(1000000000000000000)[5::7][1]", "12"),
        ("bool(range(1000000000000000000))", "True"),
        ("len([0] * 100000)", "100000"),
        ("len('a' * 1000000)", "1000000"),
        ("len([x for x in range(50000)])", "50000"),
    ],
)
def test_what_is_large_but_cheap_is_no_matter(expression: str, result: str) -> None:
    assert value(expression) == result


def test_the_largest_integer_has_the_bits_that_the_limit_says() -> None:
    half = 1 << (MAX_INTEGER_BITS // 2)
    assert binary("*", half, half // 2, Budget()) == half * half // 2
    with pytest.raises(BudgetError) as caught:
        binary("*", half, half, Budget())
    assert caught.value.code == "RLC0143"


def test_large_integers_as_keys_do_not_share_one_hash() -> None:
    """Python's hash of an integer is its remainder by 2^61 - 1; a table of one hash takes a time that is quadratic."""
    multiples = [i * (2**61 - 1) for i in range(1, 1001)]
    assert len({hash(number) for number in multiples}) == 1
    for keys in (multiples, [float(number) for number in multiples], [(number, 1) for number in multiples]):
        assert len({hash(hash_key(key)) for key in keys}) > 990


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("{1 << 70: 1}[1 << 70]", "1"),
        ("{1 << 70: 1}", "{1180591620717411303424: 1}"),
        ("{float(1 << 70): 1}[1 << 70]", "1"),
        ("{-(1 << 31): 1}[-2147483648.0]", "1"),
        ("{2147483648.5: 1}.get(2147483648)", "None"),
        ("{float('inf'): 1}[float('+inf')]", "1"),
        ("(1 << 40, 2.0) in {(float(1 << 40), 2): 1}", "True"),
        ("'1' in {1 << 70: 1}", "False"),
    ],
)
def test_a_large_integer_is_the_key_that_it_is(expression: str, result: str) -> None:
    assert value(expression) == result


def test_a_smaller_budget_ends_sooner() -> None:
    with pytest.raises(BudgetError) as caught:
        Budget(steps=10).step(11)
    assert caught.value.code == "RLC0140"
    with pytest.raises(BudgetError) as caught:
        Budget(allocated=1000).allocate(1001)
    assert caught.value.code == "RLC0141"


def test_what_was_spent_in_one_run_is_not_missing_in_the_next() -> None:
    program = "x = [i for i in range(50000)]\n"
    assert [value("len(x)", program) for _ in range(2)] == ["50000", "50000"]


@pytest.mark.parametrize("literal", ["[1, 2]", "(1, 2)", '{"a": 1}'])
def test_a_literal_that_exceeds_the_budget_ends_in_a_diagnostic_at_its_place(literal: str) -> None:
    source = SourceFile("test.star", f"len({literal})")
    tree = parse_expression(source, 0, len(source.text), None)
    with pytest.raises(SpecError) as caught:
        evaluate_expression(tree, source, universe(), Thread(Budget(allocated=70)))
    (found,) = caught.value.diagnostics
    assert (found.code, found.labels[0].span.text) == ("RLC0141", literal)
