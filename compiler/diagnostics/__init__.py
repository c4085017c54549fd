"""What goes wrong, where it stands in the spec, and how to mend it.  Imports nothing of ours."""
