#!/usr/bin/env bash
# insn-count.sh - count the instructions one arm64 (armhf, riscv64) program executes,
# exactly and repeatably, without the hardware: qemu-user with a small TCG plugin.
#
#   BOARD_DIR=/some/dir insn-count.sh PROGRAM [ARG...]
#
# Settings (environment):
#   BOARD_DIR    required; the plugin and the report go under it
#   INSN_SYM     names to count on their own, a comma list of extended regular
#                expressions matched against the program's symbols, e.g.
#                'main\.dot,main\.gemm.*' (a Go binary built without -s -w)
#   INSN_CPU     qemu -cpu           (default cortex-a72)
#   INSN_ROOT    arm64 root for dynamic programs (qemu -L); its proc/cpuinfo is
#                what the program sees
#   INSN_OUT     file for the counts (default: standard error)
#
# The counts: 'total' is noisy by parts per thousand for a Go program (scheduler and
# collector); a symbol that only computes is exact. Compare symbols, not totals.
# Inside a symbol, calls out of it are not counted: name the callees too.
set -euo pipefail

: "${BOARD_DIR:?set BOARD_DIR to the directory that may be written}"
(($#)) || { awk 'NR > 1 { if (!/^#/) exit; print }' "$0"; exit 2; }
CPU=${INSN_CPU:-} ROOT=${INSN_ROOT:-} SYM=${INSN_SYM:-} OUT=${INSN_OUT:-}
mkdir -p "$BOARD_DIR"
B=$(cd "$BOARD_DIR" && pwd)/insn
mkdir -p "$B"

need() {
	local missing=() spec
	# the dynamic qemu-user: Debian's static build has no plugins
	for spec in qemu-aarch64:qemu-user gcc:gcc nm:binutils; do
		command -v "${spec%%:*}" >/dev/null || missing+=("${spec##*:}")
	done
	[[ -e /usr/include/stdint.h ]] || missing+=(libc6-dev)
	((${#missing[@]})) || return 0
	echo "insn-count: missing; install (Debian): ${missing[*]}" >&2
	exit 2
}

plugin() {
	[[ $B/libcount.so -nt $0 ]] && return 0
	cat >"$B/count.c" <<-'C'
		/* Counts executed guest instructions: all, and those in given address ranges.
		 * Debian has no package with qemu-plugin.h, so the few calls used (plugin API 1,
		 * qemu 4.2 and later) are declared here. */
		#include <inttypes.h>
		#include <stdbool.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		typedef uint64_t qemu_plugin_id_t;
		struct qemu_plugin_tb;
		struct qemu_plugin_insn;
		enum { NO_REGS = 0 };
		extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
			void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
		extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *,
			void (*)(unsigned, void *), int, void *);
		extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
		extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
		extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
		extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
		__attribute__((visibility("default"))) int qemu_plugin_version = 1;

		struct range { uint64_t lo, hi, n; char name[200]; };
		static struct range *r;
		static size_t nr;
		static uint64_t total;
		static const char *out;

		static void add(unsigned cpu, void *p) { (void)cpu; __atomic_fetch_add((uint64_t *)p, 1, __ATOMIC_RELAXED); }

		static void trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
		{
			(void)id;
			for (size_t i = 0, n = qemu_plugin_tb_n_insns(tb); i < n; i++) {
				struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(tb, i);
				uint64_t a = qemu_plugin_insn_vaddr(in);
				qemu_plugin_register_vcpu_insn_exec_cb(in, add, NO_REGS, &total);
				for (size_t k = 0; k < nr; k++)
					if (a >= r[k].lo && a < r[k].hi)
						qemu_plugin_register_vcpu_insn_exec_cb(in, add, NO_REGS, &r[k].n);
			}
		}

		static void fini(qemu_plugin_id_t id, void *p)
		{
			(void)id; (void)p;
			FILE *f = fopen(out, "w");
			if (!f) { perror(out); return; }
			for (size_t k = 0; k < nr; k++) fprintf(f, "%s %" PRIu64 "\n", r[k].name, r[k].n);
			fprintf(f, "total %" PRIu64 "\n", total);
			fclose(f);
		}

		__attribute__((visibility("default")))
		int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
		{
			(void)info;
			for (int i = 0; i < argc; i++) {
				if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
				else if (!strncmp(argv[i], "ranges=", 7)) {
					FILE *f = fopen(argv[i] + 7, "r");
					struct range x = {0};
					while (f && fscanf(f, "%" SCNx64 " %" SCNx64 " %199s", &x.lo, &x.hi, x.name) == 3) {
						r = realloc(r, (nr + 1) * sizeof *r);
						r[nr++] = x;
					}
					if (f) fclose(f);
				}
			}
			if (!out) return -1;
			qemu_plugin_register_vcpu_tb_trans_cb(id, trans);
			qemu_plugin_register_atexit_cb(id, fini, NULL);
			return 0;
		}
	C
	gcc -O2 -Wall -Wextra -shared -fPIC "$B/count.c" -o "$B/libcount.so"
}

need
plugin
prog=$1
shift
# the ELF machine number picks the emulator
case $(od -An -tu2 -j18 -N2 "$prog" | tr -d ' ') in
183) q=qemu-aarch64 CPU=${CPU:-cortex-a72} ;;
40) q=qemu-arm CPU=${CPU:-cortex-a7} ;;
243) q=qemu-riscv64 CPU=${CPU:-rv64} ;;
*) echo "insn-count: $prog is not arm64, armhf or riscv64" >&2; exit 2 ;;
esac
w=$(mktemp -d "$B/run.XXXXXX")
trap 'rm -rf "$w"' EXIT
: >"$w/ranges"
if [[ -n $SYM ]]; then # an end is the next symbol's start: Go's symbols carry no size
	nm -n "$prog" | awk '$2 ~ /^[tTwW]$/ {print $1, $3}' >"$w/syms"
	IFS=, read -r -a want <<<"$SYM"
	awk -v re="^($(IFS='|'; echo "${want[*]}"))\$" '
		prev != "" && $1 != at { print at, $1, prev; prev = "" }
		$2 ~ re { prev = $2; at = $1 }' "$w/syms" >"$w/ranges"
	[[ -s $w/ranges ]] || { echo "insn-count: no symbol matches $SYM" >&2; exit 2; }
fi
rc=0
"$q" -cpu "$CPU" ${ROOT:+-L "$ROOT"} -plugin "$B/libcount.so,out=$w/out,ranges=$w/ranges" \
	"$prog" "$@" || rc=$?
if [[ -n $OUT ]]; then cat "$w/out" >"$OUT"; else cat "$w/out" >&2; fi
exit "$rc"
