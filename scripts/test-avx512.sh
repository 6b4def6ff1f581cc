#!/usr/bin/env bash
# test-avx512.sh - the kernels' and the engine's tests on processors that this computer is not: Linux boots in the emulator Bochs.
#   scripts/test-avx512.sh [-short] [model ...]
#   BOCHS=/path/to/bochs   another build: Debian's runs AVX-512 without VNNI, a newer one also VNNI and AMX (scripts/bochs-amx.sh)
# Models: westmere (no AVX), haswell (AVX2), skylake (AVX-512), icelake (VNNI), sapphire (AMX). One instruction that a processor lacks
# ends its tests. -short leaves out the engine and the large convolutions. A model takes ten minutes of a quiet core, the engine as long again.
set -euo pipefail
cd "$(dirname "$0")/.."
short=
[[ ${1:-} != -short ]] || { short=yes; shift; }
[[ $(uname -m) == x86_64 ]] || { echo "SKIP: the emulated processors are not tested: the emulator's packages are of amd64"; exit 0; }

want="isolinux syslinux-common xorriso busybox-static bochsbios vgabios"
[[ -n ${BOCHS:-} ]] || want+=" bochs bochs-term bsdutils"
missing=
for p in $want; do
	dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || missing+=" $p"
done
if [[ -n $missing ]]; then
	[[ $(id -u) == 0 ]] || { echo "Please type: sudo apt-get install -y --no-install-recommends$missing" >&2; exit 1; }
	apt-get update -qq || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fettle/avx512
mkdir -p "$cache"
if [[ ! -s $cache/vmlinuz ]]; then # a kernel is unpacked, not installed
	(
		cd "$cache"
		package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/{print $2; exit}')
		apt-get download -qq "$package" 2>/dev/null
		dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO --wildcards './boot/vmlinuz-*' >vmlinuz.new
		rm -f "$package"_*.deb
		mv vmlinuz.new vmlinuz
	)
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root"/{bin,proc,sys,dev,tmp,t} "$work/iso"
packages="cpu pack quant eltwise pool team gemm grad conv"
for p in $packages; do
	CGO_ENABLED=0 GOARCH=amd64 go test -c -trimpath -ldflags '-s -w' -o "$work/root/t/$p" "./kernels/$p"
done
[[ -n $short ]] || CGO_ENABLED=0 GOARCH=amd64 go test -c -trimpath -ldflags '-s -w' -o "$work/root/t/engine" ./engine
cp /bin/busybox "$work/root/bin/"
cp "$cache/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/"

# boot MODEL COMMANDS: the commands run as process 1; what they print is in $work/log.
boot() {
	cat >"$work/root/init" <<-EOF
		#!/bin/busybox sh
		/bin/busybox mount -t proc proc /proc
		/bin/busybox mount -t devtmpfs dev /dev
		exec >/dev/ttyS0 2>&1 </dev/ttyS0
		cd /tmp
		r() { p=\$1; shift; /t/\$p -test.short "\$@"; echo "EXIT \$p \$?"; }
		$2
		/bin/busybox sleep 1
		/bin/busybox poweroff -f
	EOF
	chmod +x "$work/root/init"
	(cd "$work/root" && find . | /bin/busybox cpio -o -H newc 2>/dev/null) >"$work/iso/initrd"
	# Bochs announces FSRM, but a kernel that uses it there patches itself to death. Debian's counts the space of saved registers
	# as Linux does only without protection keys and without the compacted form; from its Ice Lake on Linux turns AVX off.
	local clear=fsrm
	[[ -n ${BOCHS:-} ]] || clear="fsrm,xsaves,xsavec nopku"
	cat >"$work/iso/isolinux.cfg" <<-EOF
		default l
		label l
		kernel vmlinuz
		append initrd=initrd console=ttyS0,115200 quiet mitigations=off nokaslr lpj=1000000 tsc=reliable clocksource=tsc random.trust_cpu=on clearcpuid=$clear lsm= no5lvl
	EOF
	xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$work/iso" 2>/dev/null
	rm -f "$work/log"
	local screen=term
	[[ -z ${BOCHS:-} ]] || screen=nogui
	cat >"$work/bochsrc" <<-EOF
		cpu: model=$1, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
		memory: guest=1024, host=1024
		romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
		vgaromimage: file=/usr/share/vgabios/vgabios.bin
		ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
		boot: cdrom
		display_library: $screen
		com1: enabled=1, mode=file, dev=$work/log
		log: $work/bochs.log
		clock: sync=none, time0=1700000000
		config_interface: textconfig
		panic: action=fatal
		error: action=ignore
		info: action=ignore
		debug: action=ignore
	EOF
	if [[ -n ${BOCHS:-} ]]; then
		timeout -k 5 3600 "$BOCHS" -q -f "$work/bochsrc" >"$work/screen" 2>&1 </dev/null || true
	else # Debian's build waits in its debugger for "c" and wants a terminal
		(sleep 5; echo c; while [[ ! -e $work/done ]]; do sleep 2; done) |
			TERM=xterm timeout -s KILL 3600 script -qec "bochs -q -f $work/bochsrc" /dev/null >"$work/screen" 2>&1 || true
	fi
}

