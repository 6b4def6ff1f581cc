#!/usr/bin/env bash
# test-armv7.sh - the kernels' and the engine's tests under an emulated Cortex-A7 (32-bit Arm with NEON), and a processor without NEON, which must
# never execute it.
#   scripts/test-armv7.sh [go test flags, e.g. -short]
set -euo pipefail
cd "$(dirname "$0")/.."
qemu=$(command -v qemu-arm-static || command -v qemu-arm || true)
if [[ -z $qemu ]]; then
	echo "SKIP: kernels of 32-bit Arm are not tested: no qemu-arm-static (Debian: qemu-user-static)"
	exit 0
fi
if command -v arm-linux-gnueabihf-as >/dev/null; then
	(cd kernels/_asm/armgen && go test ./...)
else
	echo "SKIP: the words of the generator are not compared: no arm-linux-gnueabihf-as (Debian: binutils-arm-linux-gnueabihf)"
fi
export GOARCH=arm GOARM=7 GOOS=linux CGO_ENABLED=0
go vet ./kernels/...
go test "$@" -exec "$qemu -cpu cortex-a7" ./kernels/...
# The emulated processor must stop a program that executes NEON, else the run behind it proves nothing.
if FETTLE_TEST_EXECUTE=neon go test -run TestAbsentInstructions -exec "$qemu -cpu cortex-a9,neon=off" ./kernels/conv >/dev/null 2>&1; then
	echo "test-armv7: an emulated processor without NEON executes it" >&2
	exit 1
fi
go test "$@" -run 'AbsentInstructions|Picks|Concat|Names' -exec "$qemu -cpu cortex-a9,neon=off" ./kernels/conv
go test "$@" -exec "$qemu -cpu cortex-a9,neon=off" ./kernels/eltwise ./kernels/quant ./kernels/pool ./kernels/pack
go test "$@" -run 'Rows|Random|Unusual' -exec "$qemu -cpu cortex-a7" ./engine
