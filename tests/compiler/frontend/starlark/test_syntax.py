"""Text to trees: every rule, every literal, exact spans, and the cache.

Python's own parser is the independent oracle of structure and spans: Starlark's syntax is a subset of Python's.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.nodes import MAX_DEPTH, Node
from compiler.frontend.starlark.syntax import parse_expression, parse_file
from compiler.frontend.starlark.tokens import MAX_TOKENS, tokenize

ROOT = Path(__file__).parents[4]


def file(text: str, cache: Path | None = None) -> Node:
    return parse_file(SourceFile("a.star", text), cache)


def expression(text: str) -> Node:
    return parse_expression(SourceFile("a.star", text), 0, len(text), None)


def code_of(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        file(text)
    (found,) = caught.value.diagnostics
    return found.code


def bare(node: Node | object) -> Any:
    """A node without its places."""
    if isinstance(node, tuple):
        return (node[0], *(bare(part) for part in node[3:]))
    return node


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("pass\n", ("pass",)),
        ("x\n", ("expr_stmt", ("name", "x"))),
        ("x = 1\n", ("assign", ("name", "x"), ("int", 1))),
        ("x //= 1\n", ("augment", "//", ("name", "x"), ("int", 1))),
        ("a, b = 1, 2\n", ("assign", ("tuple", ("name", "a"), ("name", "b")), ("tuple", ("int", 1), ("int", 2)))),
        ('load("f", "a", b = "c",)\n', None),
        ("return\n", ("return", None)),
        ("return 1\n", ("return", ("int", 1))),
        ("break\n", ("break",)),
        ("continue\n", ("continue",)),
        ("for x in y: pass\n", ("for", ("name", "x"), ("name", "y"), ("suite", ("pass",)))),
        ("if x: pass\n", ("if", ("name", "x"), ("suite", ("pass",)), None)),
        (
            "if x: pass\nelif y: 1\nelse: 2\n",
            (
                "if",
                ("name", "x"),
                ("suite", ("pass",)),
                ("name", "y"),
                ("suite", ("expr_stmt", ("int", 1))),
                ("suite", ("expr_stmt", ("int", 2))),
            ),
        ),
        (
            "def f(a, b = 1, *args, c, **kw): pass\n",
            (
                "def",
                ("name", "f"),
                (
                    "parameters",
                    ("param", ("name", "a"), None),
                    ("param", ("name", "b"), ("int", 1)),
                    ("star_param", ("name", "args")),
                    ("param", ("name", "c"), None),
                    ("kwargs_param", ("name", "kw")),
                ),
                ("suite", ("pass",)),
            ),
        ),
    ],
)
def test_a_statement_becomes_the_node_of_its_rule(text: str, tree: tuple[object, ...] | None) -> None:
    if tree is None:
        names = [("bind", ("name", "a"), ("string", "a")), ("bind", ("name", "b"), ("string", "c"))]
        tree = ("load", ("string", "f"), *names)
    assert bare(file(text)) == ("file", tree)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("()", ("tuple",)),
        ("(1,)", ("tuple", ("int", 1))),
        ("(1)", ("int", 1)),
        ("[1, 2,]", ("list", ("int", 1), ("int", 2))),
        ("{1: 2}", ("dict", ("entry", ("int", 1), ("int", 2)))),
        ("a.b", ("dot", ("name", "a"), ("name", "b"))),
        ("a[1]", ("index", ("name", "a"), ("int", 1))),
        ("a[1, 2]", ("index", ("name", "a"), ("tuple", ("int", 1), ("int", 2)))),
        ("a[:]", ("slice", ("name", "a"), None, None, None)),
        ("a[1:]", ("slice", ("name", "a"), ("int", 1), None, None)),
        ("a[:1]", ("slice", ("name", "a"), None, ("int", 1), None)),
        ("a[::1]", ("slice", ("name", "a"), None, None, ("int", 1))),
        ("a not in b", ("compare", "not in", ("name", "a"), ("name", "b"))),
        ("lambda: 1", ("lambda", ("parameters",), ("int", 1))),
        (
            "f(a, k = b, *c, **d)",
            (
                "call",
                ("name", "f"),
                ("name", "a"),
                ("keyword", ("name", "k"), ("name", "b")),
                ("star_arg", ("name", "c")),
                ("kwargs_arg", ("name", "d")),
            ),
        ),
        (
            "[x for x in y if z]",
            ("list_comp", ("name", "x"), ("for_clause", ("name", "x"), ("name", "y")), ("if_clause", ("name", "z"))),
        ),
        (
            "{x: 1 for x, in y}",
            (
                "dict_comp",
                ("entry", ("name", "x"), ("int", 1)),
                ("for_clause", ("tuple", ("name", "x")), ("name", "y")),
            ),
        ),
    ],
)
def test_an_expression_becomes_the_node_of_its_rule(text: str, tree: tuple[object, ...]) -> None:
    assert bare(expression(text)) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("0", 0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1.", 1.0),
        (".5e3", 500.0),
        ("01.5", 1.5),
        ("1e-3", 0.001),
        (r'"a\n\t\x41\101\u0416\U0001F600\\\""', 'a\n\tAA\u0416\U0001f600\\"'),
        ('"a\\\nb"', "ab"),
        (r'r"\n\""', '\\n\\"'),
        ('"""a"b\n"""', 'a"b\n'),
        ("'''it's'''", "it's"),
        ('""', ""),
        (r'b"\xff\377\u0416a"', b"\xff\xff\xd0\x96a"),
        (r'rb"\n"', b"\\n"),
    ],
)
def test_a_literal_is_decoded(text: str, value: object) -> None:
    node = expression(text)
    assert (node[1], node[2], node[3]) == (0, len(text), value)
    assert type(node[3]) is type(value)


