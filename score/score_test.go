package score

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"fettle/dataset"
	"fettle/internal/fail"
	"fettle/model"
)

func set(t *testing.T, csv string) *dataset.Set {
	t.Helper()
	p := filepath.Join(t.TempDir(), "d.csv")
	if err := os.WriteFile(p, []byte(csv), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := dataset.Open(p, dataset.Options{Inputs: []model.Value{{Name: "x", Type: model.TensorType(model.Float32, model.FixedShape(1, 2))}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identity(_ context.Context, in map[string]*model.Tensor) ([]*model.Tensor, error) {
	return []*model.Tensor{in["x"]}, nil
}

func flipped(_ context.Context, in map[string]*model.Tensor) ([]*model.Tensor, error) {
	v := model.Data[float32](in["x"])
	return []*model.Tensor{model.Float32s([]float32{v[1], v[0]}, 1, 2)}, nil
}

func TestClassify(t *testing.T) {
	s := set(t, "label,a,b\n0,2,1\n0,1,2\n1,1,3\n1,0,9\n")
	r, err := Classify(context.Background(), s, 0, identity, flipped)
	if err != nil {
		t.Fatal(err)
	}
	if r.N != 4 || *r.Score != 0.75 || r.Agreement.Top1 != 0 || r.Agreement.Gains != 3 || r.Agreement.Losses != 1 {
		t.Fatalf("%+v %+v", r, r.Agreement)
	}
	if len(r.PerClass) != 2 || *r.PerClass[0].Right != 0.5 || *r.PerClass[1].Flips != 2 {
		t.Fatalf("%+v", r.PerClass)
	}
	same, err := Classify(context.Background(), s, 0, identity, identity)
	if err != nil || same.Agreement.KL != 0 || same.Agreement.Top1 != 1 {
		t.Fatalf("%v %+v", err, same.Agreement)
	}
	bare := set(t, "a,b\n1,2\n2,1\n")
	if _, err := Classify(context.Background(), bare, 0, identity, nil); !fail.Is(err, fail.Invalid) {
		t.Fatalf("neither labels nor reference: %v", err)
	}
	r, err = Classify(context.Background(), bare, 0, identity, identity)
	if err != nil || r.Score != nil || r.Metric != "agreement" {
		t.Fatalf("%v %+v", err, r)
	}
}

func TestWilson(t *testing.T) {
	// Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 and 15 of 148.
	for _, c := range []struct {
		k, n   int
		lo, hi float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {29, 29, 0.8830, 1}} {
		w := Wilson(c.k, c.n)
		if math.Abs(w[0]-c.lo) > 1e-4 || math.Abs(w[1]-c.hi) > 1e-4 {
			t.Errorf("%d of %d: %v, want %v %v", c.k, c.n, w, c.lo, c.hi)
		}
	}
}

func TestDivergence(t *testing.T) {
	got := divergence([]float64{0.5, 0.5}, []float64{0.25, 0.75})
	want := 0.5*math.Log(0.5/0.25) + 0.5*math.Log(0.5/0.75)
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, want %v", got, want)
	}
	if d := divergence([]float64{1, 2, 3}, []float64{101, 102, 103}); d > 1e-12 {
		t.Errorf("logits that differ by a constant diverge by %v", d)
	}
}
