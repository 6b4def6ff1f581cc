package predict

import (
	"strings"
	"testing"
)

func TestInt8(t *testing.T) {
	dense := Work{Op: "Conv", DType: "float32", MACs: 1e6, Window: []int{1, 1}, Strides: []int{1, 1}}
	window := Work{Op: "Conv", DType: "float32", MACs: 1e6, Window: []int{3, 3}, Strides: []int{1, 1}}
	strided := Work{Op: "Conv", DType: "float32", MACs: 1e6, Window: []int{3, 3}, Strides: []int{2, 2}}
	a72 := Machine{Arch: "arm64", Parts: []string{"Cortex-A72"}}
	a76 := Machine{Arch: "arm64", Parts: []string{"Cortex-A76"}, ISA: []string{"asimddp"}}
	avx2 := Machine{Arch: "amd64", ISA: []string{"avx2"}}
	vnni := Machine{Arch: "amd64", ISA: []string{"avx2", "avx512f", "avx512_vnni"}}
	for _, c := range []struct {
		name string
		m    Machine
		w    Work
		most float64
		wins bool // against the best float algorithm
		why  string
	}{
		{"A72, 1x1", a72, dense, 2, true, "no SDOT"},
		{"A72, 3x3: Winograd of both", a72, window, 2, false, "3x3: floats 16 with Winograd, 8 bits 9 with Winograd of 4 products of words, so floats may stay faster"},
		{"AVX2, 1x1", avx2, dense, 2, true, "32 products of 8 bits a cycle where floats have 16 (AVX2)"},
		{"AVX2, 3x3: Winograd of both", avx2, window, 2, true, "3x3: floats 64 with Winograd, 8 bits 72 with Winograd of 32 products of words"},
		{"A72, 3x3 with strides", a72, strided, 2, true, "8 products"},
		{"A53", Machine{Arch: "arm64", Parts: []string{"Cortex-A53"}}, dense, 2, true, "no SDOT"},
		{"A55", Machine{Arch: "arm64", Parts: []string{"Cortex-A55"}, ISA: []string{"asimddp"}}, dense, 4, true, "SDOT"},
		{"A76, 1x1", a76, dense, 4, true, "SDOT"},
		{"A76, 3x3: Winograd of floats only", a76, window, 4, false, "3x3: floats 32 with Winograd, 8 bits 32 directly"},
		{"VNNI", vnni, dense, 4, true, "VNNI"},
		{"AMX", Machine{Arch: "amd64", ISA: []string{"avx512f", "amx_int8"}}, window, 32, true, "AMX"},
		{"no table", Machine{Arch: "riscv64"}, dense, 0, false, "no peak is known"},
		{"integers already", a72, Work{Op: "Conv", DType: "int8", MACs: 1e6}, 0, false, "no floats"},
		{"nothing to multiply", a72, Work{Op: "Relu", DType: "float32"}, 0, false, "no floats"},
	} {
		g := Int8(c.m, c.w)
		if g.Most != c.most || (g.Against > 1) != c.wins || !strings.Contains(g.Why, c.why) {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
}
