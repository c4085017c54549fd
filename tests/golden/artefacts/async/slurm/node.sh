# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: one machine of the job, inside of the container where there is one. Its argument is head or worker.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
role=${1:?head or worker}
export CUBLAS_WORKSPACE_CONFIG=:4096:8
export CUDA_DEVICE_MAX_CONNECTIONS=1
export HF_HUB_OFFLINE=1
export TOKENIZERS_PARALLELISM=false
export TRANSFORMERS_OFFLINE=1
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token
head=${RLC_HEAD_ADDRESS:?the address of the first machine}
: "${RAY_AUTH_TOKEN:?the token of this Ray}"
flags=(
    --node-manager-port=6380
    --object-manager-port=6381
    --dashboard-agent-listen-port=52365
    --dashboard-agent-grpc-port=52366
    --runtime-env-agent-port=52367
    --metrics-export-port=8090
    --min-worker-port=20000
    --max-worker-port=29999
    --num-gpus=8
    --object-store-memory=34359738368
    --disable-usage-stats
)

if [[ $role == worker ]]; then
    # The head may begin after this machine.
    for _ in {1..60}; do
        if (exec 3<>"/dev/tcp/$head/6379") 2>/dev/null; then
            exec ray start --address="$head:6379" --block "${flags[@]}"
        fi
        sleep 5
    done
    printf 'node.sh: no Ray at %s:6379 within 300 s\n' "$head" >&2
    exit 1
fi

ray start --head --node-ip-address="$head" --port=6379 --ray-client-server-port=10001 \
    --dashboard-host=127.0.0.1 --dashboard-port=8265 "${flags[@]}"
export RAY_ADDRESS="$head:6379"
python3 - 2 <<'END'
import sys
import time

import ray

wanted, until = int(sys.argv[1]), time.monotonic() + 600
ray.init(address="auto", log_to_driver=False)
while (there := sum(node["Alive"] for node in ray.nodes())) < wanted:
    if time.monotonic() > until:
        sys.exit(f"node.sh: {there} of {wanted} machines joined Ray within 600 s")
    time.sleep(2)
END

# One request to stop, and only to the driver; a job that is cancelled tells it itself.
trap : TERM INT
rlc run "$here/plan.json" \
    --root /shared \
    --run-dir /shared/runs/grpo-qwen3-8b-async &
driver=$!
while kill -0 "$driver" 2>/dev/null; do
    if [[ -n ${RLC_STOP_FILE:-} && -e $RLC_STOP_FILE ]]; then
        rm -f -- "$RLC_STOP_FILE"
        kill -TERM "$driver" 2>/dev/null || true
    fi
    sleep 1 || true
done
code=0
wait "$driver" || code=$?
exit "$code"
