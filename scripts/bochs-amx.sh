#!/usr/bin/env bash
# bochs-amx.sh - a build of the emulator Bochs in which Linux can use AMX, for scripts/test-avx512.sh.
#   scripts/bochs-amx.sh SOURCES     a checkout of https://github.com/bochs-emu/Bochs (3.0 or newer); prints the path of the program
# The sources are copied and corrected there: Linux turns tiles on by a feature (XFD) that Bochs lacks, Bochs takes signed bytes for
# unsigned ones and saves half of the tiles, and jumps between traces (trace linking) survive code that patches itself.
set -euo pipefail
[[ -f ${1:-}/bochs/cpu/avx/amx.cc ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
out=${XDG_CACHE_HOME:-$HOME/.cache}/fettle/bochs
rm -rf "$out"
mkdir -p "$out"
cp -r "$1/bochs/." "$out/"
cd "$out"
(
	cd cpu
	# The two registers of the feature, and that it exists for tile data.
	sed -i '/^  Bit64u ia32_xss;$/a\  Bit64u ia32_xfd, ia32_xfd_err;' cpu.h
	sed -i '/BX_CPU_THIS_PTR msr.ia32_xss = 0;/a\  BX_CPU_THIS_PTR msr.ia32_xfd = BX_CPU_THIS_PTR msr.ia32_xfd_err = 0;' init.cc
	sed -i '/msr_desc\[BX_MSR_XSS\] = /a\  msr_desc[BX_MSR_IA32_XFD] = new MSR_Descriptor("MSR_IA32_XFD", BX_ISA_AMX);\n  msr_desc[BX_MSR_IA32_XFD_ERROR] = new MSR_Descriptor("MSR_IA32_XFD_ERR", BX_ISA_AMX);' msr.cc
	sed -i '/^      val64 = BX_CPU_THIS_PTR msr.ia32_xss;/,/break;/s/break;/break;\n    case BX_MSR_IA32_XFD: val64 = BX_CPU_THIS_PTR msr.ia32_xfd; break;\n    case BX_MSR_IA32_XFD_ERROR: val64 = BX_CPU_THIS_PTR msr.ia32_xfd_err; break;/' msr.cc
	sed -i '/^      BX_CPU_THIS_PTR msr.ia32_xss = val_64;/,/break;/s/break;/break;\n    case BX_MSR_IA32_XFD: BX_CPU_THIS_PTR msr.ia32_xfd = val_64; break;\n    case BX_MSR_IA32_XFD_ERROR: BX_CPU_THIS_PTR msr.ia32_xfd_err = val_64; break;/' msr.cc
	sed -i '/leaf->eax |= (1<<3);/a\    if (is_cpu_extension_supported(BX_ISA_AMX)) leaf->eax |= (1<<4);' cpuid.cc
	sed -i '/XTILEDATA_BIT\].attr   = BX_XSAVE_ALIGN64;/s/BX_XSAVE_ALIGN64/BX_XSAVE_ALIGN64 | BX_XSAVE_XFD_SUPPORT/' crregs.cc
	# The first use of a tile by a process without room for tiles is an exception.
	nm='  if (BX_CPU_THIS_PTR msr.ia32_xfd \& (1<<18)) { BX_CPU_THIS_PTR msr.ia32_xfd_err = 1<<18; exception(BX_NM_EXCEPTION, 0); }'
	sed -i "/ BX_CPU_C::check_tile(bxInstruction_c/,/^{/s/^{/{\n$nm/; / BX_CPU_C::TILEZERO_Tnnn/,/^{/s/^{/{\n$nm/" avx/amx.cc
	# Saving: all sixteen rows, rows and bytes in their places, in use when something was loaded, parts aligned in the size.
	sed -i 's/for (unsigned row=0; row < BX_TILE_REGISTERS; row++)/for (unsigned row=0; row < BX_TILE_MAX_ROWS; row++)/; s/return (BX_CPU_THIS_PTR amx->tile_use_tracker == 0);.*/return (BX_CPU_THIS_PTR amx->tile_use_tracker != 0) \&\& ! (BX_CPU_THIS_PTR msr.ia32_xfd \& (1<<18));/' xsave.cc
	sed -i 's/tilecfg.vmm16u(8+n)    = BX_CPU_THIS_PTR amx->tilecfg\[n\].rows;/tilecfg.vmm16u(8+n) = BX_CPU_THIS_PTR amx->tilecfg[n].bytes_per_row;/; s/tilecfg.vmmubyte(48+n) = BX_CPU_THIS_PTR amx->tilecfg\[n\].bytes_per_row;/tilecfg.vmmubyte(48+n) = BX_CPU_THIS_PTR amx->tilecfg[n].rows;/' xsave.cc
	sed -i '/^static unsigned xsave_max_size_required_by_xsaves_features/,/^}/{s/^    if (features & (1 << n))$/    if (features \& (1 << n)) {\n      if (xsave_restore[n].attr \& BX_XSAVE_ALIGN64) max_size = (max_size + 63) \& ~63;/; s/max_size += xsave_restore\[n\].len;/max_size += xsave_restore[n].len; }/}' cpuid.cc
	# Products of signed bytes.
	awk '/^BX_CPP_INLINE Bit32u DPBD/ { x = y = "Bit8u"; if ($3 ~ /^DPBDS/) x = "Bit8s"; if ($3 ~ /^DPBD.S\(/) y = "Bit8s" }
		/const Bit8u xbyte/ { gsub(/Bit8u/, x) } /const Bit8u ybyte/ { gsub(/Bit8u/, y) }
		/Bit32. p[0-3]dword = / { gsub(/Bit32[us]\(/, "Bit32s(") } { print }' avx/amx.cc >amx.new
	mv amx.new avx/amx.cc
	# A correction that found nothing means other sources: say so instead of testing with a wrong processor.
	for c in 'ia32_xfd_err:msr.cc' 'ia32_xfd:cpu.h' 'ia32_xfd:init.cc' '1<<4.*;:cpuid.cc' 'BX_XSAVE_XFD_SUPPORT:crregs.cc' 'BX_NM_EXCEPTION:avx/amx.cc' 'BX_TILE_MAX_ROWS:xsave.cc' 'const Bit8s xbyte:avx/amx.cc' 'const Bit8s ybyte:avx/amx.cc'; do
		grep -q "${c%:*}" "${c#*:}" || { echo "bochs-amx.sh: ${c#*:} of these sources is not what the corrections expect" >&2; exit 1; }
	done
)
{
	CXXFLAGS="-O2 -pipe" CFLAGS=-O2 ./configure --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-amx --enable-all-optimizations \
		--enable-protection-keys --with-nogui --disable-docbook --disable-plugins
	sed -i 's/^#define BX_ENABLE_TRACE_LINKING 1/#define BX_ENABLE_TRACE_LINKING 0/' config.h
	make -j"$(nproc)"
} >"$out/build.log" 2>&1 || { tail -5 "$out/build.log" >&2; exit 1; }
echo "$out/bochs"
