#!/usr/bin/env bash
# mca.sh - static cycles of the inner loops of the Arm kernels by llvm-mca: a table, or one symbol.
#   scripts/mca.sh [SYMBOL...]       symbols of fettle-bench, e.g. fettle/kernels/conv.c7x12one
#   ARCH=armv7 scripts/mca.sh ...    32-bit Arm
# Of each symbol the largest loop that holds no other is taken. The bound is what its instructions keep the busiest pipe (or pair of pipes) of the
# processor busy for, by the same tables, or how long their operations take to be issued to the pipes, three a cycle; cycles beyond it are waiting. On a Cortex-A72 (LLVM gives it the tables of the A57) a float instruction of 128
# bits takes both vector pipes, FMAX, FMIN and FADD like FMLA. The Cortex-A76 is reckoned with the tables of the Neoverse N1, the same core for servers,
# which LLVM has from version 16 on (to the A76 itself it gives those of the A57). A loop with instructions that a processor lacks has no figure for it.
# In 32 bits LLVM has tables of the A9 and the A57 (A72), none of the A7 and A53, which are in order. Left out: caches, branch misses, the front end.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mca=$(compgen -c llvm-mca | sort -uV | tail -1) # the newest
command -v "${mca:-llvm-mca}" >/dev/null && command -v llvm-objdump >/dev/null || { echo "mca: llvm-mca and llvm-objdump are needed (Debian: llvm)" >&2; exit 1; }
case ${ARCH:-arm64} in
arm64) goarch=arm64 triple=aarch64-linux-gnu dis=+v8.2a,+dotprod,+fullfp16,+i8mm; processors=("cortex-a72 A72 +neon" "neoverse-n1 A76 +dotprod,+fullfp16") ;;
armv7) goarch=arm triple=armv7-linux-gnueabihf dis=+neon processors=("cortex-a9 A9 +neon" "cortex-a72 A72 +neon") ;;
*) echo "mca: ARCH is arm64 or armv7, not $ARCH" >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && CGO_ENABLED=0 GOARCH=$goarch GOARM=7 "${GO:-go}" build -o "$work/arm" ./cmd/fettle-bench)
llvm-nm -n --defined-only "$work/arm" >"$work/syms"
conv=fettle/kernels/conv
default=($conv.c7x12one $conv.c7x8one $conv.c7x12s1 $conv.c7x12s2 $conv.c7x12any $conv.dw3s1r2 $conv.dw3s2r2 $conv.dwAny8 $conv.dw5s1x8 $conv.dw5s1x7 $conv.dw5s2x7 $conv.winoIn4 $conv.winoOut4
	$conv.qc4x16s1 $conv.qc4x16any $conv.qs2x16k4 $conv.qs2x16k6 $conv.qs2x16k8 $conv.qdw4s1 $conv.qdw4any $conv.d5x16u4 $conv.mul16x7 $conv.winoIn8 $conv.winoOut8 $conv.h7x24 fettle/kernels/gemm.gemm7x12N fettle/kernels/gemm.gemm7x24H
	fettle/kernels/quant.lookup16 fettle/kernels/quant.scale16 fettle/kernels/quant.sum16 fettle/kernels/eltwise.stepsN fettle/kernels/eltwise.siluN fettle/kernels/eltwise.expSumN
	$conv.m4x16u4 $conv.h7x8 fettle/kernels/pool.max4N)
[[ $goarch == arm64 ]] || default=($conv.c3x12one $conv.c4x8one $conv.c3x12s1 $conv.c3x12s2 $conv.dw3s1 $conv.dw3s2 $conv.dw5s1x4 $conv.winoIn4 $conv.winoOut4 $conv.words4x8s1 $conv.words4x8raw
	fettle/kernels/gemm.gemm3x12N fettle/kernels/pool.max4N)

loop() { # the largest innermost loop of a symbol, as a file for llvm-mca
	local a b
	read -r a b < <(awk -v s="$1" 'f && $1 != at { print at, $1; exit } $3 == s || $3 == s ".abi0" { if (!f) { f = 1; at = $1 } }' "$work/syms") || true
	[[ -n ${a:-} ]] || { echo "mca: no symbol $1" >&2; return 1; }
	llvm-objdump -d --no-show-raw-insn --no-leading-headers --mattr=$dis --start-address="0x$a" --stop-address="0x$b" "$work/arm" 2>/dev/null |
		sed -n 's/^ *\([0-9a-f]\{1,\}\): *\t*/\1\t/p' |
		awk -F'\t' '
			function hex(s,  i, n) { n = 0; s = tolower(s); sub(/^0x/, "", s)
				for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
				return n }
			{ at[NR] = hex($1); text[NR] = $2 "\t" $3; t = $0
			  if ($2 ~ /^(b|b\..*|b(eq|ne|ge|gt|le|lt|hs|lo|hi|ls|mi|pl)|cbz|cbnz|tbz|tbnz)$/ && match(t, /0x[0-9a-f]+/)) to[NR] = hex(substr(t, RSTART, RLENGTH)) }
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

cycles() { # PROCESSOR ATTRIBUTES: cycles of an iteration of the loop in in.s and its bound, "- -" where this LLVM knows no such processor or it lacks an instruction
	"$mca" -mtriple=$triple -mcpu="$1" -mattr="$2" -iterations=300 "$work/in.s" 2>"$work/err" >"$work/out" || { echo "- -"; return; }
	awk '/^Iterations:/ { it = $2 } /^Total Cycles:/ { c = $3 / it } /^Total uOps:/ { u = $3 / it } /^Dispatch Width:/ { b = u / $3 } /^Resource pressure per iteration:/ { at = NR + 2 }
		NR == at { for (i = 1; i <= NF; i++) if ($i + 0 > b) b = $i + 0 } END { if (c) printf "%.1f %.1f\n", c, b; else print "- -" }' "$work/out"
}
head="| loop | instructions | multiplies |" rule="|---|---|---|"
for p in "${processors[@]}"; do
	read -r _ name _ <<<"$p"
	head+=" cycles, $name | bound | ratio |" rule+="---|---|---|"
done
printf '%s\n%s\n' "$head" "$rule"
for s in "${@:-${default[@]}}"; do
	loop "$s" >"$work/in.s" || continue
	n=$(grep -vc '^\.L' "$work/in.s")
	m=$(grep -Ec '^[[:space:]]*(v?fmla|v?mla|fmul|sdot|udot|smmla|smull|smlal|umlal|vmlal|v?mul|sqrdmulh)' "$work/in.s" || true)
	row="| ${s#fettle/kernels/} | $n | $m |"
	for p in "${processors[@]}"; do
		read -r core _ attrs <<<"$p"
		read -r c b < <(cycles "$core" "$attrs")
		row+=$(awk -v c="$c" -v b="$b" 'BEGIN { printf " %s | %s | %s |", c, b, c == "-" ? "-" : sprintf("%.2f", c / b) }')
	done
	echo "$row"
done
