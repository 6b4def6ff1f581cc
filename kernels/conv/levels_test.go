package conv

import (
	"testing"

	"fettle/kernels/cpu"
)

// A plan for a processor names no instruction set that it lacks, ends with the portable kernel, and the richest level is used by
// something: tables are asked for processors that this machine is not.
func TestLevels(t *testing.T) {
	full := []cpu.Features{
		{Arch: "amd64", AVX2: true, AVX512: true, VNNI: true, AMXTile: true, AMXInt8: true, AMXBF16: true},
		{Arch: "arm64", NEON: true, DotProd: true, I8MM: true},
		{Arch: "arm", NEON: true},
	}
	for _, all := range full {
		used := map[cpu.ISA]bool{}
		for _, level := range all.Levels() {
			f := all.Limit(level)
			for _, c := range cases() {
				for _, fast := range []bool{false, true} {
					s := c.s
					s.Fast = fast
					algs, err := Plan(s, f)
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range algs {
						used[a.ISA] = true
						if !f.Has(a.ISA) || a.ISA == cpu.AMXBF16 && !fast {
							t.Errorf("%s for %v, fast %t", a.Name, level, fast)
						}
					}
					if algs[len(algs)-1].ISA != cpu.Generic {
						t.Errorf("%s: the last of the plan is %s", c.name, algs[len(algs)-1].Name)
					}
				}
				algs, err := PlanQ(c.s, f)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range algs {
					used[a.ISA] = true
					if !f.Has(a.ISA) {
						t.Errorf("%s for %v", a.Name, level)
					}
				}
			}
		}
		for _, level := range []cpu.ISA{cpu.AVX2, cpu.AVX512F, cpu.AVX512VNNI, cpu.AMXInt8, cpu.AMXBF16} {
			if all.Arch == "amd64" && cpu.Detect().Arch == "amd64" && !used[level] {
				t.Errorf("nothing uses %v", level)
			}
		}
	}
}
