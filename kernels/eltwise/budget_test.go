//go:build arm64 || arm

package eltwise

import (
	"testing"

	"fettle/kernels/cpu"
)

// TestBudgetWork runs each kernel on 64 lines, for kernels/cpu's TestBudgets to count what they execute.
func TestBudgetWork(t *testing.T) {
	k := New(cpu.Detect())
	const n = 64 * line
	a, b, d := make([]float32, n), make([]float32, n), make([]float32, n)
	for _, op := range []Op{Add, Sub, Mul, Div, Max, Min} {
		k.Binary(op, d, a, b)
	}
	for _, act := range acts() {
		k.Act(act, d, a)
	}
	k.AddScaled(d, a, 2)
	k.Steps(d, a, 2, -8, 7)
	k.Dot(a, b)
	k.Softmax(d, a, 1)
	k.AddNorm(d, a, a, b, b, b, 1)
}
