"""Programs, run: values, failures with their places and calls, budgets, freezing, loading, origins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.builtins import universe
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.evaluate import Module, evaluate_expression, run_file
from compiler.frontend.starlark.formatting import to_repr
from compiler.frontend.starlark.origins import Written
from compiler.frontend.starlark.syntax import parse_expression, parse_file
from compiler.frontend.starlark.thread import Thread
from compiler.frontend.starlark.values import Builtin, StarlarkDict

Load = Callable[[str, Span], Module]


def run(text: str, load: Load | None = None, **more: object) -> Module:
    source = SourceFile("a.star", text)
    names = {**universe(), **more}
    return run_file(source, parse_file(source, None), universe=names, load=load, thread=Thread(Budget()))


def value_of(text: str, name: str = "x") -> str:
    return to_repr(run(text).globals[name], Budget())


def failure_of(text: str, load: Load | None = None) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        run(text, load)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x = 1 + 2 * 3 - 7 // 2 % 2", "6"),
        ("x = [not 1, 1 and 2, 0 or 3, -4, ~5, +6]", "[False, 2, 3, -4, -6, 6]"),
        ("x = [1 < 2, 2 <= 1, 1 == 1.0, True == 1]", "[True, False, True, False]"),
        ("x = ['a' in 'ba', 1 not in [1]]", "[True, False]"),
        ("x = 'a' if [] else {'b': 1}['b']", "1"),
        ("x = [1, 2, 3, 4][1:-1] + [5, 6][::-1]", "[2, 3, 6, 5]"),
        ("x = 7 % -3, -7 // 2, 7.5 // 2", "(-2, -4, 3.0)"),
        ("(a, [b, c]), x = (1, (2, 3)), 4", "4"),
        ("a = [1, 2]\na[0], a[1] = a[1], a[0]\nx = a", "[2, 1]"),
        ("def f(a, b = 2, *c, d, e = 5, **g): return a, b, c, d, e, g\nx = f(1, d = 4)", "(1, 2, (), 4, 5, {})"),
        ("def f(a, b = 2, *c, d, e = 5, **g): return a, b, c, d, e, g\nx = f(1, d = 4, *[2, 3], **{'h': 6})",
         '(1, 2, (3,), 4, 5, {"h": 6})'),
        ("def f(a, *, b): return a, b\nx = f(b = 1, a = 2)", "(2, 1)"),
        ("def f(a = []):\n  a.append(1)\n  return a\nf()\nx = len(f())", "2"),
        ("def f():\n  pass\nx = f()", "None"),
        ("def f(n):\n  for i in range(10):\n    if i == n: return i\n    if i > 4: break\n  return 9\nx = [f(3), f(7)]",
         "[3, 9]"),
        ("def f():\n  s = 0\n  for i in range(5):\n    for j in range(5):\n      if j == i: continue\n"
         "      if j > 3: break\n      s += 1\n  return s\nx = f()", "16"),
        ("def f():\n  n = [0]\n  def g():\n    n[0] += 1\n    return n[0]\n  g()\n  return g()\nx = f()", "2"),
        ("def f():\n  g = lambda: y\n  y = 3\n  return g()\nx = f()", "3"),
        ("def f():\n  return [g() for g in [lambda: i for i in range(3)]]\nx = f()", "[2, 2, 2]"),
        ("x = [g(2) for g in [lambda y, k = k: y + k for k in range(3)]]", "[2, 3, 4]"),
        ("x = [(i, j) for i in range(3) if i for j in range(i)]", "[(1, 0), (2, 0), (2, 1)]"),
        ("x = {k: v for k, v in [('a', 1), ('b', 2), ('a', 3)]}", '{"a": 3, "b": 2}'),
        ("y = [[1, 2]]\nx = [y for y in y for y in y]", "[1, 2]"),
        ("x = sorted([3, 1, 2], key = lambda v: -v)", "[3, 2, 1]"),
        ("def f():\n  a = [1]\n  b = a\n  b += [2]\n  a = a + [3]\n  return a, b\nx = f()", "([1, 2, 3], [1, 2])"),
        ("def f():\n  d = {}\n  for d['k'] in [1, 2]: pass\n  return d\nx = f()", '{"k": 2}'),
        ("c = []\ndef f(v):\n  c.append(v)\n  return v\n[0, 0][f(0)]\nf([0])[f(0)] = f(1)\nx = c", "[0, 1, [1], 0]"),
        ("c = []\ndef f(v):\n  c.append(v)\n  return v\na = [1, 2]\na[f(1)] += f(5)\nx = c, a", "([1, 5], [1, 7])"),
        ("x = 1; y = 2", "1"),
    ],
)  # fmt: skip
def test_a_program_gives_the_value(text: str, value: str) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("x = 1 + 'a'", "unknown binary op: int + string", "1 + 'a'"),
        ("x = {'aa': 1}['ab']", 'did you mean "aa"', "{'aa': 1}['ab']"),
        ("x = 'a'.uper()", "did you mean .upper", "uper"),
        ("x = 5()", "int is not callable", "5()"),
        ("a, b = [1]", "too few values to unpack: got 1, want 2", "a, b"),
        ("a, b = 1", "is not iterable", "a, b"),
        ("x = [y for y in 5]", "is not iterable", "5"),
        ("x = {[]: 1}", "unhashable type: list", "[]"),
        ("x = {'a': 1, 'a': 2}", 'duplicate key: "a"', "'a'"),
        ("x = y\ny = 1", "global variable y referenced before assignment", "y"),
        ("def f():\n  return z\n  z = 1\nx = f()", "local variable z referenced before assignment", "z"),
        ("def f():\n  g = lambda: z\n  g()\n  z = 1\nx = f()", "local variable z referenced before assignment", "z"),
        ("(1, 2)[0] = 3", "does not support item assignment", "(1, 2)[0]"),
        ("x = {}\nx.y = 1", "cannot set the field y of a dict", "x.y"),
        ("def f(a): pass\nf()", "function f missing 1 argument (a)", "f()"),
        ("def f(a): pass\nf(1, 2)", "accepts at most 1 positional argument (2 given)", "f(1, 2)"),
        ("def f(): pass\nf(1)", "accepts no positional arguments (1 given)", "f(1)"),
        ("def f(alpha): pass\nf(alpa = 1)", 'unexpected keyword argument "alpa" (did you mean alpha?)', "f(alpa = 1)"),
        ("def f(a): pass\nf(1, a = 2)", 'multiple values for parameter "a"', "f(1, a = 2)"),
        ("def f(**k): pass\nf(a = 1, **{'a': 2})", 'multiple values for keyword argument "a"', "**{'a': 2}"),
        ("def f(**k): pass\nf(**{1: 2})", "keywords must be strings, not 1", "**{1: 2}"),
        ("def f(**k): pass\nf(**1)", "must be a dict, not int", "**1"),
        ("def f(*a): pass\nf(*1)", "is not iterable", "*1"),
        ("def f(a):\n  for x in a: a.append(x)\nf([1])", "during iteration", "a.append(x)"),
        ("def f(a):\n  for x in a: a[x] = 1\nf({1: 2})", "during iteration", "a[x]"),
        ("a = [1]\nx = [a.append(y) for y in a]", "during iteration", "a.append(y)"),
        ("fail('stop', 1)", "stop 1", "fail('stop', 1)"),
        ('load("f", "a")', "nothing can be loaded here", 'load("f", "a")'),
    ],
)  # fmt: skip
def test_a_program_fails_where_it_does_what_it_may_not(text: str, message: str, at: str) -> None:
    found = failure_of(text)
    assert (found.code, found.labels[0].span.text) == ("RLC0150", at)
    assert message in found.message


def test_a_failure_shows_the_calls_that_led_to_it() -> None:
    found = failure_of("def f(a):\n  return a + 'b'\ndef g():\n  return [f(v) for v in [1]]\nx = g()\n")
    assert [(label.span.text, label.is_primary) for label in found.labels] == [
        ("a + 'b'", True),
        ("f(v)", False),
        ("g()", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "def f(n): return f(n - 1)\nf(3)",
        "def f(n): return g(n)\ndef g(n): return f(n)\nf(3)",
        "f = lambda n: n(n)\nf(f)",
        "def f(n): return sorted([2, 1], key = f)\nf(3)",
        "def make():\n  def inner(g): return g(g)\n  return inner\nmake()(make())",
    ],
)
def test_recursion_is_an_error_however_it_comes_about(text: str) -> None:
    assert "called recursively" in failure_of(text).message


def test_two_functions_of_one_text_may_follow_each_other() -> None:
    assert value_of("def f(n): return n\nx = f(f(f(1)))") == "1"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def f():\n  for i in range(100000000): pass\nf()", "RLC0140"),
        ("x = [i for i in range(10000) for j in range(10000)]", "RLC0140"),
        ("def f():\n  for i in range(500000):\n" + "    i\n" * 100 + "f()", "RLC0140"),
        ("def g():\n" + "  1\n" * 1000 + "x = [g() for i in range(500000)]", "RLC0140"),
        ("x = {i: i for i in range(10000000)}", "RLC0140"),
        ("".join(f"def f{i}(): return f{i + 1}()\n" for i in range(80)) + "def f80(): pass\nf0()", "RLC0142"),
        (
            "def f0(): return 1\n"
            + "".join(f"def f{i}(): return {'[' * 100}f{i - 1}(){']' * 100}\n" for i in range(1, 55))
            + "f54()",
            "RLC0142",
        ),
        ("a = 2\n" + "".join(f"{'b' * i}a = {'b' * (i - 1)}a * {'b' * (i - 1)}a\n" for i in range(1, 25)), "RLC0143"),
    ],
    ids=["loop", "nested", "body", "calls", "dict", "depth", "stack", "squares"],
)
def test_a_program_that_asks_for_too_much_ends_in_a_diagnostic(text: str, code: str) -> None:
    assert failure_of(text).code == code


def test_what_a_file_exports_is_frozen_and_its_private_names_stay_inside() -> None:
    module = run("_a = [1]\nb = [_a]\ndef c(v = []): return v, _a\n")
    assert list(module.globals) == ["b", "c"]
    found = failure_of('load("m", "b")\nb[0].append(2)', lambda _, __: module)
    assert "frozen" in found.message
    for part in "[0]", "[1]":
        assert "frozen" in failure_of(f'load("m", "c")\nc(){part}.append(2)', lambda _, __: module).message


def test_what_a_frozen_function_captured_is_frozen_too() -> None:
    module = run("def make():\n  a = []\n  return lambda: a\nf = make()\n")
    assert "frozen" in failure_of('load("m", "f")\nf().append(1)', lambda _, __: module).message


def test_a_load_binds_names_of_another_file_and_does_not_export_them() -> None:
    asked: list[tuple[str, str]] = []

    def load(label: str, at: Span) -> Module:
        asked.append((label, at.text))
        return run("a = 1\nb = 2\n")

    module = run('load("m.star", "a", c = "b")\nx = a + c\n', load)
    assert (module.globals, asked) == ({"x": 3}, [("m.star", '"m.star"')])


def test_a_name_that_a_file_does_not_export_is_told_with_the_nearest() -> None:
    found = failure_of('load("m", "alpa")\n', lambda _, __: run("alpha = 1\n"))
    assert (found.code, found.labels[0].span.text, found.help[0].text) == ("RLC0137", '"alpa"', "did you mean alpha?")


def test_a_function_that_was_loaded_sees_the_names_of_its_own_file() -> None:
    module = run("def f(): return len('abc'), y\ny = 7\n")
    assert run('load("m", "f")\nlen = 1\ny = 2\nx = f()\n', lambda _, __: module).globals["x"] == (3, 7)


def origins_of(text: str, name: str = "x") -> dict[str, tuple[str, str, list[str]]]:
    """For each entry of a dict: the texts of its key and its value, and the calls in which it was written."""
    made = run(text).globals[name]
    assert isinstance(made, StarlarkDict)
    return {key: (w.key.text, w.value.text, calls_of(w)) for key, w in (made.origins or {}).items()}


def calls_of(written: Written) -> list[str]:
    calls: list[str] = []
    frame = written.frame
    while frame is not None:
        calls.append(f"{frame.function_name}: {frame.call_span.text}")
        frame = frame.parent
    return calls


def test_an_entry_of_a_dict_knows_where_it_was_written_and_in_which_calls() -> None:
    text = "def f(v): return {'a': v * 2}\ndef g(): return f(3)\nx = g()\n"
    assert origins_of(text) == {"a": ("'a'", "v * 2", ["f: f(3)", "g: g()"])}


def test_assignments_and_comprehensions_are_origins_too() -> None:
    assert origins_of("x = {}\nx['a'] = 1 + 1\n") == {"a": ("'a'", "1 + 1", [])}
    assert origins_of("x = {k: 5 for k in ['a']}\n") == {"a": ("k", "5", [])}


def test_keywords_keep_their_origin_through_every_kind_of_forwarding() -> None:
    text = "def f(**changes): return dict(**changes)\ndef g(**more): return f(b = 2, **more)\nx = g(a = 1)\n"
    assert origins_of(text) == {
        "b": ("b", "2", ["g: g(a = 1)"]),
        "a": ("a", "1", []),
    }


def test_a_builtin_knows_the_places_of_its_call() -> None:
    seen: list[object] = []

    def probe(thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        site = thread.site
        assert site is not None
        places = site.keyword("k")
        seen.append((site.span.text, site.argument(0).text, site.argument(1).text, places and places[1].text))
        seen.append([thread.frame and thread.frame.call_span.text, site.keyword("z")])
        return None

    run("def f(): probe(1 + 1, k = 'v', *[2])\nf()\n", probe=Builtin("probe", probe))
    assert seen == [("probe(1 + 1, k = 'v', *[2])", "1 + 1", "*[2]", "'v'"), ["f()", None]]


def test_a_builtin_that_calls_back_stays_at_its_own_call() -> None:
    def twice(thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        first = thread.call(args[0], [1], {})
        assert thread.site is not None
        return (first, thread.site.span.text)

    module = run("x = twice(lambda v: len([v]))\n", twice=Builtin("twice", twice))
    assert module.globals["x"] == (1, "twice(lambda v: len([v]))")


def test_a_failure_of_a_builtin_has_the_place_of_its_call() -> None:
    def refuse(thread: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        raise StarlarkError("no")

    with pytest.raises(SpecError) as caught:
        run("x = refuse(1)\n", refuse=Builtin("refuse", refuse))
    assert caught.value.diagnostics[0].labels[0].span.text == "refuse(1)"


def test_an_expression_sees_the_names_that_it_is_given() -> None:
    text = "a * 2 + len([b for b in c])"
    source = SourceFile("a.toml", text)
    tree = parse_expression(source, 0, len(text), None)
    names = {**universe(), "a": 3, "c": (1, 2)}
    assert evaluate_expression(tree, source, names, Thread(Budget())) == 8
    with pytest.raises(SpecError, match="undefined name `c`"):
        evaluate_expression(tree, source, {**universe(), "a": 3}, Thread(Budget()))
