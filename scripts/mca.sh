#!/usr/bin/env bash
# mca.sh - static cycles of the inner loops of the arm64 kernels by llvm-mca: a table, or one symbol.
#   scripts/mca.sh [SYMBOL...]       symbols of fettle-bench, e.g. fettle/kernels/conv.c7x12one
# Of each symbol the largest loop that holds no other is taken. A Cortex-A72 (LLVM gives it the tables of the A57) has one 128-bit multiply a
# cycle: 1.00 cycles a multiply is its bound. The Cortex-A76 is reckoned with the tables of the Neoverse N1, the same core for servers, which LLVM
# has from version 16 on (to the A76 itself it gives those of the A57): two multiplies a cycle, 0.50. Left out: caches, branch misses, the front end.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mca=$(compgen -c llvm-mca | sort -uV | tail -1) # the newest
command -v "${mca:-llvm-mca}" >/dev/null && command -v llvm-objdump >/dev/null || { echo "mca: llvm-mca and llvm-objdump are needed (Debian: llvm)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && CGO_ENABLED=0 GOARCH=arm64 "${GO:-go}" build -o "$work/arm" ./cmd/fettle-bench)
llvm-nm -n --defined-only "$work/arm" >"$work/syms"
conv=fettle/kernels/conv
default=($conv.c7x12one $conv.c7x8one $conv.c7x12s1 $conv.c7x12s2 $conv.c7x12any $conv.dw3s1r2 $conv.dw3s2r2 $conv.dwAny8 $conv.winoIn4 $conv.winoOut4
	$conv.qc4x16s1 $conv.qc4x16any $conv.qs2x16k4 $conv.qs2x16k6 $conv.qs2x16k8 $conv.qdw4s1 $conv.qdw4any $conv.d5x16u4 $conv.mul16x7 $conv.winoIn8 $conv.winoOut8 $conv.h7x24 fettle/kernels/gemm.gemm7x12N fettle/kernels/gemm.gemm7x24H
	fettle/kernels/quant.lookup16 fettle/kernels/quant.scale16 fettle/kernels/quant.sum16 fettle/kernels/eltwise.stepsN fettle/kernels/eltwise.siluN fettle/kernels/eltwise.expSumN)

loop() { # the largest innermost loop of a symbol, as a file for llvm-mca
	local a b
	read -r a b < <(awk -v s="$1" 'f && $1 != at { print at, $1; exit } $3 == s || $3 == s ".abi0" { if (!f) { f = 1; at = $1 } }' "$work/syms") || true
	[[ -n ${a:-} ]] || { echo "mca: no symbol $1" >&2; return 1; }
	llvm-objdump -d --no-show-raw-insn --no-leading-headers --mattr=+v8.2a,+dotprod,+fullfp16,+i8mm --start-address="0x$a" --stop-address="0x$b" "$work/arm" 2>/dev/null |
		sed -n 's/^ *\([0-9a-f]\{1,\}\): *\t*/\1\t/p' |
		awk -F'\t' '
			function hex(s,  i, n) { n = 0; s = tolower(s); sub(/^0x/, "", s)
				for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
				return n }
			{ at[NR] = hex($1); text[NR] = $2 "\t" $3; t = $0
			  if ($2 ~ /^(b|b\..*|cbz|cbnz|tbz|tbnz)$/ && match(t, /0x[0-9a-f]+/)) to[NR] = hex(substr(t, RSTART, RLENGTH)) }
			END { for (i = 1; i <= NR; i++) if (i in to && to[i] <= at[i] && to[i] >= at[1]) {
					ok = 1
					for (j = 1; j < i; j++) if (j in to && to[j] <= at[j] && to[j] >= to[i]) ok = 0
					if (ok && at[i] - to[i] > best) { best = at[i] - to[i]; l = to[i]; h = at[i] } }
				for (i = 1; i <= NR; i++) if (at[i] >= l && at[i] <= h) {
					s = text[i]; sub(/[ \t]*\/\/.*/, "", s)
					if (i in to || s ~ /^adrp/) sub(/0x[0-9a-f]+.*/, ".Lx", s)
					print s }
				print ".Lx:" }'
}

cycles() { # PROCESSOR: of an iteration of the loop in in.s, "-" where this LLVM knows no such processor
	"$mca" -mtriple=aarch64-linux-gnu -mcpu="$1" -mattr=+dotprod,+fullfp16,+i8mm -iterations=300 "$work/in.s" 2>"$work/err" | awk '/^Iterations:/ { it = $2 } /^Total Cycles:/ { c = sprintf("%.1f", $3 / it) } END { print c ? c : "-" }' || true
}
echo "| loop | instructions | multiplies | cycles, A72 | per multiply | cycles, A76 | per multiply |"
echo "|---|---|---|---|---|---|---|"
for s in "${@:-${default[@]}}"; do
	loop "$s" >"$work/in.s" || continue
	n=$(grep -vc '^\.L' "$work/in.s")
	m=$(grep -Ec '^[[:space:]]*(fmla|fmul|sdot|udot|smmla|smull|smlal|umlal|mla|mul|sqrdmulh)' "$work/in.s" || true)
	a72=$(cycles cortex-a72) a76=$(cycles neoverse-n1)
	awk -v s="${s#fettle/kernels/}" -v n="$n" -v m="$m" -v a="$a72" -v b="$a76" 'function per(c) { return m && c != "-" ? sprintf("%.2f", c/m) : "-" }
		BEGIN { printf "| %s | %d | %d | %s | %s | %s | %s |\n", s, n, m, a, per(a), b, per(b) }'
done
