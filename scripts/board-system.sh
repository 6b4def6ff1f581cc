#!/usr/bin/env bash
# board-system.sh - a whole board in an emulator: Debian's arm64 kernel and userland on emulated Cortex-A72 cores, OpenSSH's server, cpufreq, a
# thermal zone. Its cable can be pulled and its reset pressed, which the quick boards cannot. No foreign code runs while it is built.
#
#   board-system.sh up            build if needed, boot from a fresh disk; prints the port
#   board-system.sh in CMD...     run CMD on it as root
#   board-system.sh link off|on   pull the network cable, put it back
#   board-system.sh reset         press the reset button: what was not flushed is lost
#   board-system.sh down | clean  end it | end it and delete everything
#
# BOARD_DIR folder of everything it makes, keys included (.cache/board-system); BOARD_SMP cores (2), BOARD_MEM MiB (1024), BOARD_WAIT seconds until
# it has to let in (600). BOARD_MIRROR Debian mirror. On the board `/etc/board/heat on|off` makes its thermal zone hot, and cool again.
# The user is pi with the password raspberry and the key $BOARD_DIR/keys/id_ed25519; the board listens on the loopback only.
set -euo pipefail
cd "$(dirname "$0")/.."
TOP=${BOARD_DIR:-$PWD/.cache/board-system}
mkdir -p "$TOP"/{keys,run}
TOP=$(cd "$TOP" && pwd)
SMP=${BOARD_SMP:-2} MEM=${BOARD_MEM:-1024} WAIT=${BOARD_WAIT:-600} CPU=cortex-a72
ROOT=$TOP/root RUN=$TOP/run KEY=$TOP/keys/id_ed25519

say() { printf '%s\n' "board-system: $*" >&2; }
die() { say "$*"; exit 1; }

need() {
	local p missing=''
	for p in qemu-system-aarch64:qemu-system-arm qemu-img:qemu-utils mmdebstrap:mmdebstrap mke2fs:e2fsprogs depmod:kmod cpio:cpio ssh-keygen:openssh-client socat:socat openssl:openssl dtc:device-tree-compiler; do
		command -v "${p%%:*}" >/dev/null || missing+=" ${p##*:}"
	done
	[[ -z $missing ]] || die "not installed:$missing (apt-get install --no-install-recommends$missing)"
	((UID == 0)) || die "building the board needs root"
}

# modules lists the files of kernel modules in the order in which they have to be loaded.
modules() {
	local k m
	k=$(<"$TOP/kver")
	for m in "$@"; do modprobe -d "$ROOT" -S "$k" --show-depends "$m" 2>/dev/null | awk '$1 == "insmod" { print $2 }' || true; done | awk '!seen[$0]++'
}

