"""Checks of the weights in use, as SGLang's /weights_checker has them: whether a weight update reached all of them.

Source: SGLang 0.5.23, `utils/weight_checker.py`.  Weights are float32 by their Hugging Face names, so checksums are
those of another server of rlc with the same weights, and not those of SGLang's own fused tensors.

  checksum       the first 8 bytes of each weight's SHA-256, and one of all names and these.
  snapshot       keeps a copy of all weights, up to the next `compare` that finds no difference.
  reset_tensors  makes weights random, from 0 to 1, so that an update that leaves one out shows.
  compare        with the snapshot, to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help
from runtime.engines.rollout.server.fields import Fields
from runtime.engines.rollout.server.refusals import RefusalError, not_now
from runtime.engines.rollout.server.stepped import SteppedEngine
from runtime.engines.rollout.server.under_way import UnderWay

ACTIONS: Final = ("checksum", "snapshot", "reset_tensors", "compare")
_NAMED_MAX: Final = 5
# There is one process, and it holds all.
_ALONE: Final = {
    "role": "target",
    "tp_rank": 0,
    "tp_size": 1,
    "dp_rank": 0,
    "dp_size": 1,
    "pp_rank": 0,
    "pp_size": 1,
    "rank": 0,
    "size": 1,
}


class WeightChecks:
    """Looks at the weights of an engine, and keeps a copy of them where it is told to."""

    def __init__(self, engine: SteppedEngine, under_way: UnderWay) -> None:
        self._engine, self._under_way = engine, under_way
        self._snapshot: dict[str, Tensor] | None = None

    def act(self, given: object) -> dict[str, object]:
        """Do what a body asks for, and return what SGLang answers.

        Raises: RefusalError RLC0726 for a comparison with nothing, RLC0738 for weights that differ.
        """
        fields = Fields(
            given, "the body of /weights_checker", ("action", "allow_quant_error", "skip_tensor_list", "selector")
        )
        action = fields.choice("action", ACTIONS, "checksum")
        # Nothing is quantized here, so there is no such error to allow.
        fields.flag("allow_quant_error", default=False)
        fields.only(("selector",), ("target", "all"), "leave it out: there is no draft model with weights of its own")
        skipped = fields.raw("skip_tensor_list") or []
        if not isinstance(skipped, list) or not all(isinstance(part, str) for part in skipped):
            fields.wrong("skip_tensor_list", "a list of parts of names")
        fields.close()
        found: dict[str, object] = {"success": True, "message": "Success."}
        match action:
            case "snapshot":
                self._snapshot = {name: tensor.clone() for name, tensor in self._engine.weights()}
            case "reset_tensors":
                self._reset(skipped)
            case "compare":
                self._compare(skipped)
            case _:
                found |= _shown({name: _checksum(tensor) for name, tensor in self._checked(skipped)})
        return found

    def _checked(self, skipped: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        return ((n, t) for n, t in self._engine.weights() if not any(part in n for part in skipped))

    def _reset(self, skipped: Sequence[str]) -> None:
        weights = {name: tensor.clone() for name, tensor in self._engine.weights()}
        weights |= {name: torch.rand(tensor.shape) for name, tensor in self._checked(skipped)}
        self._under_way.load(iter(weights.items()), None)

    def _compare(self, skipped: Sequence[str]) -> None:
        if self._snapshot is None:
            raise not_now("there is no snapshot to compare with", 'send action = "snapshot" first')
        kept = self._snapshot
        differing = [
            f"name={name} max_abs_err={float((tensor - kept[name]).abs().max()):g}"
            for name, tensor in self._checked(skipped)
            if not tensor.view(torch.int32).equal(kept[name].view(torch.int32))
        ]
        if differing:
            more = f" and {len(differing) - _NAMED_MAX} more" if len(differing) > _NAMED_MAX else ""
            fact = f"{len(differing)} weights differ from the snapshot: {'; '.join(differing[:_NAMED_MAX])}{more}"
            way = Help("send all weights again, and look which of them the sender leaves out")
            raise RefusalError(400, Diagnostic("RLC0738", fact, help=(way,)))
        self._snapshot = None


def _checksum(tensor: Tensor) -> str:
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(content.tobytes()).hexdigest()[:16]


def _shown(checksums: dict[str, str]) -> dict[str, object]:
    of_process = hashlib.sha256()
    for name in sorted(checksums):
        of_process.update(name.encode())
        of_process.update(checksums[name].encode())
    whole = of_process.hexdigest()
    rank = {"checksums": checksums, "per_gpu_checksum": whole, "parallelism_info": [_ALONE]}
    return {"ranks": [rank], "per_engine_checksum": hashlib.sha256(whole.encode()).hexdigest()}
