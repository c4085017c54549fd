"""Checkpoints that several processes write: each its own files, of whole tensors, and one process the rest.

A process copies the tensors that it is given to write, which are put together one at a time, and writes them in a
thread.  Who writes which tensor follows from their sizes alone, so nobody has to be asked.  Files get their names, and
the manifest their digests, from what the processes say; whoever puts a checkpoint together reads none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Never

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.model import Model
from runtime.checkpoint.manifest import MODEL, TENSORS, digest_of_file, flush
from runtime.weights.expert_layout import as_stored
from runtime.weights.file_names import dealt, file_name, write_index
from runtime.weights.files import ready
from runtime.weights.prediction_layers import copied

Kind = Literal["model", "trainer"]

_NAMES: Final[Mapping[Kind, str]] = {"model": MODEL, "trainer": TENSORS}
_WEIGHTS: Final = "model."  # what names of a state begin with


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file that one process has written: what it holds, its size and digest, and the number format of its tensors."""

    kind: Kind
    file: str
    names: tuple[str, ...]
    num_bytes: int
    size: int
    sha256: str
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Apart:
    """What other processes write of a checkpoint.

    Args:
        begin: has each copy what it writes, and begin to write it into a folder.
        end: returns what was written, once all of it is.
        write_settings: writes what stands beside weights of some names and number format.
    """

    begin: Callable[[Path], None]
    end: Callable[[], Sequence[Part]]
    write_settings: Callable[[Path, Collection[str], str], None]


class PartWriter:
    """Writes what one of several processes is to write.

    Args:
        who: what its files are called until they have their names; another for each process of a run.
        rank: among so many, each of which is shown the same tensors in the same order.
        model: whose weights they are.
        file_bytes: of tensors in one file, unless one alone has more.
    """

    def __init__(self, who: str, *, rank: int, num_ranks: int, model: Model[Never], file_bytes: int) -> None:
        self._who, self._rank, self._num_ranks = who, rank, num_ranks
        self._model, self._file_bytes = model, file_bytes
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way: Future[list[Part]] | None = None

    def begin(self, folder: Path, whole: Iterable[tuple[str, Tensor]]) -> None:
        """Copy of whole tensors those that this process writes, and begin to write them.

        Args:
            whole: a state, put together tensor by tensor; all of it is gone through.

        Raises: SpecError RLC0628 if the folder is not on this machine.
        """
        held = self._held(whole)  # before anything may be raised: the others wait for this process
        if not folder.is_dir():
            raise SpecError(_not_shared(f"{self._who} does not see {folder}"))
        self._under_way = self._threads.submit(self._written, folder, held)

    def end(self) -> list[Part] | None:
        """Return what was written, or None as long as it is not.  Raises: SpecError RLC0624 if the disk refused."""
        under_way = self._under_way
        if under_way is None or not under_way.done():
            return None
        self._under_way = None
        try:
            return under_way.result()
        except (OSError, SafetensorError) as fault:
            why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
            way = Help("make room on the disk and run again: the run resumes from the checkpoint before")
            fact = f"{self._who} cannot write its part of a checkpoint: {why}"
            raise SpecError(Diagnostic("RLC0624", fact, help=(way,))) from fault

    def _held(self, whole: Iterable[tuple[str, Tensor]]) -> dict[Kind, dict[str, Tensor]]:
        held: dict[Kind, dict[str, Tensor]] = {"model": {}, "trainer": {}}
        given = [0] * self._num_ranks
        names: dict[str, bool] = {}
        for name, tensor in whole:
            writer = given.index(min(given))
            given[writer] += tensor.nbytes
            is_weight = name.startswith(_WEIGHTS)
            if is_weight:
                names[name.removeprefix(_WEIGHTS)] = writer == self._rank
            if writer == self._rank:
                own = tensor.detach().cpu().clone() if tensor.device.type == "cpu" else tensor.detach().cpu()
                held["model" if is_weight else "trainer"][name.removeprefix(_WEIGHTS)] = own
        for copy, of in copied(names, self._model).items():
            if names[of]:
                held["model"][copy] = held["model"][of].clone()
        held["model"] = dict(as_stored(held["model"]))
        return held

    def _written(self, folder: Path, held: Mapping[Kind, Mapping[str, Tensor]]) -> list[Part]:
        parts: list[Part] = []
        for kind, tensors in held.items():
            if not tensors:
                continue
            files = dealt(((name, tensor.nbytes) for name, tensor in tensors.items()), self._file_bytes)
            for number, names in enumerate(files):
                path = folder / f"{kind}-{self._who}-{number}.part"
                parts.append(write_part(path, kind, {name: tensors[name] for name in names}))
        return parts


def write_part(path: Path, kind: Kind, tensors: Mapping[str, Tensor]) -> Part:
    """Write a file to the disk, and return what is to be known of it."""
    own = ready(tensors)
    save_file(own, path, metadata={"format": "pt"})
    flush(path)
    return Part(
        kind=kind,
        file=path.name,
        names=tuple(own),
        num_bytes=sum(tensor.nbytes for tensor in own.values()),
        size=path.stat().st_size,
        sha256=digest_of_file(path),
        dtype=str(next(iter(own.values())).dtype).removeprefix("torch."),
    )


def put_together(folder: Path, parts: Sequence[Part]) -> dict[str, str]:
    """Give the files in a folder their names, write the indices, and return the digests by name.

    Raises: SpecError RLC0628 if a file is not there as it was written.
    """
    digests: dict[str, str] = {}
    for kind, name in _NAMES.items():
        own = [part for part in parts if part.kind == kind]
        placed: dict[str, str] = {}
        for number, part in enumerate(own, 1):
            path, file = folder / part.file, file_name(name, number, len(own))
            if not path.is_file() or path.stat().st_size != part.size:
                raise SpecError(_not_shared(f"{part.file} was written, and is not in {folder} as it was"))
            path.rename(folder / file)
            placed |= dict.fromkeys(part.names, file)
            digests[file] = part.sha256
        if len(own) > 1:
            write_index(folder, name, placed, num_bytes=sum(part.num_bytes for part in own))
    return digests


def _not_shared(fact: str) -> Diagnostic:
    ways = (Help("put the run directory where every machine of the run sees it: rlc run --run-dir PATH"),)
    return Diagnostic("RLC0628", fact, help=ways)
