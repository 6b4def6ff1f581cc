package quantize

import (
	"context"
	"strings"
	"testing"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer"
)

// outliers has two columns behind a normalisation that are much larger than the others, as transformers have.
const outliers = `<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 6, 16] x) => (float[1, 6, 8] y)
<float[16] s = random(1, 0.5, 1.5), float[16] b = random(2, -0.2, 0.2), float[16, 12] w1 = random(3, -0.5, 0.5), float[16, 12] w2 = random(4, -0.5, 0.5), float[24, 8] w3 = random(5, -0.5, 0.5)>
{
  [norm] n = LayerNormalization (x, s, b)
  [left] l = MatMul (n, w1)
  [right] r = MatMul (n, w2)
  [cat] c = Concat <axis = 2> (l, r)
  [out] y = MatMul (c, w3)
}`

func withOutliers(t *testing.T) *model.Model {
	m := parse(t, outliers)
	for _, j := range []int{3, 11} {
		model.Data[float32](m.Graph.Init("s"))[j] *= 60
		for _, w := range []string{"w1", "w2"} {
			for o := range 12 {
				model.Data[float32](m.Graph.Init(w))[j*12+o] /= 60
			}
		}
	}
	return m
}

func TestSmoothMovesLargeColumns(t *testing.T) {
	ctx := context.Background()
	m := withOutliers(t)
	in, _ := optimizer.RandomInputs(m, 32, 3)
	env := &optimizer.Env{Data: items(in)}
	out, found, err := NewSmooth().Apply(ctx, env, m)
	if err != nil {
		t.Fatal(err)
	}
	last := found[len(found)-1]
	if last.Outcome != optimizer.Applied || !strings.Contains(found[0].Reason, "with a = 0.") {
		t.Fatalf("%+v", found)
	}
	if p, err := optimizer.Prove(ctx, optimizer.Reference{}, m, out, in, optimizer.Rounding); err != nil || !p.Within {
		t.Errorf("another function: %+v %v", p, err)
	}
	fresh, _ := optimizer.RandomInputs(m, 16, 77)
	var e [2]float64
	for i, x := range []*model.Model{m, out} {
		q, _ := apply(t, x, nil)
		p, err := optimizer.Prove(ctx, optimizer.Reference{}, m, q, fresh, optimizer.Scored)
		if err != nil {
			t.Fatal(err)
		}
		e[i] = p.MaxRel
	}
	if e[1]*2 > e[0] {
		t.Errorf("as int8: error %v before, %v after", e[0], e[1])
	}
}

func TestSmoothRefuses(t *testing.T) {
	const head = `<ir_version: 8, opset_import: ["" : 17]> g (float[1, 4, 6] x) => (float[1, 4, 6] y) <float[6] s = random(1), float[6] b = random(2), float[6, 6] w = random(3)> `
	for _, c := range []struct{ name, body, why string }{
		{"a sum reads it too", `{ n = LayerNormalization (x, s, b) z = MatMul (n, w) y = Add (z, n) }`, "has no weights to take the scales"},
		{"it is an output", `{ y = LayerNormalization (x, s, b) z = MatMul (y, w) }`, "an output of the model"},
		{"the weight is shared", `{ n = LayerNormalization (x, s, b) z = MatMul (n, w) y = MatMul (z, w) }`, "read by more than one node"},
		{"the scale is shared", `{ n = LayerNormalization (x, s, b) z = MatMul (n, w) y = Mul (z, s) }`, "read by more than one node"},
		{"no normalisation", `{ y = MatMul (x, w) }`, "no layer normalisation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := NewSmooth().Check(&optimizer.Env{}, parse(t, head+c.body))
			if err != nil {
				t.Fatal(err)
			}
			if found[0].Outcome == optimizer.Applied || !strings.Contains(found[0].Reason, c.why) {
				t.Errorf("%+v", found[0])
			}
		})
	}
	if _, _, err := NewSmooth().Apply(context.Background(), &optimizer.Env{}, withOutliers(t)); !fail.Is(err, fail.Usage) {
		t.Errorf("no data: %v", err)
	}
	// Columns of one size gain nothing, or the ledger shows that they do.
	m := withOutliers(t)
	for _, j := range []int{3, 11} {
		model.Data[float32](m.Graph.Init("s"))[j] /= 60
	}
	in, _ := optimizer.RandomInputs(m, 16, 3)
	if _, found, err := NewSmooth().Apply(context.Background(), &optimizer.Env{Data: items(in)}, m); err != nil || !strings.Contains(found[0].Reason, "error of its products") && !strings.Contains(found[0].Reason, "reverted") {
		t.Errorf("%+v %v", found, err)
	}
}
