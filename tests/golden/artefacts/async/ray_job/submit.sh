# rewritten by: python -m pytest --update-golden
#!/usr/bin/env bash
# written by rlc emit: submits the plan to the Ray whose head is this machine, follows it, and ends with 1 if it fails.
#
# The job is called grpo-qwen3-8b-async-HASHHASH. Submitted once more after an end, it goes on from the last checkpoint:
# ./submit.sh ANOTHER_NAME
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export RAY_AUTH_MODE=token
exec ray job submit \
    --address="${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}" \
    --submission-id="${1:-grpo-qwen3-8b-async-HASHHASH}" \
    --working-dir="$here" \
    --runtime-env="$here/runtime_env.yaml" \
    -- bash run.sh
