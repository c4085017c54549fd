"""Two kinds of import contract that import-linter does not have.

Both are written so that a new folder or file is held by them without being listed: a door names what is open, and
strangers are found by looking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class DoorContract(Contract):
    """Importers reach a house only through its open modules.

    Options: `importers` (packages), `house` (a package), `open_modules` (packages of the house that may be imported).
    The house itself, as a package without content, may be named by `import house` only if it is open.
    """

    importers = fields.ListField(subfield=fields.StringField())
    house = fields.StringField()
    open_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Return the imports that go past the door."""
        house, doors, importers = _text(self.house), _texts(self.open_modules), _texts(self.importers)
        past = [
            (importer, imported)
            for importer, imported in _imports(graph, sources=importers)
            if _is_below(imported, house) and not any(_is_below(imported, door) for door in doors)
        ]
        return _verdict(graph, past)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that go past the door."""
        _render(check)


class StrangersContract(Contract):
    """The files of a folder do not import each other, except those that begin with an underscore.

    Options: `folders` (packages; one that does not exist yet has no files).  A package in such a folder counts as one
    file: its modules may know each other.
    """

    folders = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Return the imports between strangers."""
        known = [
            (importer, imported)
            for folder in _texts(self.folders)
            for importer, imported in _imports(graph, sources=[folder])
            if _are_strangers(importer, imported, folder=folder)
        ]
        return _verdict(graph, known)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports between strangers."""
        _render(check)


def _are_strangers(importer: str, imported: str, *, folder: str) -> bool:
    if folder in (importer, imported) or not _is_below(imported, folder):
        return False
    mine, other = (name.removeprefix(f"{folder}.").split(".")[0] for name in (importer, imported))
    return mine != other and not other.startswith("_")


def _imports(graph: ImportGraph, *, sources: Iterable[str]) -> Iterator[tuple[str, str]]:
    for source in sources:
        for importer in sorted(m for m in graph.modules if _is_below(m, source)):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                yield importer, imported


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _verdict(graph: ImportGraph, illegal: list[tuple[str, str]]) -> ContractCheck:
    lines = [
        f"{importer} -> {imported} (l.{detail['line_number']}): {detail['line_contents']}"
        for importer, imported in illegal
        for detail in graph.get_import_details(importer=importer, imported=imported)
    ]
    return ContractCheck(kept=not lines, metadata={"lines": lines})


def _render(check: ContractCheck) -> None:
    for line in check.metadata["lines"]:
        output.print_error(f"- {line}", bold=False)
    output.new_line()


def _text(value: Any) -> str:
    assert isinstance(value, str)
    return value


def _texts(value: Any) -> list[str]:
    assert isinstance(value, list)
    return [_text(item) for item in value]
