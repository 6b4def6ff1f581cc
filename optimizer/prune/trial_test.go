package prune

import (
	"context"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// TestTrial: a whole choice is cut, fitted and judged as the model that it is; nothing cut does no damage; what cannot go is refused.
func TestTrial(t *testing.T) {
	m := chain(t, 3)
	in, err := optimizer.RandomInputs(m, 64, 3)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrial(context.Background(), &optimizer.Env{Data: items(in), Seed: 1}, m, 40, 24)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(cut map[string]int) float64 {
		t.Helper()
		d, err := tr.Damage(context.Background(), cut)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := damage(nil); d != 0 || tr.Judges != 24 {
		t.Errorf("nothing cut: damage %g on %d items", d, tr.Judges)
	}
	cut := map[string]int{"a0": 4, "a2": 6}
	whole := damage(cut)
	if small := damage(map[string]int{"a0": 4}); !(0 < small && small < whole) {
		t.Errorf("one group: %g, two: %g", small, whole)
	}
	// The error that is told is that of a mean where the damage is one: here it is a share of squares, whose error the halves of the items show in size.
	if e, err := tr.Spread(context.Background(), cut); err != nil || e <= 0 || e > whole/2 {
		t.Errorf("damage %g, standard error %g, %v", whole, e, err)
	}
	if e, err := tr.Spread(context.Background(), nil); err != nil || e != 0 {
		t.Errorf("nothing cut: standard error %g, %v", e, err)
	}
	out, err := tr.Model(context.Background(), cut)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := out.Graph.Init("a0.w").Shape[0], out.Graph.Init("b2.w").Shape[1]; a != 4 || b != 2 {
		t.Errorf("%d and %d channels are left", a, b)
	}
	sum := 0.0
	for i, x := range tr.x.judge {
		y, err := ops.Evaluate(context.Background(), out, x)
		if err != nil {
			t.Fatal(err)
		}
		sum += divergence(tr.x.want[i], model.Data[float32](y[0])) / 24
	}
	if d := sum - whole; d > 1e-6 || d < -1e-6 {
		t.Errorf("damage %g, the model says %g", whole, sum)
	}
	runs := tr.Runs()
	if damage(cut); tr.Runs() != runs {
		t.Error("a choice was run twice")
	}
	if _, err := tr.Damage(context.Background(), map[string]int{"a0": 8}); !fail.Is(err, fail.Invalid) {
		t.Errorf("all channels of a group: %v", err)
	}
}
