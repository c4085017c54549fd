#!/usr/bin/env bash
# Post a report as the comment of a pull request, in place of the one before: post.sh OWNER/REPOSITORY NUMBER FILE
set -euo pipefail
repository=$1 number=$2 file=$3

marker=$(head -n 1 "$file")
comment=$(MARKER=$marker gh api --paginate "repos/$repository/issues/$number/comments" \
    --jq '.[] | select(.body | startswith(env.MARKER)) | .id' | head -n 1)
if [ -n "$comment" ]; then
    gh api --silent --method PATCH "repos/$repository/issues/comments/$comment" --field "body=@$file"
else
    gh api --silent --method POST "repos/$repository/issues/$number/comments" --field "body=@$file"
fi
