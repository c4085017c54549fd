"""Arithmetic: numbers, + - * / // % **, parentheses, and a few functions.

An expression is parsed and walked, never evaluated as code: nothing in it can name anything but the functions below.
Bounds on its length, on the size of integers and on the exponent keep every calculation short.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from pathlib import Path

from stdlib.episodes import ToolRefusalError, ToolSpec

Number = int | float

MAX_CHARACTERS = 1_000
MAX_DEPTH = 60
MAX_BITS = 4_096
MAX_DIGITS = 1_000


def rounded(value: Number, digits: Number = 0) -> Number:
    """Return a number rounded to some digits behind the point.  Raises: ToolRefusalError for too many."""
    if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
        raise ToolRefusalError(f"a number is rounded to at most {MAX_DIGITS:,} digits")
    # To a negative count an integer is rounded by that power of ten, so the count is what bounds the work.
    return round(value, digits) if digits else round(value)


_NAME = "calculator"
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": rounded,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "floor": math.floor,
    "ceil": math.ceil,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


def open_tool(settings: object, *, root: Path) -> ToolSpec:
    """Return the tool."""
    return ToolSpec(
        schema={
            "type": "function",
            "function": {
                "name": _NAME,
                "description": "Evaluates an arithmetic expression and returns its value.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "expression": {
                            "type": "string",
                            "description": "The expression, such as (3 + 4) * 2 ** 5.",
                        }
                    },
                    "required": ["expression"],
                },
            },
        },
        call=calculate,
        is_quick=True,
    )


def calculate(expression: str) -> str:
    """Return the value of an expression as a text.  Raises: ToolRefusalError with what is wrong with it."""
    if len(expression) > MAX_CHARACTERS:
        raise ToolRefusalError(f"the expression is longer than {MAX_CHARACTERS:,} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ToolRefusalError("this is no arithmetic expression") from None
    try:
        value = _value(tree.body, 0)
    except ZeroDivisionError:
        raise ToolRefusalError("division by zero") from None
    except OverflowError:
        raise ToolRefusalError("the value is too large") from None
    except (ValueError, TypeError) as fault:
        raise ToolRefusalError(str(fault)) from None
    if isinstance(value, float) and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return str(value)


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ToolRefusalError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=bool()):
            raise ToolRefusalError("only numbers can be calculated with")
        case ast.Constant(value=int() | float() as value):
            return _bounded(value)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, depth + 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _bounded(_power(_value(left, depth + 1), _value(right, depth + 1)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left, depth + 1), _value(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*(_value(one, depth + 1) for one in args)))
        case _:
            raise ToolRefusalError(f"{ast.unparse(node)[:40]} is no arithmetic")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        # The bits of the result are known before it is computed.
        if base.bit_length() * exponent > MAX_BITS:
            raise ToolRefusalError("the power is too large")
        return base**exponent
    value = float(base) ** float(exponent)
    if isinstance(value, complex):
        raise ToolRefusalError("the power is no real number")
    return value


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ToolRefusalError("the number is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolRefusalError("the value is no finite number")
    return value
