#!/usr/bin/env bash
# bench-arm.sh - instructions that one inference executes on a Cortex-A72, counted in an emulator: exact, and repeatable to parts per thousand.
#   scripts/bench-arm.sh [NETWORK...]              a table of the networks in float32 and 8 bit
#   scripts/bench-arm.sh -layers NETWORK [int8]    every step of one: instructions, what LDP and STP instead of LD1 and ST1 of several
#                                                  registers would add, vector multiplies, multiply-accumulates
# One thread, batch 1, the whole network as the engine runs it. CPU=cortex-a76 (or max) counts the rows of other processors.
# The other engine's figures are of TFLite 2.9 with XNNPACK (npm tfjs-tflite-node 0.0.2), counted once in the same emulator.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
command -v qemu-aarch64 >/dev/null && command -v gcc >/dev/null || { echo "bench-arm: qemu-aarch64 (the dynamic one, Debian: qemu-user) and gcc are needed" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -shared -fPIC "$root/scripts/arm/count.c" -o "$work/count.so"
(cd "$root" && CGO_ENABLED=0 "${GO:-go}" build -o "$work/host" ./cmd/fettle-bench && CGO_ENABLED=0 GOARCH=arm64 "${GO:-go}" build -o "$work/arm" ./cmd/fettle-bench)

count() { # NETWORK [int8]: the steps and the sum
	"$work/host" -network "$1" ${2:+-$2} -ready "$work/net.onnx"
	# without a collector and other threads nothing but the network is counted
	GOMAXPROCS=1 GOGC=off GODEBUG=asyncpreemptoff=1 qemu-aarch64 -cpu "${CPU:-cortex-a72}" -plugin "$work/count.so,out=$work/total,events=$work/events" \
		"$work/arm" -model "$work/net.onnx" -count "$work/events" 2>/dev/null
}

if [[ ${1:-} == -layers ]]; then
	count "${2:?which network}" "${3:-}"
	exit
fi
peer() { # M instructions of the other engine and the goal
	case $1 in
	mobilenetv2) echo "124.2 90" ;; mobilenetv2-int8) echo "117.0 73" ;;
	resnet50) echo "1371 860" ;; resnet50-int8) echo "1149 870" ;;
	efficientnet-b0) echo "246.5 145" ;; efficientnet-b0-int8) echo "189.4 100" ;;
	efficientnet-lite0) echo "160.3 115" ;; efficientnet-lite0-int8) echo "143.9 90" ;;
	squeezenet11) echo "127.2 75" ;; squeezenet11-int8) echo "118.8 80" ;;
	resnet20) echo "14.5 7" ;; resnet20-int8) echo "12.7 9" ;;
	*) echo "- -" ;;
	esac
}
echo "| network | M instructions | with LDP and STP | vector multiplies, M | TFLite 2.9 + XNNPACK | ratio | goal |"
echo "|---|---|---|---|---|---|---|"
for net in "${@:-resnet20 squeezenet11 mobilenetv2 efficientnet-lite0 efficientnet-b0 resnet50}"; do
	for n in $net; do
		for kind in "" int8; do
			read -r theirs goal < <(peer "$n${kind:+-$kind}")
			count "$n" "$kind" | awk -v n="$n ${kind:-fp32}" -v t="$theirs" -v g="$goal" '/in all/ {
				printf "| %s | %.1f | %.1f | %.1f | %s | %s | %s |\n", n, $1/1e6, ($1+$2)/1e6, $3/1e6, t, t == "-" ? "-" : sprintf("%.2f", t/$1*1e6), g }'
		done
	done
done
