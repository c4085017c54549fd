"""Kubernetes: a RayJob of KubeRay, with the plan in a ConfigMap, one pod on each machine and a volume claim for runs.

The head is on the first machine and has its GPUs too.  A job that fails begins again from its last checkpoint.  Needs
KubeRay 1.5.1 or later, for token authentication.  Source: KubeRay, RayJob of ray.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.emit.artefacts._job import Job, needs_ray
from compiler.emit.artefacts._ray import CLIENT_PORT, DASHBOARD_PORT, GCS_PORT, object_store_bytes
from compiler.emit.artefacts._rendering import EmittedFile, rendered
from compiler.ir.openness import Off

# What etcd takes in one object is 1.5 MiB; the API server refuses a ConfigMap above this.
LARGEST_CONFIG_MAP = 2**20
_PLACE = "/launch"
_USER = 10001
_Yaml = dict[str, object]


def emit(job: Job) -> Iterator[EmittedFile]:
    """Yield the manifest.  Raises: SpecError RLC0804 if the plan is larger than a ConfigMap may be."""
    needs_ray(job, "kubernetes")
    files = {"plan.json": job.plan.to_text(), "run.sh": rendered(job, "run.sh").text}
    size = sum(len(text.encode()) for text in files.values())
    if size > LARGEST_CONFIG_MAP:
        message = f"the plan has {size:,} bytes, and a ConfigMap of Kubernetes holds {LARGEST_CONFIG_MAP:,}"
        raise SpecError(Diagnostic("RLC0804", message, help=(Help("launch it by: rlc emit ray_job"),)))
    yield rendered(job, "rayjob.yaml", documents=[_config_map(job, files), _ray_job(job)])


def _metadata(job: Job) -> _Yaml:
    labels = {"app.kubernetes.io/managed-by": "rlc", "rlc/plan": job.short_hash}
    return {
        "name": job.slug,
        "namespace": job.launch.kubernetes.namespace,
        "labels": labels,
        "annotations": {"rlc/experiment": job.plan.experiment.name},
    }


def _config_map(job: Job, files: dict[str, str]) -> _Yaml:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(job), "data": files}


def _ray_job(job: Job) -> _Yaml:
    kubernetes, limit = job.launch.kubernetes, job.launch.time_limit_s
    deadline = {} if isinstance(limit, Off) else {"activeDeadlineSeconds": int(limit)}
    spec = {
        # The words of this command are put together by two programs on the way: it has none that needs quotes.
        "entrypoint": f"bash {_PLACE}/run.sh",
        "submissionMode": "K8sJobMode",
        "backoffLimit": kubernetes.retries,
        **deadline,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": kubernetes.ttl_s,
        "rayClusterSpec": _ray_cluster(job),
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": _metadata(job), "spec": spec}


def _ray_cluster(job: Job) -> _Yaml:
    ports = [("gcs", GCS_PORT), ("dashboard", DASHBOARD_PORT), ("client", CLIENT_PORT)]
    head = {"serviceType": "ClusterIP", "rayStartParams": _start(job), "template": _pod(job, ports)}
    further = job.nodes - 1
    workers = {
        "groupName": "machines",
        "replicas": further,
        "minReplicas": further,
        "maxReplicas": further,
        "rayStartParams": _start(job),
        "template": _pod(job, []),
    }
    return {
        "rayVersion": job.container.ray_version,
        "authOptions": {"mode": "token"},
        "headGroupSpec": head,
        **({"workerGroupSpecs": [workers]} if further else {}),
    }


def _start(job: Job) -> dict[str, str]:
    return {"num-gpus": str(job.gpus), "object-store-memory": str(object_store_bytes(job))}


def _pod(job: Job, ports: list[tuple[str, int]]) -> _Yaml:
    kubernetes, container = job.launch.kubernetes, job.container
    tolerated = (*((container.gpu_resource,) if container.gpu_resource else ()), *kubernetes.tolerations)
    groups = {"supplementalGroups": list(container.groups)} if container.groups else {}
    spec: _Yaml = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER, **groups},
        "containers": [_container(job, ports)],
        "volumes": _volumes(job),
        "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in tolerated],
        "nodeSelector": dict(label.split("=") for label in kubernetes.node_selector),
    }
    if isinstance(kubernetes.pull_secret, str):
        spec["imagePullSecrets"] = [{"name": kubernetes.pull_secret}]
    if isinstance(kubernetes.service_account, str):
        spec["serviceAccountName"] = kubernetes.service_account
    return {
        "metadata": {"labels": {"rlc/plan": job.short_hash}},
        "spec": {name: value for name, value in spec.items() if value not in ([], {})},
    }


def _container(job: Job, ports: list[tuple[str, int]]) -> _Yaml:
    secret = job.launch.kubernetes.secret
    # Ray's own mode of authentication is set by the operator, with its token.
    kept = (variable for variable in job.environment if variable.name != "RAY_AUTH_MODE")
    variables: list[_Yaml] = [{"name": variable.name, "value": variable.value} for variable in kept]
    variables.extend(
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name in job.launch.secrets
    )
    made: _Yaml = {
        "name": "ray",
        "image": job.image("kubernetes"),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "env": variables,
        "ports": [{"name": name, "containerPort": port} for name, port in ports],
        "resources": {"requests": _resources(job), "limits": _resources(job)},
        "volumeMounts": [{"name": name, "mountPath": path, **more} for name, path, more in _mounts(job)],
    }
    return {name: value for name, value in made.items() if value != []}


def _resources(job: Job) -> dict[str, str]:
    found: dict[str, str] = {}
    if not isinstance(job.cpus, Off):
        found["cpu"] = str(job.cpus)
    if not isinstance(job.launch.memory_per_node, Off):
        found["memory"] = str(job.launch.memory_per_node)
    if job.gpus:
        found[job.container.gpu_resource] = str(job.gpus)
    return found


def _mounts(job: Job) -> Iterator[tuple[str, str, dict[str, bool]]]:
    """Where volumes are seen: the name of the volume, the path, and whether it is read only."""
    yield "launch", _PLACE, {"readOnly": True}
    yield "shm", "/dev/shm", {}
    yield "shared", job.launch.shared_dir, {}
    for at, path in enumerate(_further(job)):
        yield f"mount-{at}", path, {}


def _volumes(job: Job) -> list[_Yaml]:
    further: list[_Yaml] = [
        {"name": f"mount-{at}", "hostPath": {"path": path, "type": "Directory"}}
        for at, path in enumerate(_further(job))
    ]
    own: list[_Yaml] = [
        {"name": "launch", "configMap": {"name": job.slug}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(job.shm_bytes)}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": job.launch.kubernetes.claim}},
    ]
    return own + further


def _further(job: Job) -> tuple[str, ...]:
    """Folders of a machine that are not below the shared one."""
    shared = job.launch.shared_dir.rstrip("/") + "/"
    return tuple(path for path in job.mounts if not f"{path.rstrip('/')}/".startswith(shared))
