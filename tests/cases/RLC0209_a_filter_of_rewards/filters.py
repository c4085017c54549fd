"""Filters of this case."""


def keeps(rewards: object) -> bool:
    """Call its parameter by a name that says something else."""
    return bool(rewards)
