#!/usr/bin/env bash
# Every group of channels of every network at hand, cut alone at a random ratio, and N joint selections, against the network with the cut channels
# multiplied by nothing, in ONNX Runtime: at most 1e-4 apart, or the test fails.
#   scripts/groups.sh [N] [FOLDER]     200 selections of the networks in ../shared/data/models
# The networks are folded first, as a recipe does. It takes minutes a network.
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-200} from=${2:-../shared/data/models}
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
scripts/ort/install.sh >/dev/null
CGO_ENABLED=0 go build -o "$w/fettle" ./cmd/fettle
printf 'schema = 1\nseed = 1\n[[step]]\npass = "eliminate-dead"\ninput_weights = "fix"\n[[step]]\npass = "fold-constants"\n' >"$w/fold.toml"
for m in "$from"/*.onnx; do
  "$w/fettle" optimize "$m" -r "$w/fold.toml" -o "$w/$(basename "$m")" -q >/dev/null
done
FETTLE_GROUPS=$n FETTLE_GROUPS_DIR=$w CGO_ENABLED=0 go test -run InONNXRuntime -count=1 -timeout 3h -v ./optimizer/prune
