"""SHA-256 without OpenSSL, whose library takes longer to load than a plan to compile.

Python carries the function in a module of its own for just such needs; where it does not, `hashlib` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from compiler.diagnostics.annotations import Protocol


class Hash(Protocol):
    """A digest under way."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""
        ...

    def hexdigest(self) -> str:
        """Return it in hexadecimal digits."""
        ...


def _find() -> Callable[[bytes], Hash]:
    for name in ("_sha2", "_sha256"):
        try:
            found: Callable[[bytes], Hash] = import_module(name).sha256
        except ImportError:
            continue
        return found
    return import_module("hashlib").sha256


sha256 = _find()
