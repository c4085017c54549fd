"""Programs of functions for two implementations: calls of every shape, closures, methods in a row, big integers.

`oracle_programs.py` has the expressions, and the list of what the other implementation is known to do differently.
Beyond that list these leave out:

- shifts by 31: it takes 7 << 31 for a number below zero;
- searches for an empty text from beyond the end: it finds one;
- keywords of built-ins: it takes some that the language does not name.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.compiler.frontend.starlark.oracle_programs import Texts, listed, of

NAMES = ["a", "b", "c", "d"]
VALUES = ["0", "1", "-2", "2.5", '"a"', '"ba"', "None", "True", "[1, 2]", "(3,)", "{'k': 1}", "[]"]
BIG = ["1 << 70", "-(1 << 64)", "3 * (1 << 61)", "10000000000000000000000", "-1", "7", "-13", "1", "0", "2147483648"]

values = st.sampled_from(VALUES)
names = st.sampled_from(NAMES)
big = st.sampled_from(BIG)


def _parameters() -> Texts:
    """The parameters of a function: required ones, ones with defaults, `*` or `*rest`, keyword-only ones, `**more`."""

    def made(parts: tuple[int, list[str], str, list[str | None], bool]) -> str:
        required, defaults, star, keyword_only, more = parts
        found = NAMES[:required]
        found += [f"{name} = {value}" for name, value in zip(NAMES[required:], defaults, strict=False)]
        if star == "*rest" or (star and keyword_only):
            found.append(star)
            only = zip(["e", "f"], keyword_only, strict=False)
            found += [name if value is None else f"{name} = {value}" for name, value in only]
        return ", ".join([*found, *(["**more"] if more else [])])

    return st.tuples(
        st.integers(0, 3),
        st.lists(values, max_size=2),
        st.sampled_from(["", "*", "*rest"]),
        st.lists(st.one_of(st.none(), values), max_size=2),
        st.booleans(),
    ).map(made)


def _arguments() -> Texts:
    """The arguments of a call, in the order in which they may stand."""

    def made(parts: tuple[list[str], list[str], str, str]) -> str:
        positional, keywords, star, stars = parts
        named = [f"{name} = {value}" for name, value in zip(keywords, VALUES, strict=False)]
        return ", ".join([*positional, *named, *filter(None, (star, stars))])

    return st.tuples(
        st.lists(values, max_size=3),
        st.lists(st.sampled_from([*NAMES, "e", "f"]), max_size=2, unique=True),
        st.sampled_from([*[""] * 6, "*[]", "*(1, 2)", "*[[3]]", "*{'x': 1}", "*1"]),
        st.sampled_from([*[""] * 6, "**{}", "**{'e': 5}", "**{'g': 6, 'f': 7}", "**{1: 2}", "**[]"]),
    ).map(made)


def _shown(parameters: str) -> str:
    """The list of all that a function was given."""
    parts = [part.split("=")[0].strip().lstrip("*") for part in parameters.split(", ")]
    return "[" + ", ".join(part for part in parts if part.isidentifier()) + "]"


CALLS = st.tuples(_parameters(), st.lists(_arguments(), min_size=1, max_size=2)).map(
    lambda parts: "\n".join(
        [
            f"def f({parts[0]}):",
            f"    return {_shown(parts[0])}",
            "def main():",
            f"    return [{', '.join(f'f({arguments})' for arguments in parts[1])}]",
        ]
    )
)

_numbers = st.one_of(big, st.sampled_from(["x", "y", "x * y", "x - y", "x + 1"]))
_arithmetic = st.one_of(
    of("({}) {} ({})", _numbers, st.sampled_from(["+", "-", "*", "//", "%", "&", "|", "^"]), _numbers),
    of("({}) {} ({})", _numbers, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), _numbers),
    of("({}) {} {}", _numbers, st.sampled_from(["<<", ">>"]), st.sampled_from(["0", "1", "33", "63", "64"])),
    of("int(str({}))", _numbers),
    of("int(str({}), {})", _numbers, st.sampled_from(["0", "10", "36"])),
    of('"%d %x %o" % ({}, {}, {})', _numbers, _numbers, _numbers),
    of("float({})", st.sampled_from(["x", "1 << 70", "1 << 60", "-(1 << 64)", "3"])),
    of("~({})", _numbers),
    of("-({})", _numbers),
    of("abs({})", _numbers),
    of("({}) in [{}]", _numbers, listed(_numbers)),
    of("{{{}: 1, ({}) + 1: 2}}", _numbers, _numbers),
    of("sorted([{}], reverse = {})", listed(_numbers), st.sampled_from(["True", "False"])),
    of("max({}, {})", _numbers, _numbers),
)
BIG_INTEGERS = st.tuples(big, big, st.lists(_arithmetic, min_size=1, max_size=4)).map(
    lambda parts: f"def main():\n    x, y = {parts[0]}, {parts[1]}\n    return [{', '.join(parts[2])}]"
)

_small = st.sampled_from(["0", "1", "2", "-1", "5"])
_list_steps = st.one_of(
    of("x.append({})", values),
    of("x.extend({})", values),
    of("x.insert({}, {})", _small, values),
    of("found.append(x.pop())", st.just("")),
    of("found.append(x.pop({}))", st.sampled_from(["0", "1", "2", "9"])),
    of("x.remove({})", values),
    of("found.append(x.index({}))", values),
    of("x[{}] = {}", _small, values),
    of("x[{}] {} {}", _small, st.sampled_from(["+=", "*=", "-=", "%="]), values),
    of("x += {}", values),
    of("x *= {}", _small),
    of("x = x + {}", values),
    of("x = x[{}:{}]", _small, _small),
    of("x = x[::{}]", st.sampled_from(["1", "2", "-1", "-2"])),
    of("x = [y for y in x if y != {}]", values),
    of(
        "x = sorted(x, key = {}, reverse = {})",
        st.sampled_from(["str", "repr", "type"]),
        st.sampled_from(["True", "False"]),
    ),
    of("found.append({} in x)", values),
    of("found.append(len(x))", st.just("")),
    of("x.clear()", st.just("")),
    of("for y in x:\n        found.append(y)\n        x.append({})", values),
    of("for i, y in enumerate(x):\n        x[i] = y", st.just("")),
)
_keys = st.sampled_from(['"a"', '"b"', "1", "1.0", "True", "(1, 2)", "None", "[]", "2.5"])
_dict_steps = st.one_of(
    of("x[{}] = {}", _keys, values),
    of("x[{}] {} {}", _keys, st.sampled_from(["+=", "|=", "-="]), values),
    of("found.append(x[{}])", _keys),
    of("found.append(x.get({}, {}))", _keys, values),
    of("found.append(x.setdefault({}, {}))", _keys, values),
    of("found.append(x.pop({}, {}))", _keys, values),
    of("found.append(x.pop({}))", _keys),
    of("found.append(x.popitem())", st.just("")),
    of("x.update({{{}: {}}})", _keys, values),
    of("x.update([({}, {})], c = {})", _keys, values, values),
    of("x.update({})", values),
    of("x |= {{{}: {}}}", _keys, values),
    of("x = x | {{{}: {}}}", _keys, values),
    of("x = {{k: v for k, v in x.items() if k != {}}}", _keys),
    of("x = {{k: [v] for k, v in x.items()}}", st.just("")),
    of("x = dict(x, **{{'z': {}}})", values),
    of("found.append({} in x)", _keys),
    of("found.append(x.{}())", st.sampled_from(["keys", "values", "items"])),
    of("for k in x:\n        x[k] = {}", values),
    of("for k in x.keys():\n        x[k] = {}", values),
    of("for k in x:\n        x.pop(k)", st.just("")),
    of("x.clear()", st.just("")),
    of("found.append(sorted([str(k) for k in x]))", st.just("")),
)


def _sequence(start: Texts, steps: Texts) -> Texts:
    """Programs that do one thing after another to a value, and tell all that they found."""
    return st.tuples(start, st.lists(steps, min_size=1, max_size=6)).map(
        lambda parts: "\n".join(
            [
                "def main():",
                f"    x = {parts[0]}",
                "    found = []",
                *(f"    {step}" for step in parts[1]),
                "    return [x, found]",
            ]
        )
    )


LISTS = _sequence(st.sampled_from(["[]", "[3, 1, 2]", "['b', 'a', 1]", "[[1], [1]]", "list(range(4))"]), _list_steps)
DICTS = _sequence(st.sampled_from(["{}", "{'a': 1, 'b': 2}", "{1: [1], (1, 2): 2}", "dict(a = 3)"]), _dict_steps)

_inside = st.one_of(
    st.sampled_from(["x", "n", "kept", "x + 1", "len(kept)", "kept[0]", "str(x)", "(x, n)"]),
    st.sampled_from(["0", "1"]),
)
CLOSURES = st.one_of(
    of(
        "def main():\n    kept = [0]\n    n = 1\n    def step(x = {}, *rest):\n        kept[0] += 1\n"
        "        kept.append({})\n        return {}\n    first = step()\n    n = 2\n    return [first, step({}), kept]",
        st.sampled_from(["n", "1", "[]"]),
        _inside,
        _inside,
        _inside.filter(lambda text: "x" not in text),
    ),
    of(
        "def main():\n    n, kept = 3, [1]\n    made = [lambda y, x = x: [y, {}] for x in range(3)]\n"
        "    return [f(i) for i, f in enumerate(made)]",
        _inside,
    ),
    of(
        "def outer(n):\n    kept = []\n    def middle(x):\n        def inner():\n            kept.append({})\n"
        "            return {}\n        return inner\n    return (middle, kept)\n"
        "def main():\n    make, kept = outer({})\n    return [make(1)(), make('a')(), kept]",
        _inside.filter(lambda text: "[0]" not in text),
        _inside,
        values,
    ),
    of(
        "def main():\n    x, n, kept = 1, 2, [5]\n    return [[(x, y, {}) for x, y in [(1, 2), (3, 4)] if {}], x, "
        "{{x: {} for x in kept for n in range(2)}}]",
        _inside,
        _inside,
        _inside,
    ),
    of(
        "def main():\n    x, n, kept = 1, 2, [5]\n    for i in range({}):\n        if {}:\n            {}\n"
        "        for j in [1, 2]:\n            if j == i:\n                {}\n            x += {}\n"
        "    return [x, n, kept]",
        st.sampled_from(["0", "2", "4", "-1"]),
        st.sampled_from(["i == 1", "x > 3", "not kept", "i % 2"]),
        st.sampled_from(["break", "continue", "return x", "pass", "x *= 2"]),
        st.sampled_from(["break", "continue", "return [j]", "kept.append(i)"]),
        st.sampled_from(["1", "j", "i * j", "n"]),
    ),
    of(
        "def main():\n    a, (b, c) = {}\n    return [a, b, c]",
        st.sampled_from(["(1, (2, 3))", "[1, [2, 3]]", "(1, 2)", "(1, 'ab')", "[1, {2: 3, 4: 5}]", "(1, (2, 3), 4)"]),
    ),
)

_pieces = st.sampled_from(["", "a", "%s", "%d", "%%", "%r", "%x", "%o", "%g", "%e", "%f", "%X", "%", "{}"])
_fields = st.sampled_from(
    ["", "a", "{}", "{0}", "{1}", "{a}", "{b}", "{{", "}}", "{", "}", "{!r}", "{!s}", "{a!r}", "{0!s}", "{2}", "{ }"]
)
_texts = st.sampled_from(["", "a", "ab", "aXb", "a b  c", "banana", "Ab cD", "x\\ny\\n", "a,b,,c", "  pad ", "12"])
_quoted = _texts.map(lambda text: f'"{text}"')
_sought = _quoted.filter(lambda text: text != '""')
FORMATS = st.one_of(
    st.tuples(st.lists(_pieces, max_size=4).map("".join), listed(values, 3)).map(
        lambda parts: f'def main():\n    return "{parts[0]}" % ({parts[1]}{"," if parts[1] else ""})'
    ),
    st.tuples(st.lists(_pieces, max_size=2).map("".join), values).map(
        lambda parts: f'def main():\n    return "{parts[0]}" % {parts[1]}'
    ),
    st.tuples(st.lists(_fields, max_size=4).map("".join), listed(values, 2), listed(values, 1)).map(
        lambda parts: (
            f'def main():\n    return "{parts[0]}".format({parts[1]}{", " if parts[1] else ""}'
            f"{'a = ' + parts[2] if parts[2] else ''})"
        )
    ),
    of(
        "def main():\n    x = {}\n    return [x.{}({}, {}), x.{}({}, {}, {}), x[{}:{}:{}]]",
        _quoted,
        st.sampled_from(["find", "rfind", "count"]),
        _sought,
        _small,
        st.sampled_from(["find", "rfind", "count"]),
        _sought,
        _small,
        _small,
        _small,
        _small,
        st.sampled_from(["1", "2", "-1", "-3"]),
    ),
    of(
        "def main():\n    x = {}\n    return [x.{}({}), x.{}(), x.splitlines({}), x.replace({}, {}), {}.join([x, x])]",
        _quoted,
        st.sampled_from(
            ["partition", "rpartition", "split", "rsplit", "removeprefix", "removesuffix", "strip", "lstrip"]
        ),
        _sought,
        st.sampled_from(["title", "capitalize", "upper", "lower", "strip", "rstrip", "split", "isalnum", "istitle"]),
        st.sampled_from(["True", "False", ""]),
        _quoted,
        _quoted,
        _quoted,
    ),
)

PROGRAMS_OF_FUNCTIONS = st.one_of(CALLS, BIG_INTEGERS, LISTS, DICTS, CLOSURES, FORMATS)
