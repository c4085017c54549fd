"""Specs laid out in one way: what `rlc fmt` writes.

Both syntaxes are laid out from their tokens, so that whatever a person wrote which is no layout stays as it is.
"""
