#!/usr/bin/env bash
# Does a choice of our own of how many channels of each group go beat the same share of every group, at equal multiply-adds?
#   scripts/uneven.sh MODEL TRAIN TEST ["1 2 3"] [RUNS]
# MODEL: a CIFAR-10 classifier; TRAIN, TEST: folders of classes with .jpg. Draws are disjoint: 104 pictures a class each, SAMPLES (256) of which the study takes and as many more judge. In each draw the choice is
# made on that draw alone, both recipes are fitted in closed form on it, and the exported files are scored in ONNX Runtime on 5,000 pictures of TEST.
# A choice wins if the mean difference over draws is larger than its 95 % interval over pictures. The protocol is in docs/search.md.
# What is done lies in UNEVEN_DIR, else in .cache/uneven: the same command goes on where a stopped one was, with the program that it began with.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1 train=$2 test=$3 draws=${4:-1 2 3} runs=${5:-40}
w=${UNEVEN_DIR:-$PWD/.cache/uneven/$(basename "$model" .onnx)}
mkdir -p "$w"
scripts/ort/install.sh >/dev/null
export ORT_DISABLE_TELEMETRY=1 NODE_PATH=$PWD/.cache/ort/node_modules${NODE_PATH:+:$NODE_PATH}
node -e 'require("jpeg-js")' 2>/dev/null || npm install --silent --no-save --prefix .cache/ort jpeg-js@0.4.4 >/dev/null
node -e 'require("jpeg-js"); require("onnxruntime-node")' # now, not after an hour of runs
f=${FETTLE:-$w/fettle}
[ -x "$f" ] || CGO_ENABLED=0 go build -o "$f" ./cmd/fettle
printf 'size = [32, 32]\nresize = "none"\ncrop = "none"\ncolour = "rgb"\nscale = 0.00392156862745098\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n' >"$w/pre.toml"
head='schema = 1\nseed = 1\n[[step]]\npass = "eliminate-dead"\ninput_weights = "fix"\n[[step]]\npass = "fold-constants"\n'
printf "$head" >"$w/fold.toml"
printf "$head"'[[step]]\npass = "prune-channels"\nratio = 0.5\ncriterion = "obc"\nsamples = 256\nslower = "keep"\n' >"$w/even.toml"
[ -s "$w/folded.onnx" ] || "$f" optimize "$model" -r "$w/fold.toml" -o "$w/folded.onnx" -q
macs() { "$f" inspect "$1" --json | node -e 'console.log(JSON.parse(require("fs").readFileSync(0)).macs)'; }
as= bs=
for d in $draws; do
  data=$w/draw$d
  if [ ! -d "$data" ]; then
    rm -rf "$data.part"
    for c in "$train"/*/; do
      mkdir -p "$data.part/$(basename "$c")"
      ls "$c" | sort | awk -v d="$d" 'NR > (d - 1) * 104 && NR <= d * 104' | while read -r p; do cp "$c/$p" "$data.part/$(basename "$c")/"; done
    done
    mv "$data.part" "$data"
  fi
  [ -s "$w/even$d.onnx" ] || "$f" optimize "$w/folded.onnx" -r "$w/even.toml" --data "$data" --preprocess "$w/pre.toml" -o "$w/even$d.onnx" -q
  keep=$(node -e "console.log(($(macs "$w/even$d.onnx") + 1) / $(macs "$w/folded.onnx"))")
  if [ ! -s "$w/own$d.toml" ]; then
    "$f" sensitivity "$w/folded.onnx" --data "$data" --preprocess "$w/pre.toml" --samples "${SAMPLES:-256}" --tier 2 --keep "$keep" --refine "$runs" -o "$w/part.toml" -q | tail -3 >"$w/own$d.txt"
    sed 's/^samples = .*/samples = 256\nslower = "keep"/' "$w/part.toml" >"$w/part2.toml"
    mv "$w/part2.toml" "$w/own$d.toml"
  fi
  if [ ! -s "$w/own$d.onnx" ]; then
    "$f" optimize "$w/folded.onnx" -r "$w/own$d.toml" --data "$data" --preprocess "$w/pre.toml" -o "$w/own$d.onnx" -q
  fi
  cat "$w/own$d.txt"
  echo "draw $d: even $(macs "$w/even$d.onnx") multiply-adds, own $(macs "$w/own$d.onnx")"
  as=$as,$w/even$d.onnx bs=$bs,$w/own$d.onnx
done
node scripts/paired-accuracy.js "${as#,}" "${bs#,}" "$test" 5000
