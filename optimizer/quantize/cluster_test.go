package quantize

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"fettle/internal/spec"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

const large = `g (float[1, 8, 6, 6] x) => (float[1, 10] y)
<float[32, 8, 3, 3] w1 = random(1), float[32] b1 = random(2), float[10, 32] w2 = random(3), float[32, 32, 1, 1] w3 = random(5), float[2, 2] w4 = random(6)>
{
  [one] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  b = Relu (a)
  [two] c = Conv (b, w3)
  [three] d = Conv (c, w3)
  e = GlobalAveragePool (d)
  f = Flatten (e)
  [four] y = Gemm <transB = 1> (f, w2)
}`

func clustered(t *testing.T, m *model.Model, options map[string]any, data optimizer.Data) (*model.Model, []optimizer.Finding) {
	t.Helper()
	p := NewCluster()
	if err := spec.Decode(p.Options(), options); err != nil {
		t.Fatal(err)
	}
	out, found, err := p.Apply(context.Background(), &optimizer.Env{Data: data}, m)
	if err != nil {
		t.Fatal(err)
	}
	return out, found
}

func TestClusterWeights(t *testing.T) {
	m := parse(t, large)
	in, _ := optimizer.RandomInputs(m, 12, 3)
	w1 := model.Data[float32](m.Graph.Init("w1"))
	for i := range w1 {
		if i%3 == 0 {
			w1[i] = 0
		}
	}
	before := -1.0
	for _, c := range []struct {
		clusters int
		start    string
		index    model.DType
	}{{4, "quantile", model.Uint4}, {16, "quantile", model.Uint4}, {16, "uniform", model.Uint4}, {64, "quantile", model.Uint8}} {
		out, found := clustered(t, m, map[string]any{"clusters": c.clusters, "start": c.start}, items(in))
		if last := found[len(found)-1]; last.Outcome != optimizer.Applied || !strings.Contains(last.Reason, "held-out items") || !strings.Contains(last.Reason, "saved as .packed") {
			t.Errorf("%+v", last)
		}
		if !strings.Contains(found[2].Reason, "shares the table") {
			t.Errorf("a shared weight: %+v", found[2])
		}
		for _, w := range []string{"w1", "w3"} {
			index, book := out.Graph.Init(w+"_indices"), out.Graph.Init(w+"_codebook")
			if index == nil || book == nil || index.DType != c.index || book.Len() > c.clusters || out.Graph.Init(w) != nil {
				t.Fatalf("%s: indices %v, codebook %v", w, index, book)
			}
			values := model.Data[float32](book)
			if !slices.IsSorted(values) {
				t.Errorf("%s: %v", w, values)
			}
			distinct := map[int64]bool{}
			for i, x := range model.Data[float32](m.Graph.Init(w)) {
				k := index.Int64At(i)
				distinct[k] = true
				if (x == 0) != (values[k] == 0) {
					t.Fatalf("%s: weight %v became %v", w, x, values[k])
				}
				for _, v := range values { // no other value is closer, but for zero
					if v != 0 && x != 0 && math.Abs(float64(x-v)) < math.Abs(float64(x-values[k]))-1e-9 {
						t.Fatalf("%s: weight %v became %v, %v is closer", w, x, values[k], v)
					}
				}
			}
			if len(distinct) != book.Len() {
				t.Errorf("%s: %d values in use of %d", w, len(distinct), book.Len())
			}
		}
		fresh, _ := optimizer.RandomInputs(m, 8, 9)
		p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, fresh, optimizer.Scored)
		if err != nil {
			t.Fatal(err)
		}
		if c.start == "quantile" {
			if before > 0 && p.MaxRel > before {
				t.Errorf("%d values: error %v, %v with fewer", c.clusters, p.MaxRel, before)
			}
			before = p.MaxRel
		}
	}
}

// TestKMeansIsNearTheBest: with few numbers every way to cut them can be tried.
func TestKMeansIsNearTheBest(t *testing.T) {
	x := []float32{-3, -2.9, -1, -0.8, -0.7, 0.1, 0.2, 1.5, 1.6, 1.7, 4}
	cost := func(values []float32, at []int) (sum float64) {
		for i, k := range at {
			d := float64(x[i] - values[k])
			sum += d * d
		}
		return sum
	}
	values, at := kmeans(x, ClusterOptions{Clusters: 3, Start: "quantile"})
	got := cost(values, at)
	best := math.Inf(1)
	for a := 1; a < len(x)-1; a++ {
		for b := a + 1; b < len(x); b++ {
			sum := 0.0
			for _, part := range [][]float32{x[:a], x[a:b], x[b:]} {
				mean := float32(0)
				for _, v := range part {
					mean += v / float32(len(part))
				}
				for _, v := range part {
					sum += float64((v - mean) * (v - mean))
				}
			}
			best = math.Min(best, sum)
		}
	}
	if got > 1.7*best {
		t.Errorf("squared error %v, the least possible %v", got, best)
	}
	// As many values as numbers keep every weight.
	values, at = kmeans(x, ClusterOptions{Clusters: 11, Start: "uniform"})
	if c := cost(values, at); c > 1.0 {
		t.Errorf("error %v with a value for each weight", c)
	}
}

func TestClusterLeavesSmallLayers(t *testing.T) {
	m := parse(t, `g (float[1, 2] x) => (float[1, 2] y) <float[2, 2] w = random(1)> { y = MatMul (x, w) }`)
	out, found := clustered(t, m, nil, nil)
	if out != m || found[0].Outcome != optimizer.Refused || !strings.Contains(found[0].Reason, "too few") {
		t.Errorf("%+v", found)
	}
	// A table of all values changes nothing.
	m = parse(t, large)
	for _, w := range []string{"w1", "w2", "w3"} {
		for i := range model.Data[float32](m.Graph.Init(w)) {
			model.Data[float32](m.Graph.Init(w))[i] = float32(i%7) - 3
		}
	}
	out, _ = clustered(t, m, map[string]any{"clusters": 16}, nil)
	in, _ := optimizer.RandomInputs(m, 2, 1)
	for _, x := range in {
		a, err := ops.Evaluate(context.Background(), m, x)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ops.Evaluate(context.Background(), out, x)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a[0].Raw, b[0].Raw) {
			t.Error("another model though no weight changed")
		}
	}
}