OF_PYTHON: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Invert: "~",
    ast.Not: "not",
    ast.Lt: "<",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Eq: "==",
}


def of_python(node: ast.expr) -> tuple[object, ...]:
    """What Python's parser says of an expression, as a tree of Starlark without places."""
    match node:
        case ast.BinOp(left, op, right):
            return ("binary", OF_PYTHON[type(op)], of_python(left), of_python(right))
        case ast.UnaryOp(op, operand):
            return ("unary", OF_PYTHON[type(op)], of_python(operand))
        case ast.Compare(left, [op], [right]):
            return ("compare", OF_PYTHON[type(op)], of_python(left), of_python(right))
        case ast.BoolOp(op, [a, b]):
            return ("and" if isinstance(op, ast.And) else "or", of_python(a), of_python(b))
        case ast.IfExp(test, body, orelse):
            return ("conditional", of_python(body), of_python(test), of_python(orelse))
        case ast.Name(name):
            return ("name", name)
        case ast.Attribute(value, name):
            return ("dot", of_python(value), ("name", name))
        case ast.Call(func, args):
            return ("call", of_python(func), *(of_python(a) for a in args))
        case ast.Lambda(_, body):
            return ("lambda", ("parameters",), of_python(body))
    raise AssertionError(ast.dump(node))


@pytest.mark.parametrize(
    "text",
    [
        "a + b * c - d // e % f",
        "a | b ^ c & d << e + f",
        "-a + ~b * +c",
        "not a == b",
        "a or b and not c",
        "a in b or c not in d",
        "a if b or c else d if e else f",
        "lambda: a if b else c",
        "(a + b) * c.d(e).f",
        "-a.b(c)",
        "a < b | c",
        "not not a",
        "a - b - c",
        "(a if b else c) + d",
    ],
)
def test_operators_bind_as_in_python(text: str) -> None:
    assert bare(expression(text)) == of_python(ast.parse(text, mode="eval").body)


def test_spans_count_code_points_and_leave_out_what_is_around() -> None:
    text = "x = '\U0001f600' + f(a,  # why\n      b)\n"
    (assign,) = file(text)[3:]
    added = assign[4]
    assert text[added[1] : added[2]] == "'\U0001f600' + f(a,  # why\n      b)"
    assert [text[part[1] : part[2]] for part in added[5][3:]] == ["f", "a", "b"]


def test_the_span_of_an_expression_holds_the_brackets_around_it() -> None:
    text = "(a + b) * c"
    left = expression(text)[4]
    assert text[left[1] : left[2]] == "(a + b)"


