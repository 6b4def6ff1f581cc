#!/usr/bin/env bash
# Times our engine against ONNX Runtime and TensorFlow Lite with XNNPACK on the built-in networks: all are loaded, and take turns in short bursts.
# Prints a table in Markdown: the tenth percentile of each side, the ratios, above 1 where ours is faster, ours as a share of what the
# multipliers of so many cores give (direct multiply-adds, so that Winograd can pass 100 %), the time to load and the memory: ours is the peak of a
# fresh process with a prepared plan (cmd/fettle-load, float32), ONNX Runtime's what its process grew by from before the session to behind three runs.
#   scripts/bench.sh [-t THREADS] [-r ROUNDS] [-i ISA] [NETWORK[:int8|:fast] …]
# ":fast" lets ours err by 1e-5 of a layer's largest output (bf16 products on AMX); ONNX Runtime runs the same float32 file.
# FETTLE_BENCH and FETTLE_LOAD name built programs (a computer without Go; without the second there is no load of ours); without Node.js, Python's package onnxruntime is the peer.
# TensorFlow Lite is installed by scripts/tflite/install.sh where npm and gcc are; without it, and for networks that its format has no operators for, its
# columns are empty; XNNPACK alone is measured where Debian's libxnnpack-dev is. LITE names another program with the interface of scripts/tflite/peer.c.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
threads=1 rounds=8 isa=
while getopts t:r:i: o; do
  case $o in t) threads=$OPTARG ;; r) rounds=$OPTARG ;; i) isa=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- resnet50 mobilenetv2 squeezenet11 efficientnet-b0 efficientnet-lite0 resnet18 mobilenetv1 resnet20 yolov8n bert-mini \
  resnet50:int8 mobilenetv2:int8 squeezenet11:int8 efficientnet-b0:int8 efficientnet-lite0:int8 resnet20:int8 yolov8n:int8 bert-mini:int8
export ORT_DISABLE_TELEMETRY=1 NODE_PATH=$root/.cache/ort/node_modules
if [ -d "$NODE_PATH/onnxruntime-node" ]; then
  peer=(node "$root/scripts/ort/bench.js")
  version=$(node -p "require('onnxruntime-node/package.json').version")
elif version=$(python3 -c 'import onnxruntime; print(onnxruntime.__version__)' 2>/dev/null); then
  peer=(python3 "$root/scripts/ort/bench.py")
else
  echo "ONNX Runtime is not installed: run scripts/ort/install.sh" >&2
  exit 1
fi
# peers that run a .tflite file: name, program
declare -A lite=()
if [ -n "${LITE:-}" ]; then
  lite[tflite]=$LITE
elif "$root/scripts/tflite/install.sh" 2>/dev/null; then
  lite[tflite]=$root/.cache/tflite/peer
else
  echo "TensorFlow Lite is not measured: scripts/tflite/install.sh says why" >&2
fi
if [ -x "$root/.cache/tflite/xnn" ]; then lite[xnn]=$root/.cache/tflite/xnn; fi
versions=""
for p in "${!lite[@]}"; do versions="$versions, $p $("${lite[$p]}" -version)"; done
work=$(mktemp -d)
trap '' PIPE # a peer that refuses the file must not end this
trap 'rm -rf "$work"' EXIT
ours_bin=${FETTLE_BENCH:-$work/fettle-bench} load_bin=${FETTLE_LOAD:-}
if [ -z "${FETTLE_BENCH:-}" ]; then
  (cd "$root" && CGO_ENABLED=0 "${GO:-go}" build -o "$work" ./cmd/fettle-bench ./cmd/fettle-load)
  load_bin=$work/fettle-load
fi

# p10 FILE: tenth percentile of the numbers in FILE.
p10() { tr ' ' '\n' <"$1" | grep . | sort -n | awk '{v[NR]=$1} END {i=int((NR-1)/10)+1; print v[i]}'; }

