#!/bin/sh
# Installs ONNX Runtime for the tests that run exported files there, into .cache/ort. Install scripts of packages
# are not run: the CPU library is in the package itself, the script would fetch GPU libraries.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/ort
[ -d "$cache/node_modules/onnxruntime-node" ] && exit 0
command -v npm >/dev/null || { echo "npm is not installed (Debian: npm)" >&2; exit 1; }
mkdir -p "$cache"
cp "$here/package.json" "$cache/"
cd "$cache" && npm install --ignore-scripts --no-audit --no-fund >install.log 2>&1 || { tail -n 3 install.log >&2; exit 1; }
