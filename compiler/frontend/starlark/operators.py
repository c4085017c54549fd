"""What the operators of Starlark do, value by value.

Whatever takes time or memory in proportion to its operands charges the budget first.  A type that an operator does not
know is an error that names both types and the values.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, floor
from operator import index as as_index
from typing import TYPE_CHECKING, cast

from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.starlark.budget import ENTRY, MAX_NESTING, Budget, check_bits, too_deep
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import percent, shown
from compiler.frontend.starlark.values import (
    Elements,
    StarlarkDict,
    StarlarkList,
    StarlarkSet,
    elements_of,
    hash_key,
    size_of_range,
    type_name,
)

if TYPE_CHECKING:
    from compiler.frontend.starlark.origins import Written

_MAX_SHIFT = 512
_SURELY_FITS = 512
# Products of bits that are multiplied or divided in a microsecond.
_WORK_A_STEP = 2**18
# Keys of dicts, and characters, that are compared in one.
_KEYS_A_STEP, _COMPARED_A_STEP, _FOUND_A_STEP = 4, 2**12, 16
# Steps for each element of two lists that are compared.
_COMPARISON = 2
_LONGEST_NAME, _MOST_NAMES = 60, 1000
Number = int | float


def is_number(value: object) -> bool:
    """Whether a value is an int or a float; a bool is neither."""
    return type(value) is int or type(value) is float


def truth(value: object) -> bool:
    """Return whether a value counts as true."""
    if type(value) is bool:
        return value
    if isinstance(value, StarlarkList):
        return bool(value.items)
    if isinstance(value, (StarlarkDict, StarlarkSet)):
        return bool(value.entries)
    if isinstance(value, range):
        return size_of_range(value) > 0
    return bool(value) if isinstance(value, (int, float, str, bytes, tuple)) or value is None else True


def unary(op: str, value: object) -> object:
    """Return `+x`, `-x`, `~x` or `not x`."""
    if op == "not":
        return not truth(value)
    if type(value) is int:
        return -value if op == "-" else ~value if op == "~" else value
    if type(value) is float and op != "~":
        return -value if op == "-" else value
    raise StarlarkError(f"unknown unary op: {op}{type_name(value)} (operation not supported): {op}{shown(value)}")


def binary(op: str, a: object, b: object, budget: Budget) -> object:
    """Return `a op b` for the arithmetic and bitwise operators.  Raises: StarlarkError, BudgetError."""
    made = _BINARY[op](a, b, budget)
    if made is NotImplemented:
        raise StarlarkError(
            f"unknown binary op: {type_name(a)} {op} {type_name(b)}: "
            f"unsupported binary operation (not supported on these types): {shown(a)} {op} {shown(b)}"
        )
    return made


def augmented(op: str, a: object, b: object, budget: Budget) -> object:
    """Return what `a op= b` leaves in a; lists, dicts and sets change in place."""
    if op == "+" and isinstance(a, StarlarkList) and not isinstance(b, (str, bytes)):
        a.check("extend")
        if not isinstance(b, (StarlarkList, StarlarkDict, StarlarkSet, tuple, range, Elements)):
            return binary(op, a, b, budget)
        a.items += elements_of(b, budget)
        return a
    if op == "|" and isinstance(a, StarlarkDict) and isinstance(b, StarlarkDict):
        a.check("update")
        budget.elements(len(b.entries), ENTRY)
        a.absorb(b)
        return a
    if isinstance(a, StarlarkSet) and isinstance(b, StarlarkSet):
        a.check("update")
        made = binary(op, a, b, budget)
        assert isinstance(made, StarlarkSet)
        a.entries, a.originals, a.holes = made.entries, made.originals, 0
        return a
    return binary(op, a, b, budget)


def _add(a: object, b: object, budget: Budget) -> object:
    if type(a) is int and type(b) is int:
        return _checked(a + b)
    if is_number(a) and is_number(b):
        return to_float(a) + to_float(b)
    if isinstance(a, str) and isinstance(b, str):
        budget.allocate(len(a) + len(b))
        return a + b
    if isinstance(a, bytes) and isinstance(b, bytes):
        budget.allocate(len(a) + len(b))
        return a + b
    if isinstance(a, tuple) and isinstance(b, tuple):
        budget.elements(len(a) + len(b))
        return a + b
    if isinstance(a, StarlarkList) and isinstance(b, StarlarkList):
        budget.elements(len(a.items) + len(b.items))
        return StarlarkList(a.items + b.items)
    return NotImplemented


def _subtract(a: object, b: object, budget: Budget) -> object:
    if type(a) is int and type(b) is int:
        return _checked(a - b)
    if is_number(a) and is_number(b):
        return to_float(a) - to_float(b)
    if isinstance(a, StarlarkSet) and isinstance(b, StarlarkSet):
        budget.elements(len(a.entries), ENTRY)
        return a.common(b, is_in=False)
    return NotImplemented


def _multiply(a: object, b: object, budget: Budget) -> object:
    if type(a) is int and type(b) is int:
        check_bits(a.bit_length() + b.bit_length() - 1)
        _charge(a, b, budget)
        return a * b
    if is_number(a) and is_number(b):
        return to_float(a) * to_float(b)
    if type(a) is int:
        a, b = b, a
    if type(b) is not int:
        return NotImplemented
    times = max(b, 0)
    if isinstance(a, (str, bytes)):
        budget.allocate(len(a) * times)
        return a * times
    if isinstance(a, tuple):
        budget.elements(len(a) * times)
        return a * times
    if isinstance(a, StarlarkList):
        budget.elements(len(a.items) * times)
        return StarlarkList(a.items * times)
    return NotImplemented


def _divide(a: object, b: object, _: Budget) -> object:
    if not (is_number(a) and is_number(b)):
        return NotImplemented
    x, y = to_float(a), to_float(b)
    if y == 0:
        raise StarlarkError(f"floating-point division by zero: {shown(a)} / {shown(b)}")
    return x / y


def _floor_divide(a: object, b: object, budget: Budget) -> object:
    if not (is_number(a) and is_number(b)):
        return NotImplemented
    if b == 0:
        kind = "integer" if type(a) is int and type(b) is int else "floating-point"
        raise StarlarkError(f"{kind} division by zero: {shown(a)} // {shown(b)}")
    if type(a) is int and type(b) is int:
        _charge(a, b, budget)
        return a // b
    return _floor(to_float(a) / to_float(b))


def _floor(value: float) -> float:
    return value if value != value or abs(value) == float("inf") else copysign(float(floor(value)), value)


def _modulo(a: object, b: object, budget: Budget) -> object:
    if isinstance(a, str):
        return percent(a, b, budget)
    if not (is_number(a) and is_number(b)):
        return NotImplemented
    if b == 0:
        kind = "integer" if type(a) is int and type(b) is int else "floating-point"
        raise StarlarkError(f"{kind} modulo by zero: {shown(a)} % {shown(b)}")
    if type(a) is int and type(b) is int:
        _charge(a, b, budget)
        return a % b
    return to_float(a) % to_float(b)


def _or(a: object, b: object, budget: Budget) -> object:
    if type(a) is int and type(b) is int:
        return a | b
    if isinstance(a, StarlarkDict) and isinstance(b, StarlarkDict):
        budget.elements(len(a.entries) + len(b.entries), ENTRY)
        made = a.copy()
        made.absorb(b)
        return made
    if isinstance(a, StarlarkSet) and isinstance(b, StarlarkSet):
        budget.elements(len(a.entries) + len(b.entries), ENTRY)
        return a.joined(b)
    return NotImplemented


def _and(a: object, b: object, budget: Budget) -> object:
    if type(a) is int and type(b) is int:
        return a & b
    if isinstance(a, StarlarkSet) and isinstance(b, StarlarkSet):
        budget.elements(len(a.entries), ENTRY)
        return a.common(b, is_in=True)
    return NotImplemented


def _xor(a: object, b: object, budget: Budget) -> object:
    if type(a) is int and type(b) is int:
        return a ^ b
    if isinstance(a, StarlarkSet) and isinstance(b, StarlarkSet):
        budget.elements(len(a.entries) + len(b.entries), ENTRY)
        return a.common(b, is_in=False).joined(b.common(a, is_in=False))
    return NotImplemented


def _shift_left(a: object, b: object, _: Budget) -> object:
    if type(a) is not int or type(b) is not int:
        return NotImplemented
    if b < 0:
        raise StarlarkError(f"negative shift count: {b}")
    if b >= _MAX_SHIFT:
        raise StarlarkError(f"shift count too large: {shown(b)}")
    check_bits(a.bit_length() + b)
    return a << b


def _shift_right(a: object, b: object, _: Budget) -> object:
    if type(a) is not int or type(b) is not int:
        return NotImplemented
    if b < 0:
        raise StarlarkError(f"negative shift count: {b}")
    return a >> min(b, a.bit_length() + 1)


_BINARY: dict[str, Callable[[object, object, Budget], object]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "//": _floor_divide,
    "%": _modulo,
    "|": _or,
    "&": _and,
    "^": _xor,
    "<<": _shift_left,
    ">>": _shift_right,
}


def _charge(a: int, b: int, budget: Budget) -> None:
    """Spend the time that it takes to multiply or divide large integers."""
    work = a.bit_length() * b.bit_length()
    if work > _WORK_A_STEP:
        budget.step(work // _WORK_A_STEP)


def _checked(value: int) -> int:
    if value.bit_length() > _SURELY_FITS:
        check_bits(value.bit_length())
    return value


def to_float(value: object) -> float:
    """Return a number as a float.  Raises: StarlarkError if the integer is too large for one."""
    try:
        return float(cast("Number", value))
    except OverflowError:
        raise StarlarkError(f"int too large to convert to float: {shown(value)}") from None


def equal(a: object, b: object, budget: Budget, depth: int = 0) -> bool:
    """Return whether two values are equal.  Raises: BudgetError for values that are too deep, or too many."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return is_number(a) and is_number(b) and _same_number(a, b)
    if kind is float:
        return _same_number(a, b)
    if isinstance(a, StarlarkList) and isinstance(b, StarlarkList):
        return _equal_items(a.items, b.items, budget, depth)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return _equal_items(a, b, budget, depth)
    if isinstance(a, StarlarkDict) and isinstance(b, StarlarkDict):
        budget.step(len(a.entries) // _KEYS_A_STEP)
        if a.entries.keys() != b.entries.keys():
            return False
        values = [b.entries[at] for at in a.entries]
        return _equal_items(list(a.entries.values()), values, budget, depth)
    if isinstance(a, StarlarkSet) and isinstance(b, StarlarkSet):
        budget.step(len(a.entries) // _KEYS_A_STEP)
        return a.entries.keys() == b.entries.keys()
    if isinstance(a, (str, bytes)):
        budget.step(len(a) // _COMPARED_A_STEP)
    return a == b


def _equal_items(
    a: list[object] | tuple[object, ...], b: list[object] | tuple[object, ...], budget: Budget, depth: int
) -> bool:
    if depth >= MAX_NESTING:
        raise too_deep("a comparison")
    if len(a) != len(b):
        return False
    budget.step(1 + _COMPARISON * len(a))
    return all(equal(x, y, budget, depth + 1) for x, y in zip(a, b, strict=True))


def _same_number(a: object, b: object) -> bool:
    return a == b or (a != a and b != b)


def compare(op: str, a: object, b: object, budget: Budget) -> bool:
    """Return `a op b` for the comparisons and for `in` and `not in`.  Raises: StarlarkError, BudgetError."""
    if op == "==":
        return equal(a, b, budget)
    if op == "!=":
        return not equal(a, b, budget)
    if op == "in":
        return contains(a, b, budget)
    if op == "not in":
        return not contains(a, b, budget)
    order = ordered(a, b, budget, op)
    return order < 0 if op == "<" else order > 0 if op == ">" else order <= 0 if op == "<=" else order >= 0


def ordered(a: object, b: object, budget: Budget, op: str = "<", depth: int = 0) -> int:
    """Return a number below, at or above zero as a comes before, with or after b; nan comes after all numbers."""
    if is_number(a) and is_number(b):
        return _ordered_numbers(cast("Number", a), cast("Number", b))
    kind = type(a)
    if kind is type(b):
        if isinstance(a, (str, bytes, bool)):
            x, y = cast("str", a), cast("str", b)
            if kind is not bool:
                budget.step(min(len(x), len(y)) // _COMPARED_A_STEP)
            return (x > y) - (x < y)
        if isinstance(a, StarlarkList) and isinstance(b, StarlarkList):
            return _ordered_items(a.items, b.items, budget, op, depth)
        if isinstance(a, tuple) and isinstance(b, tuple):
            return _ordered_items(list(a), list(b), budget, op, depth)
    raise StarlarkError(
        f"unsupported comparison: {type_name(a)} {op} {type_name(b)} not implemented "
        f"(operation not supported on these types): {shown(a)} {op} {shown(b)}"
    )


def _ordered_numbers(a: Number, b: Number) -> int:
    if a != a or b != b:
        return (a != a) - (b != b)
    return (a > b) - (a < b)


def _ordered_items(a: list[object], b: list[object], budget: Budget, op: str, depth: int) -> int:
    if depth >= MAX_NESTING:
        raise too_deep("a comparison")
    budget.step(1 + 2 * min(len(a), len(b)))
    for x, y in zip(a, b, strict=False):
        if not equal(x, y, budget, depth + 1):
            return ordered(x, y, budget, op, depth + 1)
    return (len(a) > len(b)) - (len(a) < len(b))


def contains(item: object, holder: object, budget: Budget) -> bool:
    """Return `item in holder`."""
    if isinstance(holder, (StarlarkDict, StarlarkSet)):
        return hash_key(item) in holder.entries
    if isinstance(holder, (StarlarkList, tuple)):
        items = holder.items if isinstance(holder, StarlarkList) else holder
        if type(item) is str or type(item) is int:
            # Python finds these at once, but takes True for 1.
            budget.step(1 + len(items) // _FOUND_A_STEP)
            if type(item) is str or item not in items:
                return item in items
        budget.step(1 + len(items) // 2)
        return any(equal(item, other, budget) for other in items)
    if isinstance(holder, str):
        if not isinstance(item, str):
            raise StarlarkError(f"'in <string>' requires string as left operand, not {type_name(item)}: {shown(item)}")
        budget.step(1 + len(holder) // 200)
        return item in holder
    if isinstance(holder, bytes):
        if type(item) is int:
            return 0 <= item < 256 and item in holder
        if isinstance(item, bytes):
            return item in holder
        raise StarlarkError(f"'in bytes' requires bytes or int as left operand, not {type_name(item)}: {shown(item)}")
    if isinstance(holder, range):
        if type(item) is float:
            return item.is_integer() and int(item) in holder
        if type(item) is not int:
            raise StarlarkError(f"'in range' requires a number as left operand, not {type_name(item)}: {shown(item)}")
        return item in holder
    raise StarlarkError(
        f"unknown binary op: {type_name(item)} in {type_name(holder)}: "
        f"operation not supported on these types: {shown(item)} in {shown(holder)}"
    )


def index(holder: object, key: object) -> object:
    """Return `holder[key]`."""
    if isinstance(holder, StarlarkDict):
        at = hash_key(key)
        if at not in holder.entries:
            raise StarlarkError(_no_key(holder, key))
        return holder.entries[at]
    if isinstance(holder, StarlarkList):
        return holder.items[place_of(holder, len(holder.items), key)]
    if isinstance(holder, (str, tuple, bytes)):
        return holder[place_of(holder, len(holder), key)]
    if isinstance(holder, Elements):
        return holder.of[place_of(holder, len(holder.of), key)]
    if isinstance(holder, range):
        return holder.start + holder.step * place_of(holder, size_of_range(holder), key)
    raise StarlarkError(
        f"unhandled index operation {type_name(holder)}[{type_name(key)}]: "
        f"operation not supported: type '{type_name(holder)}' has no operator []"
    )


def _no_key(holder: StarlarkDict, key: object) -> str:
    is_name = isinstance(key, str) and len(key) <= _LONGEST_NAME and len(holder.entries) <= _MOST_NAMES
    names = [k for k in holder.entries if isinstance(k, str) and len(k) <= _LONGEST_NAME] if is_name else []
    near = nearest_names(str(key), names)
    advice = f" (did you mean {shown(near[0])}?)" if near else ""
    return f"key {shown(key)} not in dict: not found{advice}"


def place_of(holder: object, length: int, key: object) -> int:
    """Return an index counted from the start.  Raises: StarlarkError if there is no such element."""
    name = type_name(holder)
    if type(key) is not int:
        raise StarlarkError(f"{name} index: got {type_name(key)}, want int: {shown(key)}")
    if not -length <= key < length:
        bounds = f"it has {length} elements" if length else "it is empty"
        raise StarlarkError(f"{name} index {shown(key)} out of range: {bounds}")
    return key + length if key < 0 else key


def set_index(holder: object, key: object, value: object, written: Written | None = None) -> None:
    """Do `holder[key] = value`; `written` is where a string key was written."""
    if isinstance(holder, StarlarkDict):
        holder.check("insert into")
        holder.write(key, value, written)
    elif isinstance(holder, StarlarkList):
        holder.check("assign to element of")
        holder.items[place_of(holder, len(holder.items), key)] = value
    else:
        raise StarlarkError(
            f"{type_name(holder)} value does not support item assignment: "
            f"can only assign an element in a dictionary or a list; {shown(holder)} is immutable"
        )


def slice_value(holder: object, low: object, high: object, step: object, budget: Budget) -> object:
    """Return `holder[low:high:step]`; None stands for a bound that is left out."""
    start = _bound(low, "start index")
    stop = _bound(high, "end index")
    stride = _bound(step, "step")
    if stride == 0:
        raise StarlarkError("zero is not a valid slice step: slice step cannot be zero")
    part = slice(start, stop, stride)
    if isinstance(holder, StarlarkList):
        budget.elements(len(range(*part.indices(len(holder.items)))))
        return StarlarkList(holder.items[part])
    if isinstance(holder, tuple):
        budget.elements(len(range(*part.indices(len(holder)))))
        return holder[part]
    if isinstance(holder, (str, bytes)):
        budget.allocate(len(range(*part.indices(len(holder)))))
        return holder[part]
    if isinstance(holder, range):
        return holder[part]
    raise StarlarkError(f"invalid slice operand: {type_name(holder)} (operation not supported): {shown(holder)}")


def _bound(value: object, what: str) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        raise StarlarkError(f"invalid {what}: got {type_name(value)}, want int (not supported): {shown(value)}")
    return as_index(max(-(2**62), min(2**62, value)))
