"""A declarative experiment compiler for reinforcement-learning post-training of language models.

```python
import rlc

plan = rlc.compile("experiments/quickstart.toml", set={"run.max_steps": 20}, policy="policy.star")
done = rlc.run("experiments/quickstart.toml", set={"run.max_steps": 20})
```

Importing this loads nothing; the compiler is loaded by the first name that is used, and torch by `run`.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # every type checker takes a constant of this name for true

if TYPE_CHECKING:
    from rlc.api import Finished as Finished
    from rlc.api import RlcError as RlcError
    from rlc.api import compile as compile
    from rlc.api import run as run

__all__ = ["Finished", "RlcError", "compile", "run"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'rlc' has no attribute {name!r}")
    return getattr(import_module("rlc.api"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
