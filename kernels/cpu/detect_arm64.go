package cpu

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
)

func detect(f *Features) {
	a := &cpu.ARM64
	f.NEON, f.DotProd, f.I8MM = a.HasASIMD, a.HasASIMDDP, a.HasI8MM
	f.FP16 = a.HasFPHP && a.HasASIMDHP
	b, err := os.ReadFile("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1")
	if err != nil {
		return
	}
	m, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(b)), "0x"), 16, 64)
	if err != nil {
		return
	}
	f.Part = uint32(m >> 4 & 0xfff)
	if m>>24&0xff == 0x41 {
		f.Vendor = "arm"
	}
	f.Model = coreName(f.Part)
}

// coreName names the usual cores. Source: Arm's technical reference manuals, field PartNum of MIDR_EL1.
func coreName(part uint32) string {
	switch part {
	case 0xd03:
		return "Cortex-A53"
	case 0xd04:
		return "Cortex-A35"
	case 0xd05:
		return "Cortex-A55"
	case 0xd07:
		return "Cortex-A57"
	case 0xd08:
		return "Cortex-A72"
	case 0xd09:
		return "Cortex-A73"
	case 0xd0a:
		return "Cortex-A75"
	case 0xd0b:
		return "Cortex-A76"
	case 0xd0c:
		return "Neoverse-N1"
	case 0xd41:
		return "Cortex-A78"
	case 0xd44:
		return "Cortex-X1"
	}
	return ""
}
