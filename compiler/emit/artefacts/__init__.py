"""What brings a plan to a cluster: one file for each artefact, with its templates in the folder beside it.

An artefact is a file of this folder with `emit(job)`, which yields files; the first line of its docstring is what
`rlc emit --list` says of it.  plan.json goes with every one of them.
"""
