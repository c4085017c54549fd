"""SGLang's kernels, of which there is no CPU build: anything can be imported, and says its name if it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never


def __getattr__(name: str) -> Callable[..., Never]:
    if name.startswith("__"):
        raise AttributeError(name)

    def absent(*args: object, **kwargs: object) -> Never:
        raise NotImplementedError(f"sgl_kernel.{name} was called, and there is no CPU build of it")

    return absent
