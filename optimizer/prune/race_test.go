package prune

import (
	"context"
	"strings"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// TestSlowerIsRefused: what takes longer is undone and says the milliseconds, unless it is to be kept; one measurement that other work disturbed is
// not enough for that.
func TestSlowerIsRefused(t *testing.T) {
	m := twoLayers(t, 1, 4, 6)
	for _, c := range []struct {
		name, slower  string
		before, after []float64 // of one measurement after the other; the last one goes on
		refused       bool
		says          string
	}{
		{"faster", "refuse", []float64{2}, []float64{1.5}, false, "2.000 ms before, 1.500 ms after"},
		{"the same", "refuse", []float64{2}, []float64{2.05}, false, "2.050 ms after"},
		{"slower", "refuse", []float64{2}, []float64{2.5}, true, "prune-channels made it slower and was undone"},
		{"slower, kept", "keep", []float64{2}, []float64{2.5}, false, "slower, and kept as asked"},
		{"disturbed", "refuse", []float64{2.8, 2}, []float64{14.8, 1.6}, false, "2.000 ms before, 1.600 ms after"},
		{"slower in every measurement", "refuse", []float64{2.8, 2.2, 2}, []float64{14.8, 2.6, 2.7}, true, "2.000 ms before, 2.600 ms after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := New().(*pass)
			p.o.Ratio, p.o.Refit, p.o.Slower = 0.375, "none", c.slower
			measured := 0
			env := &optimizer.Env{Race: func(context.Context, *model.Model, *model.Model) (float64, float64, error) {
				k := min(measured, len(c.before)-1)
				measured++
				return c.before[k], c.after[k], nil
			}}
			out, found, err := p.Apply(context.Background(), env, m)
			if err != nil {
				t.Fatal(err)
			}
			last := found[len(found)-1]
			if (out == m) != c.refused || (last.Outcome == optimizer.Refused) != c.refused || !strings.Contains(last.Reason, c.says) {
				t.Errorf("refused %v, %s: %q", out == m, last.Outcome, last.Reason)
			}
			if c.refused && !strings.HasPrefix(found[0].Reason, "undone") {
				t.Errorf("the group still says %q", found[0].Reason)
			}
		})
	}
}
