#!/usr/bin/env bash
# conformance.sh - the engine on an emulated arm64 processor: 100 ONNX backend cases and the networks with recorded outputs of ONNX Runtime.
#   CPU=cortex-a76 scripts/arm/conformance.sh [go test flags]       processors: cortex-a53, cortex-a72 (default), cortex-a76, max
#   ARCH=armv7 scripts/arm/conformance.sh [go test flags]           32-bit Arm, cortex-a7
# Takes minutes. Cases that need data which is not there are skipped, and -v says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
case ${ARCH:-arm64} in
arm64) qemu=qemu-aarch64 goarch=arm64 cpu=${CPU:-cortex-a72} ;;
armv7) qemu=qemu-arm goarch=arm cpu=${CPU:-cortex-a7} ;;
*) echo "conformance: ARCH is arm64 or armv7, not $ARCH" >&2; exit 2 ;;
esac
qemu=$(command -v $qemu-static || command -v $qemu) || { echo "conformance: no $qemu (Debian: qemu-user)" >&2; exit 1; }
GOARCH=$goarch GOARM=7 GOOS=linux CGO_ENABLED=0 "${GO:-go}" test -timeout 60m -run '^(TestConformanceSample|TestRealModels)$' -exec "$qemu -cpu $cpu" "$@" ./engine
