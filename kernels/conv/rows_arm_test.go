package conv

import (
	"os"
	"testing"
	"unsafe"

	"fettle/kernels/cpu"
)

// TestPlanPicksNEON: the differential test walks what Plan lists, so the vector kernels must be on the list, first, and absent for a processor
// without them.
func TestPlanPicksNEON(t *testing.T) {
	dw := with(sq(32, 14, 14, 32, 3, 1, 1), func(s *Shape) { s.Groups = 32 })
	for _, c := range []struct {
		name, want string
		s          Shape
	}{
		{"1x1", "f32_conv_3x12__neon", sq(64, 14, 14, 64, 1, 1, 0)},
		{"3x3 stride 2", "f32_conv_3x12__neon", sq(64, 14, 14, 64, 3, 2, 1)},
		{"3x3", "f32_wino4_4x8__neon", sq(64, 28, 28, 64, 3, 1, 1)},
		{"3x3, 72 outputs", "f32_wino4_3x12__neon", sq(64, 28, 28, 72, 3, 1, 1)},
		{"first layer", "f32_conv_first_3x12__neon", sq(3, 32, 32, 24, 3, 2, 1)},
		{"depthwise", "f32_dwconv_k3s1_2x7__neon", dw},
	} {
		for _, has := range []bool{true, false} {
			algs, err := Plan(c.s, cpu.Features{Arch: "arm", NEON: has})
			if err != nil {
				t.Fatal(err)
			}
			if has && algs[0].Name != c.want {
				t.Errorf("%s: %s, want %s", c.name, algs[0].Name, c.want)
			}
			for _, a := range algs {
				if !has && a.ISA != cpu.Generic {
					t.Errorf("%s: %s without NEON", c.name, a.Name)
				}
			}
		}
	}
}

// TestPlanQPicksNEON is TestPlanPicksNEON in 8 bit.
func TestPlanQPicksNEON(t *testing.T) {
	dw := with(sq(32, 14, 14, 32, 3, 1, 1), func(s *Shape) { s.Groups = 32 })
	for _, c := range []struct {
		name, want string
		s          Shape
	}{
		{"1x1", "qu8s8_conv_words_4x8__neon", sq(64, 14, 14, 64, 1, 1, 0)},
		{"3x3", "qu8s8_wino2_4x8__neon", sq(64, 14, 14, 64, 3, 1, 1)},
		{"first layer", "qu8s8_conv_first_4x8__neon", sq(3, 32, 32, 24, 3, 2, 1)},
		{"3x3 stride 2", "qu8s8_conv_words_4x8__neon", sq(64, 14, 14, 64, 3, 2, 1)},
		{"depthwise", "qu8s8_dwconv_1x8__neon", dw},
	} {
		for _, has := range []bool{true, false} {
			algs, err := PlanQ(c.s, cpu.Features{Arch: "arm", NEON: has})
			if err != nil {
				t.Fatal(err)
			}
			if has && algs[0].Name != c.want {
				t.Errorf("%s: %s, want %s", c.name, algs[0].Name, c.want)
			}
			for _, a := range algs {
				if !has && a.ISA != cpu.Generic {
					t.Errorf("%s: %s without NEON", c.name, a.Name)
				}
			}
		}
	}
}

// TestAbsentInstructions executes what FETTLE_TEST_EXECUTE names, whether the processor has it or not: scripts/test-armv7.sh sees that an emulated
// processor without NEON stops the program there, so that its other tests prove that the kernels are never called on it.
func TestAbsentInstructions(t *testing.T) {
	has := cpu.Detect().Has(cpu.NEON)
	t.Logf("NEON detected: %t", has)
	if os.Getenv("FETTLE_TEST_EXECUTE") != "neon" {
		return
	}
	x := []float32{-1, 2, -3, 4}
	actSpan(&dwArgs{dst: unsafe.Pointer(&x[0]), nt: 1, act: int64(cpu.ReLU)})
	if !has {
		t.Error("NEON was executed and not detected")
	}
}
