"""One process that fuzzes targets with atheris: mutations that reach new branches of ours are kept and built on.

    python -m tests.fuzz.guided TARGET[,TARGET ...] FOLDER NUM_SEEDS [OPTIONS of libFuzzer]

So many seeds of each target are written to FOLDER/seeds/NAME (0 means every one); inputs with new coverage go to
FOLDER/corpus/NAME, what is wrong to FOLDER/findings/TARGET: one input for each kind of fault and place, with its report
beside it.  NAME is that of the target, or of the first of several.  A fault does not end the process; a crash of the
interpreter, or more memory than libFuzzer was told, does.
"""

from __future__ import annotations

import pkgutil
import shutil
import sys
from importlib import import_module
from pathlib import Path

import atheris
from atheris.import_hook import instrument_imports

_OURS = ("compiler", "stdlib", "targets", "rlc")
# Code that counts its branches runs longer, and not by the same factor everywhere: what is slow is looked at again.
_PATIENCE = 4.0


def main(names: list[str], folder: Path, num_seeds: int, options: list[str]) -> None:
    """Fuzz until the options of libFuzzer say that it is enough; never returns."""
    with instrument_imports(include=list(_OURS), enable_loader_override=False):
        for package in _OURS:
            _import_all(package)
        from tests.fuzz.findings import keep
        from tests.fuzz.several import Several
        from tests.fuzz.workplace import working_place

    corpus, seeds = (_emptied((folder / kind / names[0]).absolute()) for kind in ("corpus", "seeds"))
    findings = (folder / "findings").absolute()
    findings.mkdir(parents=True, exist_ok=True)
    with working_place():
        several = Several(names, num_seeds)
        for at, data in enumerate(several.seeds()):
            (seeds / str(at)).write_bytes(data)

        def one(data: bytes) -> None:
            name, rest, fault = several.fault_of(data, patience=_PATIENCE)
            if fault is not None:
                keep(findings / name / fault.signature, rest, fault.report)

        def mutated(data: bytes, max_size: int, seed: int) -> bytes:
            return several.mutated(data, max_size, seed, atheris.Mutate)

        arguments = [sys.argv[0], f"-artifact_prefix={findings}/", *options, str(corpus), str(seeds)]
        atheris.Setup(arguments, one, custom_mutator=mutated)
        atheris.Fuzz()


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _import_all(package: str) -> None:
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
