"""Rows: how quickly they are read, and whether a step waits for them."""
