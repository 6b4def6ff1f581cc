#!/bin/sh
# Installs the Debian packages that a goal needs: setup.sh studio|test|cli. As root it installs what is missing; otherwise
# it prints the one line to type. It never removes and never upgrades.
set -eu
goal=${1:-studio}
studio="gcc libc6-dev pkg-config libgl1-mesa-dev libegl-dev xorg-dev libwayland-dev libxkbcommon-dev"
test="xvfb xauth xdotool x11-utils x11-apps openssl libgl1-mesa-dri libonnx-testdata qemu-user-static mmdebstrap procps openssh-server openssh-client binutils-aarch64-linux-gnu binutils-arm-linux-gnueabihf nodejs npm git ca-certificates"
case $goal in
studio) want=$studio ;;
test) want="$studio $test" ;;
cli) want="" ;;
*) echo "setup.sh: unknown goal $goal (studio, test or cli)" >&2; exit 2 ;;
esac
command -v go >/dev/null || { echo "Fettle needs Go 1.26 or newer: https://go.dev/dl/" >&2; exit 1; }
command -v dpkg-query >/dev/null || {
	echo "This is not Debian or Ubuntu. The studio needs a C compiler and the headers of OpenGL, EGL, X11 and Wayland; the command line needs only Go." >&2
	exit 0
}
missing=""
for p in $want; do
	case $p in # a program from elsewhere is as good as the package
	nodejs) command -v node >/dev/null && continue ;;
	npm) command -v npm >/dev/null && continue ;;
	esac
	dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
	echo "Installing:$missing"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "Some system packages are missing. Please type:" >&2
echo "  sudo apt-get install -y --no-install-recommends$missing" >&2
exit 1
