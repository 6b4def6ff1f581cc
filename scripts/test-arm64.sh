#!/usr/bin/env bash
# test-arm64.sh - the kernels' and the engine's tests under an emulated Cortex-A72 (NEON), and those with dot product under a Cortex-A76.
#   scripts/test-arm64.sh [go test flags, e.g. -short]
set -euo pipefail
cd "$(dirname "$0")/.."
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
if [[ -z $qemu ]]; then
	echo "SKIP: arm64 kernels are not tested: no qemu-aarch64-static (Debian: qemu-user-static)"
	exit 0
fi
export GOARCH=arm64 GOOS=linux CGO_ENABLED=0
go vet ./kernels/...
go test "$@" -exec "$qemu -cpu cortex-a72" ./kernels/...
go test "$@" -exec "$qemu -cpu cortex-a76" ./kernels/conv ./kernels/cpu
go vet ./engine
go test "$@" -run 'Rows|Random|Unusual' -exec "$qemu -cpu cortex-a76" ./engine
