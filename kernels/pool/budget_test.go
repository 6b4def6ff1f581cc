//go:build arm64 || arm

package pool

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
	for mode := range 3 { // max, avg, max in 8 bit
		s := win(32, 15, 15, 3, 2, 1, 8, 8)
		s.Avg, s.Int8 = mode == 1, mode == 2
		in, out := cpu.NewLayout(1, s.C, s.H, s.W, s.Block(), cpu.Border{}), cpu.NewLayout(1, s.C, s.OutH, s.OutW, s.Block(), cpu.Border{})
		k, err := Bind(s, cpu.Detect(), in, out, 1)
		if err != nil {
			t.Fatal(err)
		}
		var run *Run
		if s.Int8 {
			run = k.On8(cpu.Aligned[uint8](in.Len()), cpu.Aligned[uint8](out.Len()))
		} else {
			run = k.On(cpu.Floats(in.Len()), cpu.Floats(out.Len()))
		}
		if err := crew.Run(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
}
