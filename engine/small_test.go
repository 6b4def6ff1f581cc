package engine_test

import (
	"context"
	"strings"
	"testing"

	"fettle/engine"
	"fettle/model"
)

// TestSmall holds a plan for little memory to a third more than the weights of the file, and its numbers to those of the
// fast one.
func TestSmall(t *testing.T) {
	ctx := context.Background()
	m := optimized(t, resized(t, "resnet18", 64))
	var weights int64
	for _, in := range m.Graph.Inits {
		weights += int64(len(in.Tensor.Raw))
	}
	in := inputs(t, m, 1)
	for _, f := range levels(t) {
		compile := func(o engine.Options) *engine.Plan {
			o.Threads, o.Features, o.Shapes = 1, f, shapes(in)
			p, err := engine.Compile(ctx, m, o)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		fast, small := compile(engine.Options{}), compile(engine.Options{Small: true})
		if small.PackBytes > weights+weights/3 {
			t.Errorf("%v: %d bytes packed for %d", f, small.PackBytes, weights)
		}
		for _, s := range small.Steps {
			if strings.Contains(s.Kernel, "wino") {
				t.Errorf("%v: %s runs as %s", f, s.Name, s.Kernel)
			}
		}
		if d, where := differ(runPlan(t, fast, in), runPlan(t, small, in)); d < 0 || d > 2e-4 {
			t.Errorf("%v: off by %g: %s", f, d, where)
		}
		// With room for the fast weights they are taken, with less the plan is small by itself.
		if p := compile(engine.Options{Room: fast.PackBytes}); p.Options.Small || p.PackBytes != fast.PackBytes {
			t.Errorf("%v: small %t with room for all", f, p.Options.Small)
		}
		if fast.PackBytes > small.PackBytes {
			p := compile(engine.Options{Room: fast.PackBytes - 1})
			if !p.Options.Small || p.PackBytes != small.PackBytes {
				t.Errorf("%v: small %t, %d bytes, without room", f, p.Options.Small, p.PackBytes)
			}
			q, err := engine.OpenPrepared(ctx, prepare(t, p), preparedKey, p.Options)
			if err != nil {
				t.Fatal(err)
			}
			samePlan(t, p, q)
		}
	}
}

// TestSmallBytes holds that a small plan of bytes has no transformed weights, and the same bits.
func TestSmallBytes(t *testing.T) {
	ctx := context.Background()
	text := qdq("int8[1, 64, 9, 7]", "int8[1, 64, 9, 7]", ", int8[64, 64, 3, 3] w = random(3, -127, 127), float ws = {0.001}",
		"  xf = DequantizeLinear (x, xs, xz)\n  wf = DequantizeLinear (w, ws)\n  r = Conv <pads = [1, 1, 1, 1]> (xf, wf)\n  y = QuantizeLinear (r, ys, yz)")
	m := parse(t, text)
	in := inputs(t, m, 1)
	for _, f := range levels(t) {
		run := func(small bool) (*engine.Plan, []*model.Tensor) {
			p, err := engine.Compile(ctx, m, engine.Options{Threads: 1, Features: f, Shapes: shapes(in), Small: small})
			if err != nil {
				t.Fatal(err)
			}
			return p, runPlan(t, p, in)
		}
		fast, a := run(false)
		small, b := run(true)
		if !equalBits(a, b) {
			t.Errorf("%v: a small plan gives other bits", f)
		}
		if small.PackBytes > fast.PackBytes {
			t.Errorf("%v: %d bytes packed, %d without the wish for few", f, small.PackBytes, fast.PackBytes)
		}
		for _, s := range small.Steps {
			if strings.Contains(s.Kernel, "wino") {
				t.Errorf("%v: %s runs as %s", f, s.Name, s.Kernel)
			}
		}
	}
}
