"""Rewards of this case."""


def near(sample: object) -> float:
    """Return a reward that does not matter here."""
    return float(sample is not None)


def two(sample: object, label: str) -> float:
    """Take one argument too many."""
    return float(sample is not None and label != "")


def answer(text: str) -> float:
    """Call its parameter by a name that says nothing."""
    return float(text != "")
