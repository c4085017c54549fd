# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: one machine of the job, inside of the container where there is one. Its argument is head or worker.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
role=${1:?head or worker}
export HF_HUB_OFFLINE=1
export MKL_NUM_THREADS=2
export OMP_NUM_THREADS=2
export TOKENIZERS_PARALLELISM=false
export TRANSFORMERS_OFFLINE=1
[[ $role == head ]]

# One request to stop, and only to the driver; a job that is cancelled tells it itself.
trap : TERM INT
rlc run "$here/plan.json" \
    --root /shared \
    --run-dir /shared/runs/quickstart &
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
