# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: runs the plan in a container of this machine. A run directory that has begun goes on.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
flags=(
    --rm --init --name grpo-qwen3-4b-HASHHASH
    --user "$(id -u):$(id -g)" --env HOME=/tmp --env USER=rlc
    --stop-timeout 600
    --ipc=private
    --shm-size=68719476736
    --gpus=all
    --ulimit=memlock=-1
    --ulimit=stack=67108864
    --env CUBLAS_WORKSPACE_CONFIG=:4096:8
    --env CUDA_DEVICE_MAX_CONNECTIONS=1
    --env HF_HUB_OFFLINE=1
    --env TOKENIZERS_PARALLELISM=false
    --env TRANSFORMERS_OFFLINE=1
    --env RAY_USAGE_STATS_ENABLED=0
    --mount "type=bind,source=$here,target=/launch,readonly"
    --mount 'type=bind,source=/shared,target=/shared'
)
exec docker run "${flags[@]}" registry.example.com/rlc:1 \
    rlc run /launch/plan.json \
    --root /shared \
    --run-dir /shared/runs/grpo-qwen3-4b
