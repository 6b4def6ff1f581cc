#!/usr/bin/env bash
# conformance.sh - the engine on an emulated arm64 processor: 100 ONNX backend cases and the networks with recorded outputs of ONNX Runtime.
#   CPU=cortex-a76 scripts/arm/conformance.sh [go test flags]       processors: cortex-a53, cortex-a72 (default), cortex-a76, max
# Takes minutes. Cases that need data which is not there are skipped, and -v says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || { echo "conformance: no qemu-aarch64 (Debian: qemu-user)" >&2; exit 1; }
GOARCH=arm64 GOOS=linux CGO_ENABLED=0 "${GO:-go}" test -timeout 60m -run '^(TestConformanceSample|TestRealModels)$' -exec "$qemu -cpu ${CPU:-cortex-a72}" "$@" ./engine
