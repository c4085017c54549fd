"""One file for each of the algorithms; the file's stem is its name in a spec."""
