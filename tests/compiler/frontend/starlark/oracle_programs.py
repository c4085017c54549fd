"""Programs for two implementations of Starlark: expressions over all values, and statements around them.

Most expressions are of the types that their operators want, so that they have a value; some are not, so that both
implementations must refuse.  What the other implementation is known to do differently is left out here, each with the
reason:

- sets, bytes and `%c`: it has none of them;
- `split("")`: it takes an empty separator, which the language refuses;
- the order of two tuples whose elements have none, but are equal: it refuses, here they are equal;
- text beyond ASCII: it writes and classifies it differently;
- what stands left of `in range(...)` is a number: it says False of anything else, where the language says it fails;
- `pop` below zero: it refuses, as the letter of the language; Go and Java count from the end, and so does this one;
- None as a bound of a slice of a string: it refuses what the language permits;
- repetition beyond 32 bits: it refuses even where nothing comes of it;
- `None | x`, which is a type there, and `%d` of a float beyond its integers;
- `int("0x1f")` without a base: it takes the prefix, where the language wants decimal digits;
- remainders of floats that are no short binary fractions: it rounds on the way, and gives zero another sign;
- shifts of 512 and more, and integers beyond the budget: it computes them;
- the text and the type of `elems()`: it says `iterator`;
- recursion, which it permits, and loops without end, which it does not stop: no function here calls itself.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]

WORDS = [
    "",
    "a",
    "b",
    "ab",
    "ba",
    "abc",
    "banana",
    "a b",
    " a  b ",
    "A",
    "Ab cD",
    "1",
    "-12",
    "0x1f",
    "x\\ny",
    "a,b,,c",
    "%",
]
INTS = ["0", "1", "2", "3", "-1", "-2", "7", "10", "-13", "255", "65536", "2147483648", "-9223372036854775808"]
FLOATS = ["0.0", "1.0", "-1.0", "0.5", "2.5", "-3.75", "1e3", "1e6", "1e7", "1.5e-7", "123456.789", "1e100", "-0.0"]

ints = st.sampled_from(INTS)
small_ints = st.sampled_from([number for number in INTS if abs(int(number)) < 2**31])
floats = st.sampled_from(FLOATS)
texts = st.sampled_from([f'"{word}"' for word in WORDS])
separators = st.sampled_from([f'"{word}"' for word in WORDS if word])
bools = st.sampled_from(["True", "False"])
indexes = st.sampled_from(["0", "1", "2", "-1", "-2", "3", "-4", "100"])
counts = st.sampled_from(["-1", "0", "1", "2", "3"])
bounds = st.sampled_from(["", "0", "1", "2", "-1", "-2", "5", "-7"])
steps = st.sampled_from(["", "1", "2", "-1", "-2", "3"])

NUMBER_OPS = ["+", "-", "*", "//", "/"]
numerals = st.one_of(ints, floats)
INT_OPS = ["|", "&", "^"]
ORDER = ["==", "!=", "<", "<=", ">", ">="]


def of(form: str, *parts: Texts) -> Texts:
    """Return texts of a form whose `{}` are filled by the parts."""
    return st.tuples(*parts).map(lambda filled: form.format(*filled))


def listed(items: Texts, most: int = 4) -> Texts:
    """Return the inside of a list."""
    return st.lists(items, max_size=most).map(", ".join)


def numbers(inner: Texts) -> Texts:
    """Return expressions whose value is a number, of a number inside."""
    return st.one_of(
        of("({} {} {})", inner, st.sampled_from(NUMBER_OPS), inner),
        of("({} % {})", small_ints, st.sampled_from(["0.5", "2.5", "-3.75", "0.0"])),
        of("(-{})", inner),
        of("abs({})", inner),
        of("max({}, {})", inner, inner),
        of("min([{}, {}])", inner, inner),
        of("float({})", inner),
        of("int({})", inner),
    )


def integers(inner: Texts) -> Texts:
    """Return expressions whose value is an int."""
    return st.one_of(
        of("({} {} {})", inner, st.sampled_from([*INT_OPS, "+", "-", "*", "//", "%"]), inner),
        of("({} << {})", inner, st.sampled_from(["0", "1", "3", "-1"])),
        of("({} >> {})", inner, st.sampled_from(["0", "1", "70", "-1"])),
        of("(~{})", inner),
        of("int({})", texts.filter(lambda text: "0x" not in text)),
        of("int({}, {})", texts, st.sampled_from(["0", "2", "10", "16", "36", "1"])),
        of("len({})", texts),
        of("{}.count({})", texts, texts),
        of("{}.{}({}, {})", texts, st.sampled_from(["find", "rfind", "index", "rindex"]), texts, indexes),
        of("hash({})", texts),
        of("ord({})", texts),
    )


def strings(inner: Texts) -> Texts:
    """Return expressions whose value is a string, of a string inside."""
    plain = ["upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip"]
    return st.one_of(
        of("({} + {})", inner, inner),
        of("({} * {})", inner, counts),
        of("({} * {})", counts, inner),
        of("{}.{}()", inner, st.sampled_from(plain)),
        of("{}.{}({})", inner, st.sampled_from(["strip", "lstrip", "rstrip", "removeprefix", "removesuffix"]), inner),
        of("{}.replace({}, {})", inner, inner, inner),
        of("{}.replace({}, {}, {})", inner, inner, inner, st.sampled_from(["0", "1", "2"])),
        of("{}.join([{}])", inner, listed(inner)),
        of("{}[{}]", inner, indexes),
        of("{}[{}:{}:{}]", inner, bounds, bounds, steps),
        of("str({})", st.one_of(inner, ints, floats)),
        of("repr({})", inner),
        of('("%s-%r" % ({}, {}))', inner, inner),
        of('("%d %x %o" % ({}, {}, {}))', ints, ints, ints),
        of('("%d %g %e %f" % ({}, {}, {}, {}))', st.sampled_from(["2.9", "-3.75", "1e3"]), floats, floats, floats),
        of('"{{}}{{}}".format({}, {})', inner, st.one_of(ints, floats)),
        of('"{{1}}{{0!r}}{{x}}".format({}, {}, x = {})', inner, inner, inner),
        of("({} % {})", inner, inner),
        of("{}.format({})", inner, inner),
        of("type({})", inner),
        of("chr({})", st.sampled_from(["65", "97", "-1", "1114112"])),
    )


def collections(items: Texts) -> Texts:
    """Return expressions whose value is a list or a tuple."""
    whole = st.one_of(of("[{}]", listed(items)), of("({},)", items), of("({}, {})", items, items))
    return st.one_of(
        whole,
        of("({} + {})", whole, whole),
        of("({} * {})", whole, counts),
        of("{}[{}:{}:{}]", whole, bounds, bounds, steps),
        of("sorted({})", whole),
        of("sorted({}, reverse = {})", whole, bools),
        of("sorted({}, key = {})", whole, st.sampled_from(["str", "type", "lambda x: str(x)", "len", "bool"])),
        of("reversed({})", whole),
        of("list({})", whole),
        of("tuple({})", whole),
        of("enumerate({}, {})", whole, indexes),
        of("zip({}, {})", whole, whole),
        of("list(range({}, {}, {}))", indexes, indexes, st.sampled_from(["1", "2", "-1", "0"])),
        of("[x for x in {} if {}]", whole, st.sampled_from(["x", "not x", "type(x) == 'int'", "x == x"])),
        of("[(x, y) for x in {} for y in {}]", whole, whole),
        of("{}.{}({})", texts, st.sampled_from(["split", "rsplit"]), separators),
        of("{}.{}({}, {})", texts, st.sampled_from(["split", "rsplit"]), separators, counts),
        of("{}.{}()", texts, st.sampled_from(["split", "rsplit", "splitlines"])),
        of("{}.{}({})", texts, st.sampled_from(["partition", "rpartition"]), texts),
        of("list({}.elems())", texts),
        of("dir({})", st.one_of(ints, bools)),
    )


def dicts(items: Texts) -> Texts:
    """Return expressions whose value is a dict, or part of one."""
    entries = st.lists(st.tuples(st.integers(0, 5).map(str), items), max_size=4, unique_by=lambda entry: entry[0])
    whole = entries.map(lambda found: "{" + ", ".join(f"{key}: {held}" for key, held in found) + "}")
    return st.one_of(
        whole,
        of("({} | {})", whole, whole),
        of("dict({}, a = {})", whole, items),
        of("dict([({}, {}), ({}, {})])", items, items, items, items),
        of("{{x: 1 for x in [{}]}}", listed(items)),
        of("{}.get({}, {})", whole, items, items),
        of("{}[{}]", whole, items),
        of("{}.{}()", whole, st.sampled_from(["keys", "values", "items", "popitem"])),
        of("{}.pop({}, {})", whole, items, items),
        of("{}.setdefault({}, {})", whole, items, items),
    )


def claims(items: Texts) -> Texts:
    """Return expressions whose value is a bool, or that must fail."""
    tests = ["isalnum", "isalpha", "isdigit", "islower", "isspace", "istitle", "isupper"]
    holders = st.one_of(collections(items), dicts(items), texts)
    return st.one_of(
        of("({} {} {})", simple, st.sampled_from(ORDER), simple),
        of("({} {} {})", collections(numerals), st.sampled_from(ORDER), collections(numerals)),
        of("({} {} {})", collections(items), st.sampled_from(["==", "!="]), collections(items)),
        of("({} {} {})", dicts(items), st.sampled_from(["==", "!="]), dicts(items)),
        of("({} {} {})", items, st.sampled_from(["in", "not in"]), holders),
        of("{}.{}()", texts, st.sampled_from(tests)),
        of("{}.{}({})", texts, st.sampled_from(["startswith", "endswith"]), texts),
        of("{}({})", st.sampled_from(["any", "all"]), collections(items)),
        of("bool({})", items),
        of("(not {})", items),
        of("({} {} {})", items, st.sampled_from(["and", "or"]), items),
        of("({} if {} else {})", items, items, items),
        of('hasattr({}, "{}")', items, st.sampled_from(["append", "find", "keys", "none"])),
        of("(range({}) == range({}, {}, {}))", indexes, indexes, indexes, st.sampled_from(["1", "2", "-1"])),
    )


def mistaken(items: Texts) -> Texts:
    """Return expressions whose operands need not fit."""
    operators = [*NUMBER_OPS, "&", "^", "<<", ">>", "in", "==", "!="]
    limits = items.filter(lambda text: text != "None")
    functions = ["len", "abs", "int", "float", "str", "repr", "list", "tuple", "dict", "sorted", "reversed", "any"]
    return st.one_of(
        of("({} {} {})", items, st.sampled_from(operators), items),
        of("{}({})", st.sampled_from([*functions, "all", "max", "min", "range", "type", "bool", "hash", "ord"]), items),
        of("{}[{}]", items, items),
        of("{}[{}:{}]", items, limits, limits),
        of("({}{})", st.sampled_from(["-", "+", "~", "not "]), items),
        of("{}({})", items, items),
        of("{{{}: 1}}", items),
    )


def nested(make: Callable[[Texts], Texts], leaf: Texts) -> Texts:
    """Return expressions of one kind inside each other."""
    return st.recursive(leaf, make, max_leaves=4)


simple = st.one_of(small_ints, floats, texts, bools, st.just("None"))
anything = st.one_of(simple, of("[{}]", listed(simple, 3)), of("({},)", simple), of("{{1: {}}}", simple), st.just("{}"))
EXPRESSIONS = st.one_of(
    nested(numbers, st.one_of(ints, floats)),
    nested(integers, ints),
    nested(strings, texts),
    collections(simple),
    collections(st.one_of(ints, floats)),
    collections(texts),
    dicts(simple),
    claims(anything),
    claims(st.one_of(ints, floats)),
    mistaken(anything),
)


names = st.sampled_from(["x", "y", "z"])


def statements(inner: Texts, indent: int) -> Texts:
    """Return one to three statements of a block."""
    pad = "    " * indent
    line = st.one_of(
        of(pad + "{} = {}", names, inner),
        of(pad + "{} {} {}", names, st.sampled_from(["+=", "-=", "*=", "//=", "%=", "|="]), inner),
        of(pad + "found.append({})", inner),
        of(pad + "x, y = {}, {}", inner, inner),
        st.sampled_from([pad + "found.append(x)", pad + "found += [y]", pad + "table[x] = y", pad + "z[0] = y"]),
    )
    return st.lists(line, min_size=1, max_size=3).map("\n".join)


_inner = st.one_of(
    names, small_ints, texts, st.sampled_from(["[x]", "x + y", "x == y", "len(found)", "z", "(x, y)", "y * 2"])
)
_blocks = st.one_of(
    statements(_inner, 1),
    of(
        "    for x in {}:\n{}",
        st.sampled_from(["range(3)", "[1, 'a', 2]", "{1: 2}", "z", "found"]),
        statements(_inner, 2),
    ),
    of(
        "    for x in range(5):\n        if {}:\n            {}\n{}",
        _inner,
        st.sampled_from(["break", "continue", "return [x]"]),
        statements(_inner, 2),
    ),
    of("    if {}:\n{}\n    else:\n{}", _inner, statements(_inner, 2), statements(_inner, 2)),
    of(
        "    def inner(a, b = {}, *rest, **more):\n        return (a, b, rest, more)\n    y = inner({}, {})",
        _inner,
        _inner,
        _inner,
    ),
    of("    y = [{} for x in range(3) if {}]", _inner, _inner),
    of("    y = (lambda a, b = 1: [a, b])({})", _inner),
)
PROGRAMS = st.lists(_blocks, min_size=1, max_size=4).map(
    lambda blocks: "\n".join(
        [
            "def main(x, y = 2):",
            "    z = [0]",
            "    found = []",
            "    table = {}",
            *blocks,
            "    return [x, y, z, found, table]",
            "",
        ]
    )
)