# burst OUT PID FD COUNT: asks for COUNT runs and waits for the line of times in OUT.
burst() {
  local before
  before=$(wc -l <"$1")
  echo "$4" >&"$3" 2>/dev/null || return 1
  while [ "$(wc -l <"$1")" = "$before" ]; do
    kill -0 "$2" 2>/dev/null || return 1
    sleep 0.01
  done
}

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1)
flags=$(grep -m1 -E '^(flags|Features)' /proc/cpuinfo || true)
vector=""
for f in amx_int8 avx512_vnni avx512f avx2 asimddp asimd; do case " $flags " in *" $f "*) vector="$vector $f" ;; esac; done
echo "CPU: ${cpu:-unknown} (instructions:${vector:- none known}), $threads thread(s), ONNX Runtime $version$versions, $(date -u +%F)"
echo
echo "| network | type | ours, ms | ONNX Runtime, ms | ratio | TFLite, ms | ratio | XNNPACK, ms | ratio | of the peak | load, ms | ONNX Runtime | memory, MB | ONNX Runtime |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
for entry in "$@"; do
  name=${entry%%:*} type=float32 flag=
  case $entry in *:int8) type=int8 flag=-int8 ;; *:fast) type="float32, fast" flag=-fast ;; esac
  mkfifo "$work/ours.in" "$work/ort.in" "$work/tflite.in" "$work/xnn.in"
  : >"$work/ours.out" >"$work/ort.out" >"$work/tflite.out" >"$work/xnn.out"
  # shellcheck disable=SC2086
  "$ours_bin" -network "$name" $flag -threads "$threads" -isa "$isa" -write "$work/net.onnx" -tflite "$work/net.tflite" <"$work/ours.in" >"$work/ours.out" 2>"$work/ours.log" &
  ours=$!
  exec 3>"$work/ours.in"
  if ! burst "$work/ours.out" "$ours" 3 1; then
    echo "| $name | $type | failed: $(tail -n1 "$work/ours.log") | | | |"
    exec 3>&-; rm -f "$work"/*.in; continue
  fi
  # Bursts of about 150 ms, at least 4 runs.
  count=$(awk '{n=int(150/($1+0.01)); print (n<4 ? 4 : n>200 ? 200 : n)}' "$work/ours.out")
  "${peer[@]}" "$work/net.onnx" "$threads" <"$work/ort.in" >"$work/ort.out" 2>"$work/ort.log" &
  ort=$!
  exec 4>"$work/ort.in"
  declare -A pid=() fd=()
  for p in "${!lite[@]}"; do
    [ -f "$work/net.tflite" ] || continue
    "${lite[$p]}" "$work/net.tflite" "$threads" <"$work/$p.in" >"$work/$p.out" 2>"$work/$p.log" &
    pid[$p]=$!
    exec {f}>"$work/$p.in"
    fd[$p]=$f
  done
  failed=
  for _ in $(seq "$rounds"); do
    burst "$work/ours.out" "$ours" 3 "$count" || failed=ours
    burst "$work/ort.out" "$ort" 4 "$count" || { failed=ort; break; }
    for p in "${!pid[@]}"; do
      if ! burst "$work/$p.out" "${pid[$p]}" "${fd[$p]}" "$count"; then
        echo "$name $type: $p: $(tail -n1 "$work/$p.log")" >&2
        f=${fd[$p]}
        exec {f}>&-
        unset "pid[$p]" "fd[$p]"
      fi
    done
  done
  exec 3>&- 4>&-
  for f in "${fd[@]}"; do exec {f}>&-; done
  wait 2>/dev/null || true
  rm -f "$work"/*.in "$work/net.onnx" "$work/net.tflite"
  if [ -n "$failed" ]; then
    echo "| $name | $type | failed: $(tail -n1 "$work/$failed.log") | | | |"
    continue
  fi
  sed -i 1d "$work/ours.out"
  a=$(p10 "$work/ours.out") b=$(p10 "$work/ort.out")
  c=0 d=0
  if [ -n "${pid[tflite]:-}" ]; then c=$(p10 "$work/tflite.out"); fi
  if [ -n "${pid[xnn]:-}" ]; then d=$(p10 "$work/xnn.out"); fi
  share=$(awk -v a="$a" -v k="$threads" '$1=="macs" {m=$2} $1=="peak" && $2>p {p=$2} END {if (p) printf "%.0f %%", m/(a/1e3)/p/k*100}' "$work/ours.log")
  theirs=$(awk '$1=="load" {printf "%.0f %.0f", $2, $4}' "$work/ort.log")
  mine="– –"
  if [ -n "$load_bin" ] && [ "$type" = float32 ]; then
    mine=$("$load_bin" -network "$name" -threads "$threads" -count 3 | awk '/^load/ {l=$2} /peak of the process/ {match($0, /process [0-9.]+/); m=substr($0, RSTART+8, RLENGTH-8)} END {printf "%s %s", l, m}')
  fi
  awk -v n="$name" -v t="$type" -v a="$a" -v b="$b" -v c="$c" -v d="$d" -v s="$share" -v m="$mine" -v o="${theirs:-– –}" \
    'BEGIN {split(m, x, " "); split(o, y, " "); 
      c = c ? sprintf("%.3f | %.2f", c, c/a) : "– | –"; d = d ? sprintf("%.3f | %.2f", d, d/a) : "– | –"
      printf "| %s | %s | %.3f | %.3f | %.2f | %s | %s | %s | %s | %s | %s | %s |\n", n, t, a, b, b/a, c, d, s, x[1], y[1], x[2], y[2]}'
done