def test_an_expression_inside_a_text_has_the_places_of_the_text() -> None:
    text = 'that = "a.b ==\n 2"'
    tree = parse_expression(SourceFile("a.toml", text), 8, len(text) - 1, None)
    assert bare(tree) == ("compare", "==", ("dot", ("name", "a"), ("name", "b")), ("int", 2))
    assert (tree[1], tree[2]) == (8, len(text) - 1)


def test_lines_go_on_inside_brackets_and_behind_a_backslash() -> None:
    assert bare(file("x = [1,\n# note\n\n2]\ny = 1 + \\\n 2\n"))[1:] == (
        ("assign", ("name", "x"), ("list", ("int", 1), ("int", 2))),
        ("assign", ("name", "y"), ("binary", "+", ("int", 1), ("int", 2))),
    )


def test_blocks_end_where_their_lines_do_and_comments_open_none() -> None:
    tree = bare(file("def f():\n\tif x:\n\t\ta\n  # note\n\n\tb\nc; d"))
    a, b, c, d = (("expr_stmt", ("name", name)) for name in "abcd")
    body = ("suite", ("if", ("name", "x"), ("suite", a), None), b)
    assert tree == ("file", ("def", ("name", "f"), ("parameters",), body), c, d)


def test_no_space_is_needed_between_a_number_and_a_word() -> None:
    assert bare(expression("0in[1]")) == ("compare", "in", ("int", 0), ("list", ("int", 1)))


def test_the_places_of_comments_are_known() -> None:
    text = "# a\nx = [ # b\n]  # c"
    assert [text[start:end] for start, end in tokenize(text)[1]] == ["# a", "# b", "# c"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "\\\n"])
def test_a_text_that_says_nothing_is_an_empty_file(text: str) -> None:
    assert file(text)[3:] == ()


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "[" * 200 + "]" * 200,
        "-" * 5_000 + "1",
        "not " * 5_000 + "1",
        "x = " + "+".join(["1"] * 5_000),
        "x" + "()" * 5_000,
        "x" + ".y" * 5_000,
        "lambda: " * 5_000 + "1",
        "1 if 2 else " * 5_000 + "3",
        "".join(" " * i + "if x:\n" for i in range(300)) + " " * 300 + "pass\n",
    ],
    ids=["open", "list", "minus", "not", "sum", "call", "dot", "lambda", "conditional", "blocks"],
)
def test_whatever_nests_too_deeply_is_a_diagnostic(text: str) -> None:
    assert code_of(text) == "RLC0130"


def test_the_deepest_text_that_is_allowed_has_a_tree() -> None:
    levels = MAX_DEPTH - 3
    assert bare(file("[" * levels + "]" * levels)) is not None


def test_a_text_of_too_many_tokens_is_a_diagnostic() -> None:
    assert code_of("x = [" + "0," * (MAX_TOKENS // 2) + "]") == "RLC0130"


def test_the_second_parse_reads_the_cache_and_imports_no_lark(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from typing import Any
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.resolve import resolve
from compiler.frontend.starlark.syntax import parse_file
source = SourceFile("a.star", "def f(x): return x + 1\\ny = [f(z) for z in [1, 2.5, 'a']]\\n")
tree = parse_file(source, Path({str(tmp_path)!r}))
print(hash(repr((tree, resolve(source, tree, ["len"], Path({str(tmp_path)!r}))))))
print("lark" in sys.modules, "compiler.frontend.starlark.mistakes" in sys.modules)
"""
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        for _ in range(2)
    ]
    assert runs[0][0] == runs[1][0]
    assert [run[1] for run in runs] == ["True False", "False False"]


def test_a_new_text_after_the_first_needs_no_lark(tmp_path: Path) -> None:
    file("x = 1", tmp_path)
    program = f"""
import sys
from pathlib import Path
from typing import Any
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.syntax import parse_file
parse_file(SourceFile("b.star", "y = [2]"), Path({str(tmp_path)!r}))
print("lark" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path) -> None:
    tree = file("x = [1, 2]\n", tmp_path)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in kept:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data[: len(data) // 2]) if path is kept[0] else bytes(data))
    assert file("x = [1, 2]\n", tmp_path) == tree
    assert file("x = [1, 2]\n", tmp_path) == tree


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert file("x = 1\n", tmp_path / "file") == file("x = 1\n")
