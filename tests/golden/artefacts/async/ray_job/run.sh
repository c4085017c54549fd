# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: what the driver runs. A run directory that has begun goes on.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export CUBLAS_WORKSPACE_CONFIG=:4096:8
export CUDA_DEVICE_MAX_CONNECTIONS=1
export HF_HUB_OFFLINE=1
export TOKENIZERS_PARALLELISM=false
export TRANSFORMERS_OFFLINE=1
export RAY_USAGE_STATS_ENABLED=0

exec rlc run "$here/plan.json" \
    --root /shared \
    --run-dir /shared/runs/grpo-qwen3-8b-async
