"""Ray on machines of our own: every port fixed, so that a firewall can be told, and a store of objects of known size.

Ports of routers, trainers and engines (targets/launch/) lie below those of Ray's workers.  Names are the options of
`ray start` in Ray 2.60.
"""

from __future__ import annotations

from compiler.emit.artefacts._job import Job

GCS_PORT = 6379
DASHBOARD_PORT = 8265
CLIENT_PORT = 10001

# On every machine.
RAY_PORTS: tuple[tuple[str, int], ...] = (
    ("node-manager-port", 6380),
    ("object-manager-port", 6381),
    ("dashboard-agent-listen-port", 52365),
    ("dashboard-agent-grpc-port", 52366),
    ("runtime-env-agent-port", 52367),
    ("metrics-export-port", 8090),
    ("min-worker-port", 20000),
    ("max-worker-port", 29999),
)


def object_store_bytes(job: Job) -> int:
    """Return what Ray's store of objects takes of the shared memory: half, the rest is for collectives."""
    return job.shm_bytes // 2
