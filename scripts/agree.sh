#!/usr/bin/env bash
# Five networks that nobody here trained, cut modestly with unlabelled samples: less work, fewer bytes and milliseconds, and how many decisions of the original the exported file
# keeps in ONNX Runtime on samples that nothing was fitted to; or the reason why nothing goes.
#   scripts/agree.sh [ROW ...]    rows: vww squeezenet ultraface silero magika; without one, all
# Networks and samples are those beside the repository. Photographs are split by picture, digits and documents by file; pictures of CIFAR-10 come from its two halves. FETTLE: a built program.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(realpath ../shared 2>/dev/null || true)
[[ -d $shared/data/models ]] || { echo "SKIP: there is no ../shared/data with networks and samples"; exit 0; }
scripts/ort/install.sh >/dev/null || { echo "SKIP: ONNX Runtime cannot be installed"; exit 0; }
export ORT_DISABLE_TELEMETRY=1 NODE_PATH=$PWD/.cache/ort/node_modules${NODE_PATH:+:$NODE_PATH}
node -e 'require("jpeg-js")' 2>/dev/null || npm install --silent --no-save --prefix .cache/ort jpeg-js@0.4.4 >/dev/null
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
export FETTLE_HOME=$w/home
f=${FETTLE:-$w/fettle}
[[ -x $f ]] || CGO_ENABLED=0 go build -o "$f" ./cmd/fettle
rows=("$@"); [[ $# -gt 0 ]] || rows=(vww squeezenet ultraface silero magika)

cifar() { # cifar train|test N: paths, as many of each class
  [[ -d $w/cifar/$1 ]] || { mkdir -p "$w/cifar"; tar -xzf "$shared"/data/cifar10-jpeg/"$1"-*.tar.gz -C "$w/cifar"; }
  for c in "$w/cifar/$1"/*/; do find "$c" -name '*.jpg' | sort | awk -v n="$2" 'NR <= n / 10'; done
}
photos() { find "$shared/data/ultraface-images" -name '*.jpg' | sort | awk -v r="$1" 'NR % 2 == r'; }
pictures() { # pictures NAME W H SCALE MEANS CHANNELS CROPS: samples in NAME/fit and NAME/judge
  local name=$1; shift
  for half in fit judge; do
    photos "$([[ $half == fit ]] && echo 1 || echo 0)" | xargs node scripts/agree.js pictures "$w/$name/$half" "$@"
  done
}
more() { # more NAME N_FIT N_JUDGE W H SCALE MEANS CHANNELS: pictures of CIFAR beside them
  local name=$1 fit=$2 judge=$3; shift 3
  cifar train "$fit" | xargs node scripts/agree.js pictures "$w/$name/fit" "$@" 1
  cifar test "$judge" | xargs node scripts/agree.js pictures "$w/$name/judge" "$@" 1
}
cut() { # cut NAME MODEL FIT JUDGE KIND <steps: prunes, and prints a line of the table or the reason
  local name=$1 m=$shared/data/models/$2 fit=$3 judge=$4 kind=$5 kept
  { printf 'schema = 1\nseed = 1\n[[step]]\npass = "eliminate-dead"\ninput_weights = "fix"\n[[step]]\npass = "fold-constants"\n[[step]]\npass = "fold-batchnorm"\n'; cat; } >"$w/r.toml"
  if ! "$f" optimize "$m" -r "$w/r.toml" --data "$fit" -o "$w/cut.onnx" --report "$w/cut.json" -q >"$w/said" 2>&1; then
    echo "| $name | refused: $(grep -E '^fettle:' "$w/said" | head -1) |"
    return
  fi
  grep -E ': refused: ' "$w/said" | sed "s/^ */  $name: /" >&2 || true
  kept=$(node scripts/quant/kept.js "$m" "$w/cut.onnx" "$judge" "$kind" | tail -1)
  node scripts/agree.js table "$name" "$m" "$w/cut.onnx" "$w/cut.json" "$kept"
}
prune() { printf '[[step]]\npass = "prune-channels"\n'; printf '%s\n' "$@"; }
learn() { printf '[[step]]\npass = "distill"\n'; printf '%s\n' "$@"; }

vww() {
  pictures vww 96 96 0.00392156862745098 0 rgb 16
  more vww 600 800 96 96 0.00392156862745098 0 rgb
  { prune 'ratio = 0.25' 'criterion = "obc"' 'samples = 256'; learn 'samples = 792' 'epochs = 12'; } | cut MobileNetV1-0.25 mlperf_tiny_vww_mobilenetv1_025_96.onnx "$w/vww/fit" "$w/vww/judge" largest
}
squeezenet() {
  pictures sq 227 227 1 104,117,123 bgr 16
  { prune 'ratio = 0.25' 'criterion = "l2"' 'multiple = 8' 'samples = 96'; learn 'epochs = 8' 'batch = 16' 'minutes = 6.0'; } | cut SqueezeNet squeezenet_v1_0_imagenet.onnx "$w/sq/fit" "$w/sq/judge" largest
}
ultraface() {
  pictures uf 320 240 0.0078125 127 rgb 8
  prune 'ratio = 0.25' 'criterion = "obc"' 'multiple = 8' 'samples = 32' | cut UltraFace ultraface_rfb_320.onnx "$w/uf/fit" "$w/uf/judge" face
}
silero() {
  mkdir -p "$w/fsdd"; tar -xzf "$shared"/data/fsdd/train-*.tar.gz -C "$w/fsdd"
  find "$w/fsdd" -name '*.wav' | sort | xargs node scripts/quant/samples.js windows "$w/sil" 77 600 >/dev/null
  prune 'ratio = 0.125' 'criterion = "obc"' 'samples = 256' | cut 'Silero VAD' silero_vad_16k_op15.onnx "$w/sil/a" "$w/sil/b" half
}
magika() { # no channels go; low rank does
  mkdir -p "$w/docs"; tar -xzf "$shared"/data/magika-testfiles/documents.tar.gz -C "$w/docs"
  { find "$w/docs" -type f | sort; git ls-files | awk -F/ '{ if (++n[$1] % 23 == 7) print }'; } | xargs node scripts/quant/samples.js tokens "$w/mag" >/dev/null
  prune 'ratio = 0.125' 'criterion = "l2"' 'samples = 16' | cut 'Magika, channels' magika_standard_v3_3.onnx "$w/mag/a" "$w/mag/b" largest
  printf '[[step]]\npass = "factorize"\nsamples = 32\n' | cut 'Magika, low rank' magika_standard_v3_3.onnx "$w/mag/a" "$w/mag/b" largest
}
echo '| network | multiply-adds | file | ms, in turns | decisions kept in ONNX Runtime |'
echo '|---|---|---|---|---|'
for r in "${rows[@]}"; do "$r"; done
