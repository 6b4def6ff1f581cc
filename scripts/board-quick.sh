#!/usr/bin/env bash
# board-quick.sh - a board for tests: OpenSSH's server on 127.0.0.1 over a Debian root of another processor, in its own
# user, mount, process and host name namespaces. Programs of that processor run through qemu-user, by a binfmt_misc
# instance that only this board sees (Linux 6.7 or newer). The computer itself is not changed.
#
#   board-quick.sh up NAME [FAULT...]   start; prints the port
#   board-quick.sh in NAME CMD...       run CMD in it as root
#   board-quick.sh cut NAME             end the open sessions, keep the server
#   board-quick.sh rekey NAME           another host key, as if it was installed anew
#   board-quick.sh down NAME | clean    end one | end all and delete everything
#   board-quick.sh able                 exit 0 where boards can run, else say why not
#
# Environment: BOARD_DIR folder of everything it makes (.cache/board), BOARD_ARCH arm64 | armhf | amd64, BOARD_DISK_MB 64.
# BOARD_MIRROR Debian mirror; without security updates, which some mirrors have half of, and which no test needs.
# The user is pi with the password raspberry and the key $BOARD_DIR/keys/id_ed25519; boards are on the loopback only.
#
# FAULT: hot (84.5 C, slow clock, throttle flags) | disk-full=KIB (so much is left) | tmp-noexec | home-ro | home-noexec
#        no-shm (no /dev/shm) | no-sftp | busybox (no bash, no coreutils) | noisy (.bashrc and banner print text)
set -euo pipefail
cd "$(dirname "$0")/.."
ARCH=${BOARD_ARCH:-arm64} DISK_MB=${BOARD_DISK_MB:-64}
case $ARCH in # the emulator, and the start of its ELF programs: class, byte order, type 2 or 3, machine
arm64) QEMU=qemu-aarch64-static CPU=cortex-a72 CLASS=02 MACHINE=b7 ;;
armhf) QEMU=qemu-arm-static CPU=cortex-a7 CLASS=01 MACHINE=28 ;;
amd64) QEMU='' CPU='' ;;
*) echo "board-quick: no board is $ARCH (arm64, armhf or amd64)" >&2; exit 2 ;;
esac
TOP=${BOARD_DIR:-$PWD/.cache/board}
mkdir -p "$TOP"
TOP=$(cd "$TOP" && pwd)

die() { echo "board-quick: $*" >&2; exit 1; }

able() {
	local p
	[[ $(uname -s) == Linux && $(id -u) == 0 ]] || die "boards need root on Linux"
	for p in mmdebstrap ssh-keygen unshare nsenter pgrep openssl $QEMU; do
		command -v $p >/dev/null || die "$p is not installed (scripts/setup.sh test)"
	done
	unshare --user --mount --pid --uts --fork true 2>/dev/null || die "this computer allows no namespaces"
	[[ -n $QEMU || $(uname -m) == x86_64 ]] || die "amd64 boards need an amd64 computer"
	[[ -n $QEMU ]] || return 0
	[[ $(printf '%s\n' 6.7 "$(uname -r)" | sort -V | head -n1) == 6.7 ]] || die "binfmt_misc of one's own needs Linux 6.7"
}

