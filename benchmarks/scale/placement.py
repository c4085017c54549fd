"""Sixty-four GPUs on eight nodes that Ray is told of, kept for a plan and given back, against eight GPUs on one node.

The nodes are raylets of this machine; no process is started on them, so what is timed is what Ray and `Places` do.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from importlib.metadata import version

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from runtime.executors.ray_cluster import Node, RayCluster
from runtime.executors.ray_placement import Places

NODES, GPUS = 8, 8
MOST_ROUNDS = 9
_PATIENCE_S = 300.0


def measure(options: Options) -> Report:
    """Start a cluster, keep its nodes and give them back in rounds, and end it."""
    begun = time.perf_counter()
    cluster = RayCluster.started([Node(GPUS, GPUS, {})] * NODES, patience_s=_PATIENCE_S)
    started_s = time.perf_counter() - begun
    all_of_them, one = f"{NODES} nodes", "1 node"
    try:
        contestants = [
            Contestant(name=all_of_them, run=lambda: _placed(NODES)),
            Contestant(name=one, run=lambda: _placed(1)),
        ]
        rounds = take_rounds(contestants, replace(options.effort, rounds=min(MOST_ROUNDS, options.effort.rounds)))
    finally:
        begun = time.perf_counter()
        cluster.close()
        ended_s = time.perf_counter() - begun
    placed_s = statistics.median(r.found[all_of_them]["kept_s"] for r in rounds.counted())
    released_s = statistics.median(r.found[all_of_them]["released_s"] for r in rounds.counted())
    figures = [
        Figure(name=f"{NODES * GPUS} GPUs kept", value=placed_s, unit="s"),
        Figure(name=f"{NODES * GPUS} GPUs given back", value=released_s, unit="s"),
        Figure(name=f"{all_of_them} / {one}", value=rounds.ratio(all_of_them, one, of="wall_s"), unit="x"),
        Figure(name="cluster started, once", value=started_s, unit="s"),
        Figure(name="cluster ended, once", value=ended_s, unit="s"),
    ]
    case = make_case(f"{NODES} nodes of {GPUS} GPUs", rounds, figures)
    return Report(benchmark="placement", cases=[case], settings={"ray": version("ray")})


def _placed(nodes: int) -> Measurement:
    begun = time.perf_counter()
    places = Places(nodes, cpus=GPUS, gpus=GPUS, patience_s=_PATIENCE_S)
    kept = time.perf_counter()
    places.release()
    ended = time.perf_counter()
    return {"wall_s": ended - begun, "kept_s": kept - begun, "released_s": ended - kept}
