#!/bin/sh
# Drives the real window through the main job and writes the pictures of the documents to docs/images. The times in them
# are of this computer; those of the emulated board mean nothing and are not shown. What is measured for long, the parts of Compress and what stands behind a
# profile, is painted without a display by the tests of the window.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh test
mkdir -p docs/images
FETTLE_SCREENSHOTS=$PWD/docs/images go test -tags migrated_fynedo -count=1 -timeout 20m -run TestStudioDoesTheMainJob -v .
shots=$(mktemp -d)
trap 'rm -rf "$shots"' EXIT
FETTLE_SHOTS=$shots go test -count=1 -timeout 20m -run 'Test(Compress|Prune|Distill|Search|Trust)InTheWindow' ./views
for part in prune quantize distill search; do
    cp "$shots/$part-dark.png" "docs/images/compress-$part.png"
    cp "$shots/$part-light-zh.png" "docs/images/compress-$part-zh.png"
done
cp "$shots/profile-stairs.png" docs/images/profile-stairs.png
cp "$shots/profile-audit-dark.png" docs/images/profile-audit.png
cp "$shots/compare-paired-dark.png" docs/images/compare-paired.png
ls -l docs/images
