#!/usr/bin/env bash
# check-quant.sh - the bars of quantization, on the networks and data beside the repository, scored in ONNX Runtime on the exported files.
#   scripts/check-quant.sh [ROW ...]    rows: cifar layers seconds scaled integers vww faces silero magika bad; without one, all (half an hour of two quiet cores)
#   N=5000 scripts/check-quant.sh cifar scores more test pictures than 1,000; NET=resnet56_cifar10 takes another network; FETTLE=FILE is a
#   program that was built before, so that a quiet run compiles nothing (but in the rows integers and scaled, which are tests)
# Each row prints its figures. Samples that judge are never those that calibrate.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(realpath ../shared 2>/dev/null || true)
[[ -d $shared/data/models ]] || { echo "SKIP: there is no ../shared/data with networks and samples"; exit 0; }
scripts/ort/install.sh >/dev/null || { echo "SKIP: ONNX Runtime cannot be installed"; exit 0; }
export ORT_DISABLE_TELEMETRY=1 CGO_ENABLED=0
export NODE_PATH=$PWD/.cache/ort/node_modules${NODE_PATH:+:$NODE_PATH}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export FETTLE_HOME=$work/home
[[ -n ${FETTLE:-} ]] || { FETTLE=$work/fettle; go build -o "$FETTLE" ./cmd/fettle; }
fettle() { "$FETTLE" "$@"; }
models=$shared/data/models n=${N:-1000} net=${NET:-resnet20_cifar10}
rows=("$@"); [[ $# -gt 0 ]] || rows=(bad integers scaled cifar layers seconds vww faces silero magika)

pictures() { # train|test of CIFAR
	[[ -d $work/cifar/$1 ]] || { mkdir -p "$work/cifar"; tar -xzf "$shared"/data/cifar10-jpeg/"$1"-*.tar.gz -C "$work/cifar"; }
	echo "$work/cifar/$1"
}
block() { # size, mean, std, scale: a preprocessing file
	printf 'size = %s\nresize = "bilinear"\ncrop = "none"\ncolour = "rgb"\nscale = %s\nmean = %s\nstd = %s\n' "$@"
}
recipe() { # of passes; options of quantize on standard input
	printf 'schema = 1\nseed = 3\n'
	for p in "$@"; do printf '[[step]]\npass = "%s"\n' "$p"; done
	cat
}
score() { # CIFAR, in ONNX Runtime; the script needs jpeg-js
	[[ -d .cache/ort/node_modules/jpeg-js || -d ${CHECK_CACHE:-/nowhere}/ort/node_modules/jpeg-js ]] || npm install --silent --no-save --prefix .cache/ort jpeg-js@0.4.4 >/dev/null
	NODE_PATH=$NODE_PATH:${CHECK_CACHE:-/nowhere}/ort/node_modules node "$shared/check/score-cifar.js" "$1" "$(pictures test)" "$n"
}
halves() { # of the pictures with faces, one after the other into a and b of a folder
	mkdir -p "$work/$1/a" "$work/$1/b"
	local f k=0
	for f in "$shared"/data/ultraface-images/*.jpg; do
		cp "$f" "$work/$1/$([[ $((k % 2)) == 0 ]] && echo a || echo b)/"
		k=$((k + 1))
	done
}
say() { printf '%-10s %s\n' "$1" "$2"; }

cifar() {
	cp "$shared/check/cifar.toml" "$work/cifar.toml"
	say cifar "$net, n = $n: float $(score "$models/$net.onnx")"
	while read -r weights values rounding; do
		printf 'weights = "%s"\nactivations = "%s"\nrounding = "%s"\n' "$weights" "$values" "$rounding" | recipe fold-batchnorm quantize >"$work/r.toml"
		s=$SECONDS
		fettle optimize "$models/$net.onnx" -r "$work/r.toml" -o "$work/q.onnx" --data "$(pictures train)" --preprocess "$work/cifar.toml" >/dev/null 2>&1 </dev/null
		say cifar "$weights, values $values, $rounding: $(score "$work/q.onnx" </dev/null) ($((SECONDS - s)) s to make)"
	done <<-ROWS
		int8 uint8 nearest
		int8 int16 nearest
		int4 none gptq
		int3 none nearest
		int3 none gptq
	ROWS
}
layers() { # the error of each layer's output with GPTQ and AdaRound below that of nearest rounding; of each value with 16 bits below that with 8
	cp "$shared/check/cifar.toml" "$work/cifar.toml"
	data=(--data "$(pictures train)" --preprocess "$work/cifar.toml") m=$models/$net.onnx
	for rounding in gptq adaround; do
		printf 'weights = "int4"\nactivations = "none"\nrounding = "%s"\nrounds = 300\n' "$rounding" | recipe fold-batchnorm quantize >"$work/r.toml"
		fettle optimize "$m" -r "$work/r.toml" -o "$work/q.onnx" "${data[@]}" --report "$work/q.json" >/dev/null 2>&1
		say layers "$rounding, int4: $(grep -oE 'output [0-9]+ % of that of nearest rounding, [0-9]+ % held out' "$work/q.json" |
			awk '{ n++; if ($2 < 100) a++; if ($9 < 100) b++ } END { printf "below nearest in %d of %d layers where it was tuned, in %d held out", a, n, b }')"
	done
	for values in int16 uint8; do
		echo "activations = \"$values\"" | recipe fold-batchnorm quantize >"$work/r.toml"
		fettle optimize "$m" -r "$work/r.toml" -o "$work/$values.onnx" "${data[@]}" >/dev/null 2>&1
		fettle debug "$m" "$work/$values.onnx" --data "$(pictures test)" --preprocess "$work/cifar.toml" --limit 32 --json >"$work/$values.json" 2>/dev/null
	done
	say layers "$(node -e 'const [a, b] = process.argv.slice(1).map(f => Object.fromEntries(JSON.parse(require("fs").readFileSync(f)).values.map(v => [v.float, v.sqnr_db])));
		const k = Object.keys(a).filter(v => v in b), least = o => Math.min(...k.map(v => o[v])).toFixed(1);
		console.log(`16-bit values nearer than 8-bit ones in ${k.filter(v => a[v] > b[v]).length} of ${k.length}, the least ${least(a)} and ${least(b)} dB`)' "$work/int16.json" "$work/uint8.json")"
}
seconds() { # ResNet-56 with 500 pictures
	cp "$shared/check/cifar.toml" "$work/cifar.toml"
	echo 'samples = 500' | recipe fold-batchnorm quantize >"$work/r.toml"
	data=$(pictures train)
	start=$(date +%s%N)
	fettle optimize "$models/resnet56_cifar10.onnx" -r "$work/r.toml" -o "$work/q.onnx" --data "$data" --preprocess "$work/cifar.toml" >/dev/null 2>&1
	say seconds "ResNet-56 to int8 with 500 pictures: $(awk -v n="$(($(date +%s%N) - start))" 'BEGIN { printf "%.1f s", n / 1e9 }') on $(nproc) cores"
}
scaled() { say scaled "$(go test ./app -run ScaledNetwork -v 2>&1 | grep -oE 'of [0-9]+ answers.*|SKIP.*|FAIL.*' | head -1)"; }
integers() { go test ./app -run SameAsONNXRuntime -v 2>&1 | grep -E '^ *--- |as a whole|layer by layer' | sed 's/^ *same_ort_test.go:[0-9]*: /  /'; }
vww() { # MobileNetV1-0.25: calibrated on every other face and 100 pictures of CIFAR, judged on the other faces and 200 others
	block '[96, 96]' 0.00392156862745098 '[0.0]' '[1.0]' >"$work/vww.toml"
	m=$models/mlperf_tiny_vww_mobilenetv1_025_96.onnx
	halves vww
	flat() { find "$(pictures "$1")" -name '*.jpg' | sort | awk -v every="$2" 'NR % every == 0' | while read -r f; do cp "$f" "$work/vww/$3/$(echo "${f##*/cifar/}" | tr / -)"; done; }
	flat train 200 a; flat test 50 b
	fettle quantize "$m" --auto --data "$work/vww/a" --preprocess "$work/vww.toml" -o "$work/vww.onnx" --recipe "$work/vww-r.toml" >/dev/null 2>&1
	say vww "$(fettle eval "$work/vww.onnx" --reference "$m" --data "$work/vww/b" --preprocess "$work/vww.toml" | tr '\n' ' ')"
}
faces() { # halves calibrate and judge in turn: a face is found where a score is above 0.7
	block '[240, 320]' 0.0078125 '[0.9921875]' '[1.0]' >"$work/face.toml"
	m=$models/ultraface_rfb_320.onnx; same=0 all=0
	halves faces
	for pair in "a b" "b a"; do
		read -r tune judge <<<"$pair"
		recipe eliminate-dead fold-constants fold-batchnorm fuse-activation equalize quantize </dev/null >"$work/r.toml"
		fettle optimize "$m" -r "$work/r.toml" -o "$work/f.onnx" --data "$work/faces/$tune" --preprocess "$work/face.toml" >/dev/null 2>&1
		for f in "$work/faces/$judge"/*.jpg; do
			fettle run "$m" -i "input=$f" --preprocess "$work/face.toml" -o "$work/x.npz" >/dev/null 2>&1
			fettle run "$work/f.onnx" -i "input=$f" --preprocess "$work/face.toml" -o "$work/y.npz" >/dev/null 2>&1
			all=$((all + 1))
			if node scripts/quant/kept.js --faces "$work/x.npz" "$work/y.npz"; then same=$((same + 1)); fi
		done
	done
	say faces "$same of $all pictures keep the answer whether there is a face"
}
silero() { # windows of spoken digits; the plan of --auto, which sees none of those that judge
	mkdir -p "$work/fsdd"; tar -xzf "$shared"/data/fsdd/train-*.tar.gz -C "$work/fsdd"
	find "$work/fsdd" -name '*.wav' | sort | xargs node scripts/quant/samples.js windows "$work/sil" "${SEED:-77}" 400 >/dev/null
	m=$models/silero_vad_16k_op15.onnx
	fettle quantize "$m" --auto --data "$work/sil/a" -o "$work/sil.onnx" --recipe "$work/sil.toml" >/dev/null 2>&1
	say silero "$(node scripts/quant/kept.js "$m" "$work/sil.onnx" "$work/sil/b" half | tr '\n' ' ')"
}
magika() { # documents beside the repository, and every 23rd file of each folder of it; int8 as it comes, and the plan of --auto
	mkdir -p "$work/docs"; tar -xzf "$shared"/data/magika-testfiles/documents.tar.gz -C "$work/docs"
	{ find "$work/docs" -type f | sort; git ls-files | awk -F/ '{ if (++n[$1] % 23 == 7) print }'; } | xargs node scripts/quant/samples.js tokens "$work/mag" >/dev/null
	m=$models/magika_standard_v3_3.onnx
	kept() { node scripts/quant/kept.js "$m" "$work/mag.onnx" "$work/mag/$1" "$shared/data/magika-testfiles/standard_v3_3-config.json" | tr '\n' ' '; }
	recipe eliminate-dead fold-constants quantize </dev/null >"$work/r.toml"
	for pair in "a b" "b a"; do
		read -r tune judge <<<"$pair"
		fettle optimize "$m" -r "$work/r.toml" -o "$work/mag.onnx" --data "$work/mag/$tune" >/dev/null 2>&1
		say magika "int8, calibrated on half $tune: $(kept "$judge")"
	done
	fettle quantize "$m" --auto --data "$work/mag/a" -o "$work/mag.onnx" --recipe "$work/mag.toml" >/dev/null 2>&1
	say magika "--auto on half a ($(grep -E '^(activations|max_drop|reduce|rounding|calibration)' "$work/mag.toml" | tr '\n' ' ')): $(kept b)"
}
bad() { # what cannot be quantized is named or refused
	m=$models/resnet20_cifar10.onnx
	echo 'samples = 16' | recipe fold-batchnorm quantize >"$work/r.toml"
	mkdir -p "$work/empty"
	try() { say bad "$1: $( (fettle optimize "$m" -r "$work/r.toml" -o "$work/o.onnx" "${@:2}" 2>&1 || true) | grep -E '^fettle:|constant values|channels of zeros|stays? float' | head -1)"; }
	try "no data"
	try "an empty folder" --data "$work/empty"
	for k in shape nan inf constant; do
		node scripts/quant/samples.js "$k" "$work/bad-$k" >/dev/null
		try "$k" --data "$work/bad-$k/a"
	done
	printf 'weights = "int8"\nstrict = true\n' | recipe fold-batchnorm quantize >"$work/r.toml"
	m=$models/silero_vad_16k_op15.onnx
	find "$shared/data/fsdd" -maxdepth 0 >/dev/null && mkdir -p "$work/fsdd" && tar -xzf "$shared"/data/fsdd/train-*.tar.gz -C "$work/fsdd"
	find "$work/fsdd" -name '*.wav' | sort | awk 'NR <= 16' | xargs node scripts/quant/samples.js windows "$work/few" 1 16 >/dev/null
	try "an operator without integers in scope, strict" --data "$work/few/a"
}
for r in "${rows[@]}"; do s0=$SECONDS; "$r"; say "$r" "took $((SECONDS - s0)) s"; done