unpack() {
	local k m
	rm -rf "$ROOT"
	mkdir -p "$TOP/tmp"
	TMPDIR=$TOP/tmp mmdebstrap --quiet --mode=root --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --architectures=arm64 --components=main \
		--include=linux-image-arm64,openssh-server,openssh-sftp-server,bash,dash,hostname,coreutils,sed,grep,gzip,procps,util-linux,mount,login,passwd,kmod,iproute2,busybox-static,base-files,base-passwd,libc-bin \
		bookworm "$ROOT" "deb ${BOARD_MIRROR:-http://deb.debian.org/debian} bookworm main" >"$TOP/mmdebstrap.log" 2>&1 || die "no Debian root: $(tail -n1 "$TOP/mmdebstrap.log")"
	rm -rf "$TOP/tmp"
	k=$(basename "$ROOT"/lib/modules/*)
	echo "$k" >"$TOP/kver"
	cp "$ROOT/boot/vmlinuz-$k" "$TOP/vmlinuz"
	depmod -b "$ROOT" "$k"
	rm -rf "$TOP/keep"
	mkdir -p "$TOP/keep"
	for m in $(modules virtio_pci virtio_blk virtio_net virtio_rng ext4 cpufreq_dt cpufreq_ondemand); do install -D "$m" "$TOP/keep/${m#"$ROOT"}"; done
	cp "$ROOT/lib/modules/$k"/modules.{builtin,order,builtin.modinfo} "$TOP/keep/lib/modules/$k/"
	rm -rf "$ROOT/lib/modules" "${ROOT:?}/boot" "$ROOT"/usr/share/{doc,man,info,locale,zoneinfo,perl} "$ROOT"/var/cache/*
	mkdir -p "$ROOT/lib/modules" && mv "$TOP/keep/lib/modules/$k" "$ROOT/lib/modules/" && rm -rf "$TOP/keep"
	depmod -b "$ROOT" "$k"
}

settings() { # users, keys, start-up, heat
	local r=$ROOT
	mkdir -p "$r"/{boot,dev,proc,sys,run,tmp} "$r"/etc/{ssh,board,init.d} "$r"/{root,home/pi}/.ssh
	cp "$r/usr/share/base-passwd/passwd.master" "$r/etc/passwd"
	cp "$r/usr/share/base-passwd/group.master" "$r/etc/group"
	sed -i 's#^root:\*:#root:x:#' "$r/etc/passwd"
	printf 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/bash\n' >>"$r/etc/passwd"
	echo 'pi:x:1000:' >>"$r/etc/group"
	printf 'root:*:19000:0:99999:7:::\nsshd:!:19000::::::\npi:%s:19000:0:99999:7:::\n' "$(openssl passwd -6 raspberry)" >"$r/etc/shadow"
	chmod 640 "$r/etc/shadow"
	echo board >"$r/etc/hostname"
	[[ -f $KEY ]] || ssh-keygen -q -t ed25519 -N '' -C test -f "$KEY"
	[[ -f $TOP/keys/host ]] || ssh-keygen -q -t ed25519 -N '' -C host -f "$TOP/keys/host"
	install -m 600 "$TOP/keys/host" "$r/etc/ssh/ssh_host_ed25519_key"
	install -m 600 "$KEY.pub" "$r/root/.ssh/authorized_keys"
	install -m 600 "$KEY.pub" "$r/home/pi/.ssh/authorized_keys"
	chmod 700 "$r/root/.ssh" "$r/home/pi/.ssh"
	chown -R 1000:1000 "$r/home/pi"
	chmod 1777 "$r/tmp"
	printf '%s\n' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'UsePAM no' 'PermitRootLogin prohibit-password' 'UseDNS no' 'PrintMotd no' 'MaxStartups 30:30:100' \
		'Subsystem sftp /usr/lib/openssh/sftp-server' >"$r/etc/ssh/sshd_config"
	cp "$r/bin/busybox" "$r/sbin/init"
	printf '%s\n' '::sysinit:/etc/init.d/rcS' '::respawn:/usr/sbin/sshd -D' '::shutdown:/bin/busybox sync' >"$r/etc/inittab"
	cat >"$r/etc/init.d/rcS" <<-'RC'
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
		mount -t tmpfs -o mode=755 run /run
		mkdir -p /run/sshd /dev/pts /dev/shm
		mount -t devpts devpts /dev/pts
		mount -t tmpfs -o mode=1777 shm /dev/shm
		mount -t tmpfs -o mode=1777,size=256m tmp /tmp
		hostname -F /etc/hostname
		for m in virtio_rng virtio_net cpufreq_dt cpufreq_ondemand; do modprobe -q $m; done
		for p in /sys/devices/system/cpu/cpufreq/policy*; do echo ondemand >$p/scaling_governor; done
		ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
		/etc/board/heat off
	RC
	cat >"$r/etc/board/heat" <<-'HEAT'
		#!/bin/sh
		# a thermal zone and what the kernel's cooling device of the processor says, at their places in /sys
		PATH=/usr/sbin:/usr/bin:/sbin:/bin t=/run/thermal
		mkdir -p $t/thermal_zone0 $t/cooling_device0
		echo cpu-thermal >$t/thermal_zone0/type
		echo cpufreq-cpu0 >$t/cooling_device0/type
		case $1 in on) c=84500 s=1 ;; *) c=48312 s=0 ;; esac
		echo $c >$t/thermal_zone0/temp; echo $s >$t/cooling_device0/cur_state
		mountpoint -q /sys/class/thermal || mount --bind $t /sys/class/thermal
	HEAT
	chmod 755 "$r/etc/init.d/rcS" "$r/etc/board/heat"
}

initrd() { # busybox and the modules up to the disk; not compressed, which is faster here
	local i=$TOP/initrd m
	rm -rf "$i"
	mkdir -p "$i"/{bin,dev,proc,sys,new,mod}
	cp "$ROOT/bin/busybox" "$i/bin/"
	for m in $(modules virtio_pci virtio_blk ext4); do cp "$m" "$i/mod/" && basename "$m"; done >"$TOP/order"
	mv "$TOP/order" "$i/mod/order"
	cat >"$i/init" <<-'INIT'
		#!/bin/busybox sh
		b=/bin/busybox
		$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
		while read -r m; do $b insmod "/mod/$m"; done </mod/order
		n=0
		until [ -b /dev/vda ] || [ $n -gt 50 ]; do $b usleep 100000; n=$((n + 1)); done
		$b mount -t ext4 -o rw,noatime /dev/vda /new || exec $b sh
		for d in proc sys dev; do $b mount -o move /$d /new/$d; done
		exec $b switch_root /new /sbin/init
	INIT
	chmod 755 "$i/init"
	(cd "$i" && find . | cpio --quiet -o -H newc -R 0:0) >"$TOP/initrd.cpio"
	rm -rf "$i"
}

build() {
	[[ -f $TOP/built ]] && return
	need
	unpack
	settings
	initrd
	rm -f "$TOP/root.img"
	truncate -s 1G "$TOP/root.img"
	mke2fs -q -F -t ext4 -m 0 -d "$ROOT" "$TOP/root.img"
	rm -rf "$ROOT"
	touch "$TOP/built"
}

tree() { # the emulator's device tree with a model name and two clocks, so that cpufreq is real
	local d=$RUN/board
	qemu-system-aarch64 -M virt,gic-version=2,dumpdtb="$d.raw" -cpu $CPU -smp "$SMP" -m "$MEM" -nodefaults -display none 2>"$RUN/tree.log" || die "no device tree: $(tail -n1 "$RUN/tree.log")"
	dtc -q -I dtb -O dts "$d.raw" -o "$d.dts"
	awk '/^\tmodel = / { next }
		/^\/ \{/ { print; print "\tmodel = \"Raspberry Pi 4 Model B Rev 1.4 (emulated)\";"; next }
		/^\t[^ \t]+ \{/ && !done { done = 1
			print "\tclk: board-clk { compatible = \"fixed-clock\"; #clock-cells = <0>; clock-frequency = <1500000000>; };"
			print "\topp: opp-table { compatible = \"operating-points-v2\"; opp-shared; opp-600000000 { opp-hz = /bits/ 64 <600000000>; }; opp-1500000000 { opp-hz = /bits/ 64 <1500000000>; }; };" }
		/device_type = "cpu"/ { print "\t\t\tclocks = <&clk>; operating-points-v2 = <&opp>;" }
		{ print }' "$d.dts" >"$d.new"
	dtc -q -I dts -O dtb "$d.new" -o "$d.dtb"
}

alive() { [[ -s $RUN/pid ]] && kill -0 "$(<"$RUN/pid")" 2>/dev/null; }

on() { ssh -i "$KEY" -p "$(<"$RUN/port")" -o UserKnownHostsFile="$TOP/keys/known_hosts" -o IdentitiesOnly=yes -o ConnectTimeout=60 -o BatchMode=yes -o LogLevel=ERROR root@127.0.0.1 "$@"; }

up() {
	local port begin=$SECONDS
	build
	need
	alive && die "it runs already"
	for _ in {1..50}; do
		port=$((20000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port" >"$RUN/port"
	echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$TOP/keys/host.pub")" >"$TOP/keys/known_hosts"
	rm -f "$RUN/disk" "$RUN/qmp"
	qemu-img create -q -f qcow2 -F raw -b "$TOP/root.img" "$RUN/disk"
	tree
	qemu-system-aarch64 -M virt,gic-version=2 -cpu $CPU -smp "$SMP" -m "$MEM" -accel tcg,thread=multi -dtb "$RUN/board.dtb" -kernel "$TOP/vmlinuz" -initrd "$TOP/initrd.cpio" \
		-append "console=ttyAMA0 quiet net.ifnames=0 panic=1" -drive "if=none,id=d0,file=$RUN/disk" -device virtio-blk-pci,drive=d0 \
		-netdev "user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=n0,romfile= -device virtio-rng-pci \
		-display none -monitor none -serial "file:$RUN/console" -qmp "unix:$RUN/qmp,server=on,wait=off" -pidfile "$RUN/pid" -daemonize
	until on true 2>/dev/null; do
		alive || die "it ended: $(tail -n1 "$RUN/console")"
		((SECONDS - begin < WAIT)) || die "nobody is let in after $WAIT s"
		sleep 0.5
	done
	say "up after $((SECONDS - begin)) s"
	echo "$port"
}

qmp() { alive || die "it does not run"; printf '%s\n' '{"execute":"qmp_capabilities"}' "$1" | socat -t2 - "UNIX-CONNECT:$RUN/qmp" >/dev/null; }

down() {
	local p
	alive && p=$(<"$RUN/pid") && kill "$p" && for _ in {1..50}; do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
	alive && kill -9 "$(<"$RUN/pid")"
	rm -f "$RUN"/{pid,qmp,disk}
}

case ${1:-} in
up) up ;;
in) shift; on "$@" ;;
link) [[ ${2:-} == off ]] && s=false || s=true
	qmp "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"n0\",\"up\":$s}}" ;;
reset) qmp '{"execute":"system_reset"}' ;;
down) down ;;
clean) down; rm -rf "$TOP" ;;
*) awk 'NR > 1 { if (!/^#/) exit; print }' "$0"; exit 2 ;;
esac
