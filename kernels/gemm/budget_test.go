//go:build arm64 || arm

package gemm

import (
	"context"
	"testing"

	"fettle/kernels/cpu"
	"fettle/kernels/team"
)

// TestBudgetWork runs each kernel on fixed shapes, for kernels/cpu's TestBudgets to count what they execute.
func TestBudgetWork(t *testing.T) {
	crew := team.New(1)
	defer crew.Close()
	for i := range 14 {
		m := i/2 + 1
		s := Shape{M: m, N: 24, K: 64, Bias: true, ConstB: true, Half: i%2 == 1}
		algs, err := Plan(s, cpu.Detect())
		if err != nil {
			t.Fatal(err)
		}
		a := algs[0]
		data, b := cpu.Floats(a.PackedLen()), make([]float32, s.K*s.N)
		if err := a.Pack(data, b, s.N); err != nil {
			t.Fatal(err)
		}
		k, err := a.Bind(1)
		if err != nil {
			t.Fatal(err)
		}
		run, err := k.On(Buffers{A: make([]float32, m*s.K+64), LDA: s.K, Packed: data, C: make([]float32, m*s.N), LDC: s.N, Bias: make([]float32, s.N), Scratch: cpu.Floats(k.Scratch())})
		if err != nil {
			t.Fatal(err)
		}
		if err := crew.Run(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
}
