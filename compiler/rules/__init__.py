"""One file per rule: its docstring is the page that `rlc explain` prints, its `check` yields diagnostics.

A rule states what must hold; it never changes anything.  Files are found by scanning this folder, the code is unique
by test.
"""
