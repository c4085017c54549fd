"""One file for each of the rewards; the file's stem is its name in a spec."""
