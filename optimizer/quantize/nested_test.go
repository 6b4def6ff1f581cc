package quantize

import (
	"bytes"
	"context"
	"math"
	"testing"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/optimizer"
)

func TestNestedHoldsTwoModels(t *testing.T) {
	ctx := context.Background()
	m := parse(t, net)
	fresh, _ := optimizer.RandomInputs(m, 16, 99)
	run := func(m *model.Model) [][]*model.Tensor {
		out, err := outputs(ctx, &optimizer.Env{}, m, fresh)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	float := run(m)
	for _, o := range []map[string]any{{"weights": "nested"}, {"weights": "nested", "activations": "none"}, {"weights": "nested", "export": "qoperator"}, {"weights": "nested", "rounding": "gptq"}} {
		both, found := apply(t, m, o)
		n, err := NestedOf(both)
		if err != nil || n == nil || len(n.Weights) != 3 || n.Tau == nil {
			t.Fatalf("%v: %+v %v", o, n, err)
		}
		if last := found[len(found)-1]; last.Label != "levels" {
			t.Errorf("%v: %+v", o, last)
		}
		high, err := Level(both, "int8")
		if err != nil || high != both {
			t.Errorf("int8 is another model: %v", err)
		}
		low, err := Level(both, "int4")
		if err != nil {
			t.Fatal(err)
		}
		distinct := map[byte]bool{}
		for _, w := range n.Weights {
			a, b := both.Graph.Init(w), low.Graph.Init(w)
			for i := range a.Raw {
				x, y := int(int8(a.Raw[i])), int(int8(b.Raw[i]))
				distinct[b.Raw[i]] = true
				if x < -120 || x > 119 || y%16 != 0 || y < -112 || y > 112 || x-y > 7 || y-x > 8 || x == 0 && y != 0 {
					t.Fatalf("%s: %d became %d", w, x, y)
				}
			}
		}
		if len(distinct) > 15 {
			t.Errorf("%d different weights", len(distinct))
		}
		eight, four := compare(float, run(high)), compare(float, run(low))
		if eight.SQNR < four.SQNR+3 || four.SQNR < 5 {
			t.Errorf("%v: int8 %v, int4 %v", o, eight, four)
		}
		// The file of one level alone is the same function.
		file, err := LevelFile(both)
		if err != nil {
			t.Fatal(err)
		}
		a, b := run(low), run(file)
		for i := range a {
			if !bytes.Equal(a[i][0].Raw, b[i][0].Raw) {
				t.Fatalf("%v: item %d: %v and %v", o, i, a[i][0].Raw, b[i][0].Raw)
			}
		}
		if o["export"] == nil && count4(file) != 3 {
			t.Errorf("%d weights of 4 bits", count4(file))
		}
		if _, err := Level(file, "int4"); !fail.Is(err, fail.Unsupported) {
			t.Errorf("a level of a level: %v", err)
		}
	}
	if _, err := Level(m, "int4"); !fail.Is(err, fail.Unsupported) {
		t.Errorf("a float model: %v", err)
	}
}

func count4(m *model.Model) (n int) {
	for _, in := range m.Graph.Inits {
		if in.Tensor.DType == model.Int4 {
			n++
		}
	}
	return n
}

func TestSuggestedMargin(t *testing.T) {
	for _, c := range []struct {
		name    string
		margins []float64
		same    []bool
		tau     float64
	}{
		{"all alike", []float64{0.1, 0.5}, []bool{true, true}, 0},
		{"one differs", []float64{0.1, 0.3, 0.9}, []bool{true, false, true}, 0.3},
		{"the surest differs", []float64{0.1, 0.3, 0.9}, []bool{true, true, false}, 0.9},
	} {
		tau, share, _ := suggest(c.margins, c.same)
		if math.Abs(tau-c.tau) > 1e-9 || share < settled {
			t.Errorf("%s: tau %v, %v alike", c.name, tau, share)
		}
		for i, m := range c.margins {
			if !c.same[i] && !(m < tau) {
				t.Errorf("%s: item %d is not asked again", c.name, i)
			}
		}
	}
}

func TestNestedRefusals(t *testing.T) {
	m := parse(t, net)
	in, _ := optimizer.RandomInputs(m, 4, 3)
	for _, o := range []map[string]any{{"activations": "dynamic"}, {"reduce_range": "on"}, {"export": "matmulnbits", "activations": "none"}, {"block": 16, "activations": "none"}} {
		o["weights"] = "nested"
		p := New()
		if err := spec.Decode(p.Options(), o); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in)}, m); !fail.Is(err, fail.Unsupported) {
			t.Errorf("%v: %v", o, err)
		}
	}
	bad, err := m.Apply(&model.Patch{Meta: []model.KV{{Key: NestedKey, Value: `{"weights":["w1"]}`}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Level(bad, "int4"); !fail.Is(err, fail.Invalid) {
		t.Errorf("damaged metadata: %v", err)
	}
}
