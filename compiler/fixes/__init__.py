"""The ways out that diagnostics offer, as edits of the text that a person wrote: what `rlc check --fix` applies."""
