"""The CPU target: everything in one process, for laptops, tests and as the oracle of the other engines."""
