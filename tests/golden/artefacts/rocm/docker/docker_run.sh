# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: runs the plan in a container of this machine. A run directory that has begun goes on.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
flags=(
    --rm --init --name grpo-llama3-8b-HASHHASH
    --user "$(id -u):$(id -g)" --env HOME=/tmp --env USER=rlc
    --stop-timeout 600
    --ipc=host
    --device=/dev/kfd
    --device=/dev/dri
    --group-add=video
    --security-opt=seccomp=unconfined
    --ulimit=memlock=-1
    --ulimit=stack=67108864
    --env CUDA_DEVICE_MAX_CONNECTIONS=1
    --env HF_HUB_OFFLINE=1
    --env HIP_FORCE_DEV_KERNARG=1
    --env HSA_NO_SCRATCH_RECLAIM=1
    --env NCCL_MIN_NCHANNELS=112
    --env RAY_EXPERIMENTAL_NOSET_HIP_VISIBLE_DEVICES=1
    --env TOKENIZERS_PARALLELISM=false
    --env TRANSFORMERS_OFFLINE=1
    --env RAY_USAGE_STATS_ENABLED=0
    --mount "type=bind,source=$here,target=/launch,readonly"
    --mount 'type=bind,source=/shared,target=/shared'
)
exec docker run "${flags[@]}" registry.example.com/rlc:1 \
    rlc run /launch/plan.json \
    --root /shared \
    --run-dir /shared/runs/grpo-llama3-8b
