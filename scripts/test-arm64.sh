#!/usr/bin/env bash
# test-arm64.sh - the kernels' and the engine's tests under an emulated Cortex-A72 (NEON), those with dot product under a Cortex-A76, and those
# with products of matrices of bytes under a processor with everything.
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
go test "$@" -run 'Int8|NEON|Absent' -exec "$qemu -cpu max" ./kernels/conv # products of matrices of bytes
# The emulated processor must stop a program that executes what it lacks, else the runs above prove nothing about it.
for x in "cortex-a53 dotprod" "cortex-a72 dotprod" "cortex-a76 i8mm"; do
	read -r core what <<<"$x"
	if FETTLE_TEST_EXECUTE=$what go test -run TestAbsentInstructions -exec "$qemu -cpu $core" ./kernels/conv >/dev/null 2>&1; then
		echo "test-arm64: an emulated $core executes $what" >&2
		exit 1
	fi
done
go vet ./engine
go test "$@" -run 'Rows|Random|Unusual' -exec "$qemu -cpu cortex-a76" ./engine
