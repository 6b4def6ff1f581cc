//go:build arm64 || arm

package quant

import (
	"testing"

	"fettle/kernels/cpu"
)

// TestBudgetWork runs each kernel on 64 lines, for kernels/cpu's TestBudgets to count what they execute.
func TestBudgetWork(t *testing.T) {
	k := New(cpu.Detect())
	const n = 64 * line
	a, b, d := make([]uint8, n), make([]uint8, n), make([]uint8, n)
	s, f, acc := make([]int8, n), make([]float32, n), make([]int32, n)
	for i := range f {
		f[i] = 1
	}
	Quantize(k, d, f, 1, 3)
	Quantize(k, s, f, 1, 3)
	Requantize(k, d, acc, f, 3)
	Requantize(k, s, acc, f, 3)
	Dequantize(k, f, a, 1, 3)
	Dequantize(k, f, s, 1, 3)
	k.Add(d, a, b, Sum{A: 1, B: 1, Hi: 255})
	k.Mul(d, a, b, Product{K: 1, Hi: 255})
	k.Scale(d, a, &Line{Hi: 255})
	k.AddLines(new([Wide]int32), a)
	k.Lookups(new(Table))(d, a)
}
