"""Tokens fit the vocabulary.

What: a tokenizer that is described in the spec has no more tokens than the embedding table has rows, and its alphabet
names each character once.
Why it matters: the first token beyond the table is an index error on a CPU and a silent fault on some accelerators.
Example: an alphabet of 60 characters with `model.vocab_size = 52`.
Fix: give the embedding table a row for each token; ids 0 to 3 are special.
Source: CFG-07, the part that needs no file of a tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import fix

CODE = "RLC0319"
ID = "CFG-07"
_VOCAB, _KIND, _ALPHABET = "model.vocab_size", "model.tokenizer.kind", "model.tokenizer.alphabet"

# Those of the tokenizers in runtime/data; a contract test holds that they agree.
SPECIAL_CHARACTERS = 4
BYTE_TOKENS = 258


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report more tokens than rows, and characters that have two tokens."""
    tokenizer, rows = subject.experiment.model.tokenizer, subject.experiment.model.vocab_size
    if tokenizer.kind == "bytes" and rows < BYTE_TOKENS:
        yield _too_many(subject, BYTE_TOKENS, rows, (_KIND, f"256 bytes and {BYTE_TOKENS - 256} special tokens"))
    if tokenizer.kind != "characters" or not isinstance(tokenizer.alphabet, str):
        return
    alphabet = tokenizer.alphabet
    twice = sorted({c for c in alphabet if alphabet.count(c) > 1})
    if twice:
        once = "".join(dict.fromkeys(alphabet))
        yield Diagnostic(
            CODE,
            f"the alphabet holds {', '.join(map(repr, twice))} more than once",
            subject.labels((_ALPHABET, "a character has one token")),
            alternatives(fix(_ALPHABET, once)),
            rule=ID,
            paths=(_ALPHABET,),
        )
    elif len(alphabet) + SPECIAL_CHARACTERS > rows:
        said = (_ALPHABET, f"{len(alphabet):,} characters and {SPECIAL_CHARACTERS} special tokens")
        yield _too_many(subject, len(alphabet) + SPECIAL_CHARACTERS, rows, said)


def _too_many(subject: Subject, tokens: int, rows: int, said: tuple[str, str]) -> Diagnostic:
    ways: tuple[Help, ...] = alternatives(fix(_VOCAB, tokens))
    labels = subject.labels((_VOCAB, f"{rows:,} rows"), said)
    message = f"the tokenizer has {tokens:,} tokens, the embedding table {rows:,} rows"
    return Diagnostic(CODE, message, labels, ways, rule=ID, paths=(_VOCAB, said[0]))
