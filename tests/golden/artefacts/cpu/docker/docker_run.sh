# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: runs the plan in a container of this machine. A run directory that has begun goes on.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
flags=(
    --rm --init --name quickstart-HASHHASH
    --user "$(id -u):$(id -g)" --env HOME=/tmp --env USER=rlc
    --stop-timeout 600
    --ipc=private
    --shm-size=2147483648
    --cpus=2
    --env HF_HUB_OFFLINE=1
    --env MKL_NUM_THREADS=2
    --env OMP_NUM_THREADS=2
    --env TOKENIZERS_PARALLELISM=false
    --env TRANSFORMERS_OFFLINE=1
    --mount "type=bind,source=$here,target=/launch,readonly"
    --mount 'type=bind,source=/shared,target=/shared'
)
exec docker run "${flags[@]}" rlc-cpu \
    rlc run /launch/plan.json \
    --root /shared \
    --run-dir /shared/runs/quickstart
