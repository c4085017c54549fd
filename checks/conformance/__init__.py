"""A suite of Starlark programs, held against the interpreter of `compiler/frontend/starlark/`."""
