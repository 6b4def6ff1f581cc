#!/usr/bin/env bash
# Finds kernels that became slower: times two commits of this program against each other, in turns, on the built-in networks.
#   scripts/bench-commits.sh [-t THREADS] [-r ROUNDS] BASE [NETWORK[:int8] …]
# BASE is a commit; the other side is the working tree. Prints a table: the least tenth percentile of each side over the rounds, their ratio
# (above 1: this tree is faster), and every step that takes 10 % and 20 microseconds more than in BASE, by the least of the rounds.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
threads=1 rounds=5
while getopts t:r: o; do
  case $o in t) threads=$OPTARG ;; r) rounds=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
base=${1:?which commit}
shift
[ $# -gt 0 ] || set -- resnet50 mobilenetv2 squeezenet11 efficientnet-b0 resnet20 yolov8n bert-mini resnet50:int8 mobilenetv2:int8 resnet20:int8 yolov8n:int8 bert-mini:int8
work=$(mktemp -d)
trap 'git -C "$root" worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
git -C "$root" worktree add --quiet --detach "$work/tree" "$base"
(cd "$work/tree" && CGO_ENABLED=0 "${GO:-go}" build -o "$work/base" ./cmd/fettle-bench)
(cd "$root" && CGO_ENABLED=0 "${GO:-go}" build -o "$work/this" ./cmd/fettle-bench)

# times SIDE NETWORK FLAG: the tenth percentile of about 150 ms of runs, after as many that are not counted.
times() {
  local one
  one=$(echo 3 | "$work/$1" -network "$2" $3 -threads "$threads" 2>/dev/null | tr ' ' '\n' | grep . | sort -n | head -n1)
  local count
  count=$(awk -v t="$one" 'BEGIN {n=int(150/(t+0.01)); print (n<4 ? 4 : n>200 ? 200 : n)}')
  printf '%s\n%s\n' "$count" "$count" | "$work/$1" -network "$2" $3 -threads "$threads" 2>/dev/null | tail -n1 |
    tr ' ' '\n' | grep . | sort -n | awk '{v[NR]=$1} END {print v[int((NR-1)/10)+1]}'
}

echo "$(git -C "$root" rev-parse --short "$base") against this tree, $threads thread(s), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1), $(date -u +%F)"
echo
echo "| network | type | base, ms | this, ms | ratio | steps that became slower: base, this, ms |"
echo "|---|---|---|---|---|---|"
for entry in "$@"; do
  name=${entry%%:*} type=float32 flag=
  case $entry in *:int8) type=int8 flag=-int8 ;; esac
  : >"$work/times"
  : >"$work/steps"
  for _ in $(seq "$rounds"); do
    for side in base this; do
      echo "$side $(times "$side" "$name" "$flag")" >>"$work/times"
      "$work/$side" -network "$name" $flag -threads "$threads" -steps 2>/dev/null |
        awk -v s="$side" '$2 == "ms" && $4 == "%" && $5 != "in" && NF > 7 {print s, $5, $1, $7}' >>"$work/steps"
    done
  done
  slower=$(awk '{k=$2; if (!(($1, k) in t) || $3 < t[$1, k]) t[$1, k]=$3; n[k]=$4} END {
    for (k in n) {a=t["base", k]; b=t["this", k]; if (a > 0 && b > 1.1*a && b-a > 0.02) printf "%s (%s) %.3f %.3f; ", k, n[k], a, b}}' "$work/steps")
  awk -v n="$name" -v t="$type" -v l="$slower" '{if (!($1 in m) || $2 < m[$1]) m[$1]=$2} END {
    printf "| %s | %s | %.3f | %.3f | %.2f | %s |\n", n, t, m["base"], m["this"], m["base"]/m["this"], l}' "$work/times"
done
