"""Templates filled in: every value says which language it is quoted for, or nothing is written.

A template may write an integer as it is, and else only what a filter made: `sh` one word of a shell, `sh_quoted` one in
quotes in any case, `word` a text that needs no quotes in any language, `given_variable` what a script must find in its
environment, `yaml` documents by a YAML serialiser.  A value without a filter is a fault of ours, so nobody can forget
to quote one.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from compiler.diagnostics.diagnostic import InternalError
from compiler.emit.artefacts._job import Job
from compiler.ir.openness import Off

MARK = "written by rlc emit"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@+,%^~")


class EmittedFile(NamedTuple):
    """One file of an artefact, by its name in the folder; scripts may be executed."""

    name: str
    text: str
    is_script: bool = False


class _Quoted(str):
    """A text that a filter made for the language it stands in."""

    __slots__ = ()


def rendered(job: Job, template: str, name: str = "", **values: object) -> EmittedFile:
    """Return a file.

    Args:
        template: the file of the folder `templates`, `NAME.j2`.
        name: what the file is called, if not NAME.
        values: what the template reads beside `job`.
    """
    text = _environment().get_template(f"{template}.j2").render(job=job, mark=_Quoted(MARK), **values)
    return EmittedFile(name or template, text, template.endswith(".sh"))


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_only_quoted,
    )
    made.filters.update(
        sh=_shell_word, sh_quoted=_quoted_word, word=_plain_word, yaml=_yaml_documents, given_variable=_given_variable
    )
    made.tests["off"] = _is_off
    return made


def _only_quoted(value: object) -> object:
    if isinstance(value, _Quoted) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InternalError(f"rlc emit: a template writes {value!r} without a filter")


def _shell_word(value: object) -> str:
    if "\0" in str(value):
        raise InternalError("rlc emit: no word of a shell holds a zero byte")
    return _Quoted(shlex.quote(str(value)))


def _quoted_word(value: object) -> str:
    word = _shell_word(value)
    return word if word.startswith("'") else _Quoted(f"'{word}'")


def _plain_word(value: object) -> str:
    text = str(value)
    if not text or not _PLAIN.issuperset(text):
        raise InternalError(f"rlc emit: {text!r} is written where nothing can be quoted")
    return _Quoted(text)


def _given_variable(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise InternalError(f"rlc emit: {name!r} is no variable of a shell")
    return _Quoted(f'"${{{name}:?the job is handed this variable}}"')


def _yaml_documents(value: Sequence[object]) -> str:
    return _Quoted(yaml.dump_all(value, Dumper=_Dumper, sort_keys=False, width=10_000, explicit_start=True))


def _is_off(value: object) -> bool:
    return isinstance(value, Off)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines line by line."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else "'" if _is_no_text_elsewhere(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_no_text_elsewhere(text: str) -> bool:
    """Whether other readers take an unquoted text for a number or a truth value, though ours does not.

    Twelve digits of a hash with one e among them are a number to Go's reader, which kubectl has.
    """
    if text.lower() in ("y", "n"):
        return True
    try:
        float(text)
    except ValueError:
        return text[:2].lower() in ("0o", "0x", "0b")
    return True


_Dumper.add_representer(str, _write_text)
