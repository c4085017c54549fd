"""What KubeRay's RayJob takes of the keys that rlc emit writes: a subset, in which any other key is a fault.

Facts of KubeRay 1.5 (`ray-operator/apis/ray/v1/rayjob_types.go`, `raycluster_types.go`: names, types, which are
required, enumerations) and of Kubernetes' core/v1 (Pod, ConfigMap) as its API reference lists them.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_ID = {"type": "integer", "minimum": 0}
_YES_OR_NO = {"type": "boolean"}
_QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[mkMGTPE])?$"}
_DNS_LABEL = {"type": "string", "pattern": r"^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
_LABELS = {
    "type": "object",
    "propertyNames": {"pattern": r"^([a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9_.-]*$"},
    "additionalProperties": {"type": "string", "pattern": r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"},
}


def _object(*, required: tuple[str, ...] = (), **properties: object) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {name.rstrip("_"): value for name, value in properties.items()},
    }


def _list(of: object) -> dict[str, Any]:
    return {"type": "array", "items": of}


_NAMED = _object(required=("name",), name=_TEXT)
# KubeRay adds suffixes to the name of a RayJob, and refuses one of more than 47 characters.
_METADATA = _object(
    required=("name",),
    name={**_DNS_LABEL, "maxLength": 47},
    namespace=_DNS_LABEL,
    labels=_LABELS,
    annotations=_TEXTS,
)
_VARIABLE = _object(
    required=("name",),
    name={"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*$"},
    value={"type": "string"},
    valueFrom=_object(secretKeyRef=_object(required=("name", "key"), name=_TEXT, key=_TEXT)),
)
_CONTAINER = _object(
    required=("name", "image"),
    name=_DNS_LABEL,
    image=_TEXT,
    securityContext=_object(allowPrivilegeEscalation=_YES_OR_NO, capabilities=_object(drop=_list(_TEXT))),
    env=_list(_VARIABLE),
    ports=_list(_object(required=("containerPort",), name=_DNS_LABEL, containerPort=_COUNT)),
    resources=_object(
        requests={"type": "object", "additionalProperties": _QUANTITY},
        limits={"type": "object", "additionalProperties": _QUANTITY},
    ),
    volumeMounts=_list(
        _object(required=("name", "mountPath"), name=_DNS_LABEL, mountPath=_TEXT, readOnly=_YES_OR_NO),
    ),
)
_VOLUME = _object(
    required=("name",),
    name=_DNS_LABEL,
    configMap=_NAMED,
    emptyDir=_object(medium={"enum": ["", "Memory"]}, sizeLimit=_QUANTITY),
    persistentVolumeClaim=_object(required=("claimName",), claimName=_TEXT),
    hostPath=_object(required=("path",), path=_TEXT, type={"enum": ["", "Directory", "DirectoryOrCreate"]}),
)
_POD = _object(
    required=("spec",),
    metadata=_object(labels=_LABELS),
    spec=_object(
        required=("containers",),
        restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
        automountServiceAccountToken=_YES_OR_NO,
        serviceAccountName=_TEXT,
        securityContext=_object(
            runAsNonRoot=_YES_OR_NO, runAsUser=_ID, runAsGroup=_ID, fsGroup=_ID, supplementalGroups=_list(_ID)
        ),
        containers={**_list(_CONTAINER), "minItems": 1},
        volumes=_list(_VOLUME),
        tolerations=_list(
            _object(
                key=_TEXT,
                operator={"enum": ["Exists", "Equal"]},
                effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            )
        ),
        nodeSelector=_LABELS,
        imagePullSecrets=_list(_NAMED),
    ),
)
_WORKERS = _object(
    required=("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
    groupName=_DNS_LABEL,
    replicas=_COUNT,
    minReplicas=_COUNT,
    maxReplicas=_COUNT,
    rayStartParams=_TEXTS,
    template=_POD,
)
_CLUSTER = _object(
    required=("headGroupSpec",),
    rayVersion=_TEXT,
    authOptions=_object(mode={"enum": ["token", "disabled"]}),
    headGroupSpec=_object(
        required=("template", "rayStartParams"),
        serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        rayStartParams=_TEXTS,
        template=_POD,
    ),
    workerGroupSpecs=_list(_WORKERS),
)

RAY_JOB = _object(
    required=("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=_METADATA,
    spec=_object(
        entrypoint=_TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        backoffLimit=_COUNT,
        activeDeadlineSeconds={**_COUNT, "minimum": 1},
        shutdownAfterJobFinishes=_YES_OR_NO,
        ttlSecondsAfterFinished=_COUNT,
        rayClusterSpec=_CLUSTER,
    ),
)
CONFIG_MAP = _object(
    required=("apiVersion", "kind", "metadata"),
    apiVersion={"const": "v1"},
    kind={"const": "ConfigMap"},
    metadata=_METADATA,
    data={
        "type": "object",
        "propertyNames": {"pattern": r"^[-._a-zA-Z0-9]+$"},
        "additionalProperties": {"type": "string"},
    },
)
