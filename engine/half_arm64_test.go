package engine_test

import (
	"context"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/ops"
)

// TestHalf holds that only Half plans take products in half precision, and what they do to a network.
func TestHalf(t *testing.T) {
	if !best().Has(cpu.NEONFP16) {
		t.Skip("no arithmetic in half precision")
	}
	ctx := context.Background()
	m := optimized(t, resized(t, "resnet20", 0))
	in := inputs(t, m, 3)
	want, err := ops.Evaluate(ctx, m, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, half := range []bool{false, true} {
		got, p := run(t, m, engine.Options{Threads: 1, Features: best(), Half: half, Verify: true, Shapes: shapes(in)}, in)
		n := 0
		for _, s := range p.Steps {
			if strings.Contains(s.Kernel, "half") {
				n++
			}
		}
		if (n > 0) != half {
			t.Errorf("half %t: %d steps in half precision", half, n)
		}
		d, where := differ(want, got)
		t.Logf("half %t: %d steps, off by %.1e of the largest", half, n, d)
		if d < 0 || d > 1e-2 { // the errors of twenty layers
			t.Errorf("half %t: off by %g of the largest: %s", half, d, where)
		}
	}
}
