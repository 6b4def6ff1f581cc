package predict

import (
	"slices"
	"strings"
)

// corePeak is how many multiply-adds a core can start in a cycle.
type corePeak struct {
	part      string
	f32, int8 float64
	why       string
}

// arm64Peaks are by core, from Arm's software optimization guides: how many multiply-add instructions a cycle, times products in
// each. Where a range is known, the larger number stands: a floor must not be too high.
func arm64Peaks() []corePeak {
	return []corePeak{
		{"Cortex-A53", 4, 8, "64-bit loads pair with the products"},
		{"Cortex-A55", 4, 16, "one SDOT"},
		{"Cortex-A57", 4, 8, "as the A72"},
		{"Cortex-A72", 4, 8, "one multiply pipe: SMULL, SMLAL2, SADALP"},
		{"Cortex-A76", 8, 32, "two FMLA or SDOT"},
		{"Cortex-A78", 8, 32, "as the A76"},
		{"Cortex-A78AE", 8, 32, "as the A76"},
		{"Neoverse-N1", 8, 32, "as the A76"},
	}
}

// x86 peaks are by instructions: two fused multiply-add ports; VNNI has four products where a float has one; AMX works on tiles.
func x86Peak(isa []string, float bool) (float64, string) {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(isa, n) })
	}
	switch {
	case float && has("amx_bf16", "amx-bf16"):
		return 170, "" // three products of bfloat16 make one of float32
	case float && has("avx512f"):
		return 32, ""
	case float && has("avx2"):
		return 16, ""
	case !float && has("amx_int8", "amx-int8"):
		return 1024, ""
	case !float && has("avx512_vnni", "avx512vnni"):
		return 128, ""
	case !float && has("avx512f", "avx_vnni", "avxvnni"):
		return 0, "the peak of 8-bit products with these instructions is not in the table"
	case !float && has("avx2"):
		return 32, ""
	}
	return 0, "the target has no instructions whose peak is in the table (AVX2 or later)"
}

// peak is multiply-adds a cycle of one core, or 0 with the reason.
func peak(m Machine, dtype string) (float64, string) {
	small := dtype == "int8" || dtype == "uint8" || dtype == "i8" || dtype == "u8"
	if !float(dtype) && !small {
		return 0, "no peak is known for the number type " + quote(dtype)
	}
	switch m.Arch {
	case "amd64":
		return x86Peak(m.ISA, !small)
	case "arm64":
		return armPeak(m.Parts, small)
	}
	return 0, "no peak is known for the processor family " + quote(m.Arch)
}

// armPeak is that of the fastest of the cores, because nobody says which of them a layer ran on.
func armPeak(parts []string, small bool) (float64, string) {
	best := 0.0
	for _, p := range parts {
		i := slices.IndexFunc(arm64Peaks(), func(c corePeak) bool { return strings.EqualFold(c.part, p) })
		if i < 0 {
			return 0, "the peak of " + quote(p) + " is not in the table"
		}
		c := arm64Peaks()[i]
		if small {
			best = max(best, c.int8)
		} else {
			best = max(best, c.f32)
		}
	}
	if best == 0 {
		return 0, "the target does not say what core it has"
	}
	return best, ""
}

func quote(s string) string {
	if s == "" {
		return "(not named)"
	}
	return "\"" + s + "\""
}
