"""The names of `typing` that annotations use, without the library.

Loading `typing`, with the `re` that it brings along, takes a tenth of a warm plan.  To the type checker these names are
the library's own; at run time, where annotations stay texts, they stand for themselves and mean nothing.  The modules
that a plan loads take them from here; all others may take either.
"""

from __future__ import annotations

TYPE_CHECKING = False  # every type checker takes a constant of this name for true

if TYPE_CHECKING:
    from typing import (
        Any,
        ClassVar,
        Final,
        Generic,
        Literal,
        Never,
        Protocol,
        Self,
        TextIO,
        TypeAlias,
        TypeVar,
        cast,
        dataclass_transform,
        final,
    )

    from typing_extensions import override
else:

    class _Form:
        """What may be subscripted, and may stand in a union."""

        __slots__ = ()

        def __getitem__(self, parameters: object) -> _Form:
            return self

        def __or__(self, other: object) -> _Form:
            return self

        __ror__ = __or__

    class Generic:
        """Base of classes with type parameters."""

        __slots__ = ()

        def __class_getitem__(cls, parameters: object) -> type:
            return cls

    class Protocol(Generic):
        """Base of classes that only say what others have."""

        __slots__ = ()

    Any = ClassVar = Final = Literal = Never = Self = TextIO = TypeAlias = _Form()

    class TypeVar(_Form):
        """A type parameter."""

        __slots__ = ()

        def __init__(self, name: str, **bounds: object) -> None:
            pass

    def cast(kind: object, value: object) -> object:
        return value

    def final(kind: type) -> type:
        return kind

    override = final

    def dataclass_transform(**options: object) -> object:
        return final
