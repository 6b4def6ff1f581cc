package engine_test

import (
	"context"
	"strings"
	"testing"

	"fettle/engine"
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
