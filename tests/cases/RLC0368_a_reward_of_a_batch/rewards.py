"""Rewards of this case."""


def ranked(batch: object) -> object:
    """Judge all groups at once."""
    return batch
