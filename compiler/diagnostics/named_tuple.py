"""Named tuples that are quick to declare.

A program that lives for a tenth of a second and declares fifty of them cannot afford the library's, which compiles
source text for each class and each annotation.  To the type checker they are the library's; at run time they behave the
same in all that this project uses: fields by name and position, defaults, `_fields`, `_replace`, matching by position,
copies and pickles.  `_make`, `_asdict` and `__annotations__` as types are left out.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    try:  # as the library's own do: twice as quick as a property
        from _collections import _tuplegetter
    except ImportError:
        from operator import itemgetter

        def _tuplegetter(index: int, doc: str) -> property:
            return property(itemgetter(index), doc=doc)

    class _Declared(type):
        """Turns the annotations of a direct subclass into fields."""

        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
            if isinstance(bases[0], cls) and bases[0].__bases__ == (tuple,):
                fields = tuple(space.get("__annotations__", ()))
                space["_defaults"] = {field: space.pop(field) for field in fields if field in space}
                space["_tails"] = _tails(fields, space["_defaults"])
                space["_fields"] = space["__match_args__"] = fields
                space["__slots__"] = ()
                space |= {field: _tuplegetter(i, "") for i, field in enumerate(fields)}
            return type.__new__(cls, name, bases, space)

    def _tails(fields: tuple[str, ...], defaults: dict[str, Any]) -> dict[int, tuple[object, ...]]:
        """What follows each number of values that may be given alone: the defaults of all other fields."""
        found: dict[int, tuple[object, ...]] = {len(fields): ()}
        for at in range(len(fields) - 1, -1, -1):
            if fields[at] not in defaults:
                break
            found[at] = (defaults[fields[at]], *found[at + 1])
        return found

    class NamedTuple(tuple, metaclass=_Declared):
        """Base of tuples whose places have names."""

        __slots__ = ()
        _fields = ()
        _defaults: ClassVar[dict[str, object]] = {}
        _tails: ClassVar[dict[int, tuple[object, ...]]] = {0: ()}

        def __new__(cls, *values: object, **named: object) -> Self:
            given = len(values)
            if not named:
                rest = cls._tails.get(given)
                if rest is None:
                    cls._rest(given, named)
                return tuple.__new__(cls, values + rest if rest else values)
            return tuple.__new__(cls, (*values, *cls._rest(given, named)))

        @classmethod
        def _rest(cls, given: int, named: dict[str, object]) -> list[object]:
            """Return the values of the fields after the first `given`.  Raises: TypeError if they do not fit."""
            known = {**cls._defaults, **named}
            wanted = cls._fields[given:]
            missing = [field for field in wanted if field not in known]
            unknown = [name for name in named if name not in wanted]
            if missing or unknown or given > len(cls._fields):
                wrong = f"lacks {missing[0]}" if missing else f"has no place for {(unknown or ['another value'])[0]}"
                raise TypeError(f"{cls.__name__} {wrong}")
            return [known[field] for field in wanted]

        def _replace(self, **changes: object) -> Self:
            values = [changes.pop(field, value) for field, value in zip(self._fields, self, strict=True)]
            if changes:
                raise TypeError(f"{type(self).__name__} has no place for {next(iter(changes))}")
            return tuple.__new__(type(self), values)

        def __getnewargs__(self) -> tuple[object, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            inside = ", ".join(f"{f}={v!r}" for f, v in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({inside})"
