#!/bin/sh
# Installs TensorFlow Lite 2.9 with XNNPACK (the C libraries inside of npm tfjs-tflite-node) into .cache/tflite and builds the program that runs
# models in it: install.sh [arm64] builds the one for the emulator too, and where XNNPACK's own package is one for that. Only the two libraries are unpacked; nothing of the package runs.
set -eu
package=tfjs-tflite-node@0.0.2
sum=3be1632328a76a2475e5b6833253763c802c859433becb4d879ee1860e3b5284
here=$(cd "$(dirname "$0")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/tflite
mkdir -p "$cache"
if [ ! -f "$cache/linux_arm64/libtensorflowlite_c.so" ]; then
	command -v npm >/dev/null || { echo "npm is not installed (Debian: npm)" >&2; exit 1; }
	work=$(mktemp -d "$cache/new-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	(cd "$work" && npm pack --silent "$package" >install.log 2>&1) || { tail -n 3 "$work/install.log" >&2; exit 1; }
	echo "$sum  $work/tfjs-tflite-node-0.0.2.tgz" | sha256sum --check --quiet || { echo "the package is not the one that is known" >&2; exit 1; }
	tar xzf "$work/tfjs-tflite-node-0.0.2.tgz" -C "$work" package/cc_deps/linux_amd64 package/cc_deps/linux_arm64
	for f in linux_amd64 linux_arm64; do
		mkdir -p "$cache/$f"
		mv "$work/package/cc_deps/$f/libtensorflowlite_c.so" "$cache/$f/"
	done
fi
build() { # COMPILER FOLDER PROGRAM
	[ "$cache/$3" -nt "$here/peer.c" ] && return 0
	"$1" -O2 -Wall "$here/peer.c" -o "$cache/$3.new" "$cache/$2/libtensorflowlite_c.so" -Wl,-rpath,"\$ORIGIN/$2" -Wl,--allow-shlib-undefined -lm
	mv "$cache/$3.new" "$cache/$3"
}
own=linux_amd64
[ "$(uname -m)" = aarch64 ] && own=linux_arm64
command -v gcc >/dev/null || { echo "gcc is not installed (Debian: gcc libc6-dev)" >&2; exit 1; }
build gcc "$own" peer
# XNNPACK alone, where its package is (Debian: libxnnpack-dev libpthreadpool-dev)
if [ -f /usr/include/xnnpack.h ] && ! [ "$cache/xnn" -nt "$here/xnn.c" ]; then
	version=$(dpkg-query -W -f '${Version}' libxnnpack-dev 2>/dev/null || echo unknown)
	gcc -O2 -Wall -DVERSION="\"$version\"" "$here/xnn.c" -o "$cache/xnn" -lXNNPACK -lpthreadpool -lm || rm -f "$cache/xnn"
fi
if [ "${1:-}" = arm64 ]; then
	command -v aarch64-linux-gnu-gcc >/dev/null || { echo "aarch64-linux-gnu-gcc is not installed (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross)" >&2; exit 1; }
	build aarch64-linux-gnu-gcc linux_arm64 peer-arm64
fi
