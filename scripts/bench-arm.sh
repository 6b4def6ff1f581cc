#!/usr/bin/env bash
# bench-arm.sh - instructions that one inference executes on a Cortex-A72, counted in an emulator: exact, and repeatable to parts per thousand.
#   scripts/bench-arm.sh [NETWORK...]              a table of the networks in float32 and 8 bit
#   scripts/bench-arm.sh -layers NETWORK [int8]    every step of one: instructions, what LDP and STP instead of LD1 and ST1 of several
#                                                  registers would add, vector multiplies, multiply-accumulates
#   scripts/bench-arm.sh -symbols NETWORK [int8]   the same by function: instructions of one inference, the most first
# One thread, batch 1, the whole network as the engine runs it; Go's scheduler, which interrupts it the more often the slower the emulator is, is left
# out. CPU=cortex-a76 (or max) counts the rows of other processors.
# The peer is TensorFlow Lite with XNNPACK, counted in the same run of this script from a file of the same network (scripts/tflite/install.sh arm64);
# its columns stay empty where it cannot be installed. The goals are those that were set for this engine.
# ARCH=armv7 scripts/bench-arm.sh ... counts 32-bit Arm (a Cortex-A7) instead; the second figure is then with at most 32 bytes for a VLDM or VSTM. The
# peer's package has no library for it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${ARCH:-arm64} in
arm64) qemu=qemu-aarch64 goarch=arm64 cpu=${CPU:-cortex-a72} ;;
armv7) qemu=qemu-arm goarch=arm cpu=${CPU:-cortex-a7} ;;
*) echo "bench-arm: ARCH is arm64 or armv7, not $ARCH" >&2; exit 2 ;;
esac
command -v $qemu >/dev/null && command -v gcc >/dev/null || { echo "bench-arm: $qemu (the dynamic one, Debian: qemu-user) and gcc are needed" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -shared -fPIC "$root/scripts/arm/count.c" -o "$work/count.so"
(cd "$root" && CGO_ENABLED=0 "${GO:-go}" build -o "$work/host" ./cmd/fettle-bench && CGO_ENABLED=0 GOARCH=$goarch GOARM=7 "${GO:-go}" build -o "$work/arm" ./cmd/fettle-bench)

nm -n "$work/arm" | awk '$2 ~ /^[tTwW]$/ { if (at != "" && $1 != at) print at, $1, name; at = $1; name = $3 }' >"$work/symbols"
# all of the runtime but what compiled code calls for memory, maps, interfaces and checks
grep -E ' (runtime\.|gogo$)' "$work/symbols" | grep -Ev ' runtime\.(mem|map|duff|malloc|newobject|newarray|make|grow|slice|typed|bulk|wb|gcWrite|conv|if|assert|panic|goPanic)' >"$work/scheduler"

count() { # NETWORK [int8]: the steps and the sum
	rm -f "$work/net.tflite"
	"$work/host" -network "$1" ${2:+-$2} -ready "$work/net.onnx" -tflite "$work/net.tflite" 2>/dev/null
	# without a collector and other threads nothing but the network is counted
	GOMAXPROCS=1 GOGC=off GODEBUG=asyncpreemptoff=1 $qemu -cpu "$cpu" -plugin "$work/count.so,out=$work/total,events=$work/events,skip=$work/scheduler${ranges:+,ranges=$ranges}" \
		"$work/arm" -model "$work/net.onnx" -count "$work/events" 2>/dev/null
}

lite=$root/.cache/tflite/peer-arm64
# shared libraries of the emulated processor: Debian's cross packages, or a root of an arm64 system
sysroot=${SYSROOT:-/usr/aarch64-linux-gnu}
if [[ $goarch == arm ]]; then
	lite=
elif ! "$root/scripts/tflite/install.sh" arm64 >&2 || [[ ! -e $sysroot/lib/ld-linux-aarch64.so.1 ]]; then
	echo "bench-arm: the peer is not counted (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross)" >&2
	lite=
fi

peer() { # M instructions of one inference of the peer, after count has left its file
	[[ -n $lite && -f $work/net.tflite ]] || return 0
	if qemu-aarch64 -L "$sysroot" -cpu "${CPU:-cortex-a72}" -plugin "$work/count.so,out=$work/total,events=$work/events" "$lite" "$work/net.tflite" 1 -count >/dev/null 2>"$work/peer.log"; then
		awk 'NR == 1 {first = $2} {last = $2} END {printf "%.1f", (last - first) / 1e6}' "$work/events"
	else
		echo "bench-arm: the peer: $(tail -n1 "$work/peer.log")" >&2
	fi
}

if [[ ${1:-} == -layers ]]; then
	count "${2:?which network}" "${3:-}"
	exit
fi
if [[ ${1:-} == -symbols ]]; then
	ranges=$work/symbols
	count "${2:?which network}" "${3:-}" | tail -n1
	grep -Ev '^(pairs|multiplies|total) ' "$work/total" | sort -k2,2nr | awk '{ printf "%10d  %s\n", $2, $1 }'
	exit
fi
goal() {
	[[ $goarch == arm64 ]] || { echo -; return; }
	case $1 in
	mobilenetv2) echo 90 ;; mobilenetv2-int8) echo 73 ;;
	resnet50) echo 860 ;; resnet50-int8) echo 870 ;;
	efficientnet-b0) echo 145 ;; efficientnet-b0-int8) echo 100 ;;
	efficientnet-lite0) echo 115 ;; efficientnet-lite0-int8) echo 90 ;;
	squeezenet11) echo 75 ;; squeezenet11-int8) echo 80 ;;
	resnet20) echo 7 ;; resnet20-int8) echo 9 ;;
	*) echo - ;;
	esac
}
echo "| network | M instructions | with LDP and STP | vector multiplies, M | TFLite 2.9 + XNNPACK | ratio | goal |"
echo "|---|---|---|---|---|---|---|"
for net in "${@:-resnet20 squeezenet11 mobilenetv2 efficientnet-lite0 efficientnet-b0 resnet50}"; do
	for n in $net; do
		for kind in "" int8; do
			ours=$(count "$n" "$kind" | grep "in all")
			theirs=$(peer)
			awk -v n="$n ${kind:-fp32}" -v t="${theirs:--}" -v g="$(goal "$n${kind:+-$kind}")" '{
				printf "| %s | %.1f | %.1f | %.1f | %s | %s | %s |\n", n, $1/1e6, ($1+$2)/1e6, $3/1e6, t, t == "-" ? "-" : sprintf("%.2f", t/$1*1e6), g }' <<<"$ours"
		done
	done
done
