#!/bin/sh
# Drives the real window through the main job and writes the pictures of the documents to docs/images. The times in them
# are of this computer; those of the emulated board mean nothing and are not shown.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh test
mkdir -p docs/images
FETTLE_SCREENSHOTS=$PWD/docs/images go test -tags migrated_fynedo -count=1 -timeout 20m -run TestStudioDoesTheMainJob -v .
ls -l docs/images
