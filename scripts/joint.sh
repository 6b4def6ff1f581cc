#!/usr/bin/env bash
# What a study expects of many cuts at once, held against the truth: of 50 random joint cuts that the law was not fitted to, the damage that is
# expected and the damage that is measured have to have a rank correlation (Spearman) of at least 0.8.
#   scripts/joint.sh MODEL DATA [SAMPLES] [flags of fettle sensitivity]
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1 data=$2 samples=${3:-256}
shift $(($# < 3 ? $# : 3))
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
f=${FETTLE:-$w/fettle}
[ -x "$f" ] || CGO_ENABLED=0 go build -o "$f" ./cmd/fettle
"$f" sensitivity "$model" --data "$data" --samples "$samples" --test 50 --keep 0.5 -q "$@" | tee "$w/said" | tail -6
awk '/^rank correlation/ { found = 1; if ($NF < 0.8) { print "below 0.8"; exit 1 } } END { if (!found) { print "no rank was told"; exit 1 } }' "$w/said"
