#!/usr/bin/env bash
# Our time of every layer of a built-in network beside that of ONNX Runtime's own profile, one thread, as a table in Markdown, the worst
# ratio first. Both engines run twice, in turns; the lesser time counts. Nodes that ONNX Runtime fused stand with the layer whose value they make.
#   scripts/layers.sh [NETWORK]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
net=${1:-resnet50}
export ORT_DISABLE_TELEMETRY=1 NODE_PATH=$root/.cache/ort/node_modules
[ -d "$NODE_PATH/onnxruntime-node" ] || { echo "ONNX Runtime is not installed: run scripts/ort/install.sh" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && CGO_ENABLED=0 "${GO:-go}" build -o "$work/fettle-bench" ./cmd/fettle-bench)
for _ in 1 2; do
  "$work/fettle-bench" -network "$net" -write "$work/net.onnx" -steps 2>/dev/null >>"$work/ours"
  node "$root/scripts/ort/layers.js" "$work/net.onnx" >>"$work/theirs"
done
echo "| layer | kernel | GFLOP/s | ours, ms | ONNX Runtime, ms | ratio |"
echo "|---|---|---|---|---|---|"
awk '
  NR==FNR {n=$3; sub(/_nchwc$/, "", n); if (!(n in t) || $1<t[n]) t[n]=$1; next}
  /=/ {v=$NF; sub(/^=/, "", v); g=""; for (i=1; i<=NF; i++) if ($i=="GFLOP/s") g=$(i-1)
    if (!(v in o) || $1<o[v]) {o[v]=$1; name[v]=$5; kernel[v]=$7; rate[v]=g}}
  END {for (v in o) if (v in t) printf "%.3f\t| %s | %s | %s | %.3f | %.3f | %.2f |\n", t[v]/o[v], name[v], kernel[v], rate[v], o[v], t[v], t[v]/o[v]}
' "$work/theirs" "$work/ours" | sort -n | cut -f2-
