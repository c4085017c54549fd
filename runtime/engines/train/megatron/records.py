"""The records of a plan that configure Megatron-core, as Python has them; nothing else sets anything."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.machine import ConfigRecord

_NUMBER_FORMATS = (
    "params_dtype",
    "pipeline_dtype",
    "main_params_dtype",
    "main_grads_dtype",
    "exp_avg_dtype",
    "exp_avg_sq_dtype",
)


class Records:
    """What a launch of the plan says, by the names of Megatron's own records and functions."""

    def __init__(self, records: Sequence[ConfigRecord]) -> None:
        self._found = {record.name: _values(record) for record in records}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def of(self, name: str) -> dict[str, Any]:
        """Return a copy of the values of a record.  Raises: InternalError if the plan has none."""
        if name not in self._found:
            raise InternalError(f"the plan has no record {name}")
        return dict(self._found[name])

    @property
    def network(self) -> dict[str, Any]:
        """The values of the network's record, whichever of the two it is."""
        return self.of(self.network_name)

    @property
    def network_name(self) -> str:
        """The record of the network: one of latent attention extends the other."""
        return "MLATransformerConfig" if "MLATransformerConfig" in self else "TransformerConfig"


def _values(record: ConfigRecord) -> dict[str, Any]:
    found = {name: _value(name, value) for name, value in record.values.__dict__.items()}
    return found | dict.fromkeys(record.nothing)


def _value(name: str, value: Any) -> Any:
    """Number formats, enumerations and functions stand in a plan by their names."""
    if name in _NUMBER_FORMATS:
        return getattr(import_module("torch"), str(value))
    if name == "attention_backend":
        return import_module("megatron.core.transformer.enums").AttnBackend[str(value)]
    if name == "activation_func":
        module, _, function = str(value).rpartition(".")
        return getattr(import_module(module), function)
    return list(value) if isinstance(value, tuple) else value
