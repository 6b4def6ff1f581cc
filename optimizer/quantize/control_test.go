package quantize

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fettle/internal/spec"
	"fettle/model"
	"fettle/optimizer"
)

// TestKnapsack: against every combination.
func TestKnapsack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for try := range 200 {
		layers := make([][]option, 1+r.IntN(5))
		for i := range layers {
			for range 1 + r.IntN(3) {
				layers[i] = append(layers[i], option{weighs: int64(1 + r.IntN(100)), cost: r.Float64()})
			}
		}
		budget := int64(r.IntN(300))
		best, feasible := math.Inf(1), false
		var walk func(i int, bytes int64, cost float64)
		walk = func(i int, bytes int64, cost float64) {
			if bytes > budget {
				return
			}
			if i == len(layers) {
				best, feasible = math.Min(best, cost), true
				return
			}
			for _, o := range layers[i] {
				walk(i+1, bytes+o.weighs, cost+o.cost)
			}
		}
		walk(0, 0, 0)
		picked, fits := knapsack(layers, budget)
		bytes, cost := int64(0), 0.0
		for i, k := range picked {
			bytes += layers[i][k].weighs
			cost += layers[i][k].cost
		}
		if fits != feasible {
			t.Fatalf("try %d: fits %v, want %v", try, fits, feasible)
		}
		if fits && (bytes > budget || math.Abs(cost-best) > 1e-9) {
			t.Fatalf("try %d: %d bytes of %d, cost %v, want %v", try, bytes, budget, cost, best)
		}
	}
	if picked, _ := knapsack([][]option{{}, {{weighs: 3}}}, 10); picked[0] != -1 || picked[1] != 0 {
		t.Errorf("a layer without options: %v", picked)
	}
}

// fragile has one layer that 8 bits ruin: an input channel is a million times larger than those that decide.
const fragile = `g (float[1, 4] x) => (float[1, 4] y)
<float[4, 4] w1 = random(1), float[4, 4] w2 = random(2), float[4] scale = {1.0, 1.0, 1.0, 40000.0}, float[4, 4] w3 = {
 1.0, 0.0, 0.0, 0.00001, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.00001}>
{
  [one] a = Gemm <transB = 1> (x, w1)
  b = Relu (a)
  [two] c = Gemm <transB = 1> (b, w2)
  d = Mul (c, scale)
  [three] y = Gemm <transB = 1> (d, w3)
}`

func TestBoundKeepsTheWorstLayerFloat(t *testing.T) {
	m := parse(t, fragile)
	in, _ := optimizer.RandomInputs(m, 200, 3)
	p := New()
	if err := spec.Decode(p.Options(), map[string]any{"max_drop": 3.0}); err != nil {
		t.Fatal(err)
	}
	out, found, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in)}, m)
	if err != nil {
		t.Fatal(err)
	}
	log := ""
	for _, f := range found {
		log += f.Label + ": " + string(f.Outcome) + " " + f.Reason + "\n"
	}
	if !strings.Contains(log, "three: refused stays float so that at most 3.00 %") || !strings.Contains(log, "1 of 3 layers stay float") {
		t.Errorf("ledger:\n%s", log)
	}
	if out.Graph.Init("w3") == nil || out.Graph.Init("w1") != nil {
		t.Error("not exactly the layer three is float")
	}
	fresh, _ := optimizer.RandomInputs(m, 300, 77)
	want, err := outputs(context.Background(), &optimizer.Env{}, m, fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := outputs(context.Background(), &optimizer.Env{}, out, fresh)
	if err != nil {
		t.Fatal(err)
	}
	if d := compare(want, got).drop(); d > 8 {
		t.Errorf("%v %% of fresh items differ", d)
	}
	// A bound that holds anyway changes nothing.
	q := New()
	if err := spec.Decode(q.Options(), map[string]any{"max_drop": 99.0}); err != nil {
		t.Fatal(err)
	}
	_, found, err = q.Apply(context.Background(), &optimizer.Env{Data: items(in)}, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Label == "max_drop" && f.Outcome != optimizer.Nothing {
			t.Errorf("%+v", f)
		}
	}
}

func TestMixedHoldsTheSize(t *testing.T) {
	m := parse(t, net)
	in, _ := optimizer.RandomInputs(m, 32, 3)
	last := math.Inf(1)
	for _, size := range []float64{13, 18, 25, 50} {
		p := New()
		if err := spec.Decode(p.Options(), map[string]any{"weights": "mixed", "activations": "none", "size": size}); err != nil {
			t.Fatal(err)
		}
		out, found, err := p.Apply(context.Background(), &optimizer.Env{Data: items(in)}, m)
		if err != nil {
			t.Fatal(err)
		}
		full, bytes := 0, 0
		for _, w := range []string{"w1", "w2", "w3"} {
			full += len(m.Graph.Init(w).Raw)
			for _, in := range out.Graph.Inits {
				if in.Name == w+"_q" || in.Name == w+"_fp16" {
					bytes += len(in.Tensor.Raw)
				}
			}
		}
		if float64(bytes) > float64(full)*size/100 && size > 25 {
			t.Errorf("size %v: %d of %d bytes", size, bytes, full)
		}
		fresh, _ := optimizer.RandomInputs(m, 32, 9)
		want, _ := outputs(context.Background(), &optimizer.Env{}, m, fresh)
		got, err := outputs(context.Background(), &optimizer.Env{}, out, fresh)
		if err != nil {
			t.Fatal(err)
		}
		f := compare(want, got)
		if f.KL > last*1.2 {
			t.Errorf("size %v: divergence %v, %v at the size before", size, f.KL, last)
		}
		last = f.KL
		if !strings.Contains(found[len(found)-1].Reason, "the same answer") {
			t.Errorf("%+v", found[len(found)-1])
		}
	}
}

// TestBiasCorrection: nearest rounding that leans to one side shifts the mean of the output, and the bias takes it back.
func TestBiasCorrection(t *testing.T) {
	m := parse(t, `g (float[1, 4, 6, 6] x) => (float[1, 3, 6, 6] y)
<float[3, 4, 1, 1] w = {1.0, 0.0062, 0.0062, 0.0062, 1.0, 0.0055, 0.0055, 0.0055, 1.0, 0.0098, 0.0098, 0.0098}, float[3] b = {0.0, 1.0, 2.0}> {
  r = Exp (x)
  y = Conv (r, w, b)
}`)
	plain, _ := apply(t, m, map[string]any{"correct_bias": false})
	out, found := apply(t, m, nil)
	last := found[len(found)-1]
	if last.Label != "bias correction" || last.Outcome != optimizer.Applied || !strings.Contains(found[0].Reason, "bias moved") {
		t.Fatalf("%+v", found)
	}
	fresh, _ := optimizer.RandomInputs(m, 32, 9)
	want, _ := outputs(context.Background(), &optimizer.Env{}, m, fresh)
	mean := func(q *model.Model) (off float64) {
		got, err := outputs(context.Background(), &optimizer.Env{}, q, fresh)
		if err != nil {
			t.Fatal(err)
		}
		for ch := range 3 {
			sum := 0.0
			for i := range want {
				for e := range 36 {
					sum += got[i][0].Float64At(ch*36+e) - want[i][0].Float64At(ch*36+e)
				}
			}
			off = math.Max(off, math.Abs(sum)/float64(36*len(want)))
		}
		return off
	}
	if a, b := mean(plain), mean(out); b > a/2 {
		t.Errorf("the mean is off by %v, %v without correction", b, a)
	}
}
