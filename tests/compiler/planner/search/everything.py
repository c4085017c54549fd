"""Every candidate of a problem, one by one."""

from __future__ import annotations

from compiler.planner.search.problem import Candidate, Problem
from compiler.planner.search.space import engines, groups_of_layers, layouts, levels, recomputations, shardings, sides


def everything(found: Problem) -> list[Candidate]:
    """Return all that a search may choose, whether it fits or not."""
    return [
        Candidate(*side, each, one._replace(vpp=vpp), again, level, way, sharding)
        for side in sides(found)
        for one in layouts(found, side[1])
        for vpp in groups_of_layers(found, one)
        for each, way in engines(found, side[2])
        for again in recomputations(found)
        for sharding in shardings(found, one)
        for level in range(levels(found, one._replace(vpp=vpp)))
    ]
