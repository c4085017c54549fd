# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: starts Ray 2.60.0 on one machine.
#
# On the first of 2 machines: ./start_ray.sh head ADDRESS
# On the others:          ./start_ray.sh worker ADDRESS HEAD_ADDRESS
# Addresses are private ones of the machines. `ray stop` ends it.
set -euo pipefail

usage='usage: start_ray.sh head ADDRESS | start_ray.sh worker ADDRESS HEAD_ADDRESS'
role=${1:?$usage}
address=${2:?$usage}
case $address in
127.* | 10.* | 192.168.* | 172.1[6-9].* | 172.2[0-9].* | 172.3[01].*) ;;
*)
    printf 'start_ray.sh: %s is no private address: Ray is not to be reached from outside\n' "$address" >&2
    exit 2
    ;;
esac
if [[ -z ${RAY_AUTH_TOKEN:-} && -z ${RAY_AUTH_TOKEN_PATH:-} && ! -s ~/.ray/auth_token ]]; then
    printf 'start_ray.sh: no token: make one by ray get-auth-token --generate, and give every machine the same file\n' >&2
    exit 2
fi
export CUBLAS_WORKSPACE_CONFIG=:4096:8
export CUDA_DEVICE_MAX_CONNECTIONS=1
export HF_HUB_OFFLINE=1
export TOKENIZERS_PARALLELISM=false
export TRANSFORMERS_OFFLINE=1
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token

flags=(
    --node-ip-address="$address"
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
case $role in
head)
    exec ray start --head --port=6379 --ray-client-server-port=10001 \
        --dashboard-host=127.0.0.1 --dashboard-port=8265 "${flags[@]}"
    ;;
worker)
    exec ray start --address="${3:?$usage}:6379" "${flags[@]}"
    ;;
*)
    printf '%s\n' "$usage" >&2
    exit 2
    ;;
esac