# base unpacks a Debian root once for each processor; its boards share it read-only. No foreign program runs here.
base() {
	local r=$TOP/base-$ARCH hash
	[[ -f $r.built ]] && return
	rm -rf "$r"
	mmdebstrap --quiet --mode=root --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
		--architectures="$ARCH" --components=main \
		--include=openssh-server,openssh-sftp-server,bash,dash,coreutils,sed,grep,gzip,procps,iproute2,hostname,mount,busybox-static,base-files,base-passwd,libc-bin \
		bookworm "$r" "deb ${BOARD_MIRROR:-http://deb.debian.org/debian} bookworm main" >"$TOP/base-$ARCH.log" 2>&1 || die "no Debian root: $(tail -n1 "$TOP/base-$ARCH.log")"
	rm -rf "$r"/usr/share/{doc,man,info,locale,zoneinfo} "$r"/var/cache/*
	[[ -f $TOP/keys/id_ed25519 ]] || { mkdir -p "$TOP/keys" && ssh-keygen -q -t ed25519 -N '' -C test -f "$TOP/keys/id_ed25519"; }
	mkdir -p "$r"/{proc,sys,dev,run,tmp,old} "$r/home/pi/.ssh"
	cp "$r/usr/share/base-passwd/passwd.master" "$r/etc/passwd"
	cp "$r/usr/share/base-passwd/group.master" "$r/etc/group"
	hash=$(openssl passwd -6 raspberry)
	printf '%s\n' 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' 'pi:x:1000:1000::/home/pi:/bin/bash' >>"$r/etc/passwd"
	echo 'pi:x:1000:' >>"$r/etc/group"
	printf 'root:*:1::::::\nsshd:!:1::::::\npi:%s:1:0:99999:7:::\n' "$hash" >"$r/etc/shadow"
	cp "$TOP/keys/id_ed25519.pub" "$r/home/pi/.ssh/authorized_keys"
	chmod 700 "$r/home/pi/.ssh"
	chown -R 1000:1000 "$r/home/pi"
	touch "$r.built"
}

# hardware writes what a Raspberry Pi 4 shows in /proc/cpuinfo and /sys, or with armhf a Pi 2.
hardware() {
	local d=$1 temp=48312 flags=0 hz=1500000 c f part=0xd08 features='fp asimd evtstrm crc32 cpuid' name='Raspberry Pi 4 Model B Rev 1.4'
	if [[ $ARCH == armhf ]]; then
		part=0xc07 features='half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm' name='Raspberry Pi 2 Model B Rev 1.1'
	fi
	if has hot; then temp=84500 flags=50005 hz=600000; fi
	for c in 0 1 2 3; do
		printf 'processor\t: %d\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU part\t: %s\n\n' $c "$features" $part
		f=$d/sys/devices/system/cpu/cpu$c/cpufreq
		mkdir -p "$f"
		echo $hz >"$f/scaling_cur_freq"
		echo 1500000 >"$f/cpuinfo_max_freq"
		echo ondemand >"$f/scaling_governor"
	done >"$d/cpuinfo"
	printf 'Model\t\t: %s (a test)\n' "$name" >>"$d/cpuinfo"
	mkdir -p "$d/sys/class/thermal/thermal_zone0" "$d/sys/devices/platform/soc/soc:firmware"
	echo $temp >"$d/sys/class/thermal/thermal_zone0/temp"
	echo cpu-thermal >"$d/sys/class/thermal/thermal_zone0/type"
	echo $flags >"$d/sys/devices/platform/soc/soc:firmware/get_throttled"
}

FAULTS=()
has() { local f; for f in "${FAULTS[@]}"; do [[ ${f%%=*} == "$1" ]] && return 0; done; return 1; }
value() { local f; for f in "${FAULTS[@]}"; do [[ ${f%%=*} == "$1" ]] && echo "${f#*=}"; done; }

sshd_config() {
	printf '%s\n' "Port $1" 'ListenAddress 127.0.0.1' 'HostKey /etc/ssh/key' 'UsePAM no' 'UseDNS no' 'PidFile /run/sshd.pid'
	has no-sftp || echo 'Subsystem sftp /usr/lib/openssh/sftp-server'
	if has noisy; then echo 'Banner /etc/issue.net'; fi
	[[ -z $QEMU ]] || echo "SetEnv QEMU_CPU=$CPU"
}

up() {
	local name=$1 d=$TOP/boards/$1 port p i
	shift
	FAULTS=("$@")
	able
	base
	[[ ! -s $d/pid1 ]] || down "$name"
	rm -rf "$d"
	mkdir -p "$d"/{rw,root}
	for i in {1..50}; do
		port=$((20000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port" >"$d/port"
	ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$d/key"
	sshd_config "$port" >"$d/sshd_config"
	hardware "$d"
	: >"$d/binfmt"
	[[ -z $QEMU ]] || printf '%s' ':board:M::\x7fELF\x'$CLASS'\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x'$MACHINE'\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$(command -v $QEMU)"':FP' >"$d/binfmt"
	mkfifo "$d/go"
	{
		declare -p FAULTS
		declare -f has value first_process
		# shellcheck disable=SC2016 # its own words
		echo 'first_process "$@"'
	} >"$d/init"
	# a user namespace with the same numbers inside as outside, so that sshd can change to its users
	setsid unshare --user --mount --pid --uts --fork --kill-child --propagation private \
		/bin/bash "$d/init" "$d" "$TOP/base-$ARCH" "$name" "$DISK_MB" </dev/null >"$d/log" 2>&1 &
	echo $! >"$d/pid"
	for i in {1..100}; do
		p=$(pgrep -P "$(<"$d/pid")" | head -n1) && [[ -n $p ]] && break
		sleep 0.05
	done
	[[ -n ${p:-} ]] || die "it did not start: $(tail -n1 "$d/log")"
	echo "$p" >"$d/pid1"
	echo '0 0 65536' >"/proc/$p/uid_map"
	echo '0 0 65536' >"/proc/$p/gid_map"
	echo go >"$d/go"
	for i in {1..200}; do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { echo "$port"; return; }
		kill -0 "$p" 2>/dev/null || die "it ended: $(tail -n1 "$d/log")"
		sleep 0.1
	done
	die "its server does not listen: $(tail -n1 "$d/log")"
}

# first_process is what runs as process 1 of a board.
first_process() {
	set -e
	local d=$1 base=$2 name=$3 mb=$4 r=$1/root h=$1/root/home/pi n left
	if [[ -z ${BOARD_MAPPED:-} ]]; then
		read -r _ <"$d/go"
		exec env BOARD_MAPPED=1 /bin/bash "$0" "$@" # only a program started after the map is root in here
	fi
	unset BOARD_MAPPED
	mount -t tmpfs -o "size=${mb}m,mode=755" rw "$d/rw"
	mkdir "$d/rw/up" "$d/rw/work"
	mount -t overlay -o "lowerdir=$base,upperdir=$d/rw/up,workdir=$d/rw/work" board "$r"
	mount -t proc proc "$r/proc"
	mount --bind "$d/cpuinfo" "$r/proc/cpuinfo"
	mount --bind "$d/sys" "$r/sys"
	mount -t tmpfs -o mode=755,size=1m dev "$r/dev"
	for n in null zero full random urandom tty; do
		touch "$r/dev/$n"
		mount --bind "/dev/$n" "$r/dev/$n"
	done
	ln -s /proc/self/fd "$r/dev/fd"
	has no-shm || { mkdir "$r/dev/shm" && mount -t tmpfs -o mode=1777,size=32m shm "$r/dev/shm"; }
	mount -t tmpfs -o mode=755,size=4m run "$r/run"
	mkdir "$r/run/sshd"
	n=mode=1777,size=32m
	if has tmp-noexec; then n+=,noexec; fi
	mount -t tmpfs -o "$n" tmp "$r/tmp"
	if has tmp-noexec; then mount --bind "$r/tmp" "$r/var/tmp"; fi
	if [[ -s $d/binfmt ]]; then
		mount -t binfmt_misc binfmt "$r/proc/sys/fs/binfmt_misc" # it has to stay mounted: the entry lives as long
		cat "$d/binfmt" >"$r/proc/sys/fs/binfmt_misc/register"
	fi
	cp "$d/sshd_config" "$r/etc/ssh/sshd_config"
	install -m 600 "$d/key" "$r/etc/ssh/key"
	hostname "$name"
	if has noisy; then
		echo '*** authorised users only ***' >"$r/etc/issue.net"
		echo 'echo "Welcome! 42 updates are pending."' >"$h/.bashrc"
	fi
	if has busybox; then # sshd and its libraries stay; every other tool is busybox
		cp "$r/bin/busybox" "$r/run/busybox"
		rm -f "$r"/usr/bin/*
		mv "$r/run/busybox" "$r/usr/bin/busybox"
		for n in sh umount ls cat mv rm rmdir mkdir chmod uname id tail printf kill sleep gzip netstat; do ln -s busybox "$r/usr/bin/$n"; done
		sed -i 's#/bin/bash#/bin/sh#' "$r/etc/passwd"
	fi
	if has home-ro; then mount --bind "$h" "$h" && mount -o remount,bind,ro "$h"; fi
	if has home-noexec; then mount --bind "$h" "$h" && mount -o remount,bind,noexec "$h"; fi
	if has disk-full; then
		left=$(df -k --output=avail "$d/rw" | tail -n1)
		head -c $(((left - $(value disk-full)) * 1024)) /dev/zero >"$r/var/filler"
	fi
	cd "$r"
	pivot_root . old
	exec </dev/null
	hash -r
	umount -l /old
	trap 'exit 0' TERM
	while :; do # sshd may be ended and started again
		/usr/sbin/sshd -D -e &
		wait $! || true
		sleep 0.2
	done
}

inside() {
	local d=$TOP/boards/$1
	[[ -s $d/pid1 ]] || die "there is no board $1"
	shift
	nsenter -t "$(<"$d/pid1")" -U -m -p -u -r -w -S 0 -G 0 "$@"
}

# cut ends every process of the board but the first and the listening server.
cut() {
	local p ns inner server
	ns=$(readlink "/proc/$(<"$TOP/boards/$1/pid1")/ns/pid")
	server=$(inside "$1" cat /run/sshd.pid)
	for p in /proc/[0-9]*; do
		[[ $(readlink "$p/ns/pid" 2>/dev/null) == "$ns" ]] || continue
		inner=$(awk '/^NSpid/{print $NF}' "$p/status" 2>/dev/null) || continue
		if [[ $inner != 1 && $inner != "$server" ]]; then kill -9 "${p#/proc/}" 2>/dev/null || true; fi
	done
}

down() {
	local d=$TOP/boards/$1
	if [[ -s $d/pid1 ]]; then
		kill -9 "$(<"$d/pid1")" 2>/dev/null || true # with process 1 the kernel ends the others of its namespace
	fi
	rm -rf "$d" # its mounts were in that namespace
}

case ${1:-} in
able) able ;;
up) up "${@:2}" ;;
in) inside "${@:2}" ;;
cut) cut "$2" ;;
rekey)
	rm -f "$TOP/boards/$2"/key "$TOP/boards/$2"/key.pub
	ssh-keygen -q -t ed25519 -N '' -C new -f "$TOP/boards/$2/key"
	# shellcheck disable=SC2016 # the number is the board's
	inside "$2" sh -c 'cat >/etc/ssh/key && kill "$(cat /run/sshd.pid)"' <"$TOP/boards/$2/key"
	;;
down) down "$2" ;;
clean)
	for b in "$TOP"/boards/*/; do [[ ! -d $b ]] || down "$(basename "$b")"; done
	rm -rf "$TOP"
	;;
*) awk 'NR > 1 { if (!/^#/) exit; print }' "$0"; exit 2 ;;
esac
