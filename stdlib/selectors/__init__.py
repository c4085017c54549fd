"""One file for each way to take groups out of a buffer; the file's stem is its name in a spec."""