declare -A name=([westmere]=corei5_arrandale_m520 [haswell]=corei7_haswell_4770 [skylake]=corei7_skylake_x [icelake]=corei7_icelake_u [sapphire]=sapphire_rapids)
declare -A level=([westmere]=generic [haswell]=avx2 [skylake]=avx512f [icelake]=avx512vnni [sapphire]=amxbf16)
models=("$@")
if [[ ${#models[@]} == 0 ]]; then
	models=(westmere haswell skylake)
	known=$("${BOCHS:-bochs}" --help cpu 2>&1 </dev/null || true)
	if grep -q '^sapphire_rapids' <<<"$known"; then
		models+=(icelake sapphire)
	else
		echo "VNNI and AMX are not executed: this Bochs has no Sapphire Rapids. BOCHS=/path/to/bochs names one (scripts/bochs-amx.sh builds it)."
	fi
fi
failed=0
for m in "${models[@]}"; do
	[[ -n ${name[$m]:-} ]] || { echo "unknown model $m; known are ${!name[*]}" >&2; exit 2; }
	# Emulated floating point is slow: the large cases are left out, and the slow twin of the tiles where there are none.
	skip='Network|/(3x3_large|1x1_wide|first_layer_7x7)'
	[[ $m == sapphire ]] || skip+='|TestFast|TestStripes/(expand|stride|depthwise,|two)|/(1x1,_500|3x3_stride|dilation|batch|5x5|7x7|depthwise_[57])'
	commands="r cpu -test.run 'Detect|Limit' -test.v
		for p in pack quant eltwise pool team gemm grad; do r \$p -test.skip '$skip'; done
		r conv -test.skip '$skip'"
	if [[ -z $short ]]; then
		some='TestRows|IntegerRows|Fast$|Unusual|Shapes'
		[[ $m != westmere ]] || some='Unusual|Shapes'
		commands+="
		r engine -test.run '$some' -test.timeout 60m"
	fi
	start=$SECONDS
	boot "${name[$m]}" "$commands"
	echo "== $m (${name[$m]}), $((SECONDS - start)) s"
	tr -d '\r' <"$work/log" >"$work/text" 2>/dev/null || true
	if ! grep -qE "amd64 ${level[$m]} " "$work/text"; then
		echo "FAIL: the best instruction set is not ${level[$m]}:" "$(grep -m1 'cpu_test.go.*amd64' "$work/text" || echo 'the system did not start')"
		failed=1
	fi
	for p in cpu pack quant eltwise pool team gemm grad conv $([[ $commands == *"r engine"* ]] && echo engine); do
		code=$(awk -v p="$p" '$1 == "EXIT" && $2 == p { print $3 }' "$work/text")
		if [[ $code == 0 ]]; then
			echo "ok    $p"
		else
			echo "FAIL  $p ${code:-did not end}"
			failed=1
		fi
	done
	grep -vE '^(EXIT|PASS|===|---|\[)|^ok' "$work/text" | grep -A20 -E 'FAIL|panic|SIGILL|fatal' | head -40 || true
done
exit $failed
