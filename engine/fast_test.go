package engine_test

import (
	"context"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/kernels/cpu"
	"fettle/model"
	"fettle/ops"
)

// TestFast holds that only Fast plans take products of halves, only where the processor has them, and what they do to a network.
func TestFast(t *testing.T) {
	ctx := context.Background()
	tiles := cpu.Features{Arch: "amd64", AVX2: true, AVX512: true, VNNI: true, AMXTile: true, AMXInt8: true, AMXBF16: true}
	halves := func(p *engine.Plan) (n int) {
		for _, s := range p.Steps {
			if strings.Contains(s.Kernel, "bf16x3") {
				n++
			}
		}
		return n
	}
	nets := map[string]*model.Model{"resnet20": resized(t, "resnet20", 0)}
	small, err := smallText()
	if err != nil {
		t.Fatal(err)
	}
	nets["products"] = small
	for name, m := range nets {
		m = optimized(t, m)
		for _, c := range []struct {
			what string
			f    cpu.Features
			fast bool
			want bool
		}{{"exact", tiles, false, false}, {"fast", tiles, true, true}, {"fast without tiles", tiles.Limit(cpu.AVX512VNNI), true, false}} {
			if c.f.Arch != best().Arch {
				continue
			}
			p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: c.f, Fast: c.fast})
			if err != nil {
				t.Fatal(err)
			}
			if n := halves(p); (n > 0) != c.want {
				t.Errorf("%s, %s: %d steps of halves", name, c.what, n)
			}
		}
		if !best().Has(cpu.AMXBF16) {
			t.Log("the products are not run: this machine has no tiles of bf16")
			continue
		}
		in := inputs(t, m, 3)
		want, err := ops.Evaluate(ctx, m, in)
		if err != nil {
			t.Fatal(err)
		}
		var first []*model.Tensor
		for threads := 1; threads <= 2; threads++ {
			got, p := run(t, m, engine.Options{Threads: threads, Features: best(), Fast: true, Verify: true, Shapes: shapes(in)}, in)
			if halves(p) == 0 {
				t.Errorf("%s: no step of halves", name)
			}
			if d, where := differ(want, got); d < 0 || d > 1e-3 { // the errors of twenty layers
				t.Errorf("%s: off by %g of the largest: %s", name, d, where)
			}
			if first == nil {
				first = got
			} else if !equalBits(first, got) {
				t.Errorf("%s: two threads give other bits", name)
			}
		}
	}
}
