"""One file for each filter of groups; the file's stem is its name in a spec."""
