"""Advantages of this case."""


def ranked(experience: object) -> object:
    """Compare with nothing."""
    return experience
