package quantize

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/optimizer"
)

// TestRelaxedGradient: one step of the descent moves against the gradient of its loss, found by differences in float64.
func TestRelaxedGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const n, k, push, beta = 3, 7, 0.3, 4.0
	h := hessian(r, k)
	mean := 0.0
	for i := range k {
		mean += h[i*k+i] / k
	}
	half := make([]float32, k*k)
	for i, v := range h {
		half[i] = float32(v / mean)
	}
	target, rel := make([]float32, n*k), make([]float32, n*k)
	for i := range target {
		target[i], rel[i] = float32(2*r.NormFloat64()), float32(0.5+r.Float64())
	}
	times, err := product(half, n, k)
	if err != nil {
		t.Fatal(err)
	}
	x := newRelaxed(target, rel, []float32{-2, -2, -1}, []float32{1, 1, 2}, k, times)
	for i := range x.v {
		x.v[i] = float32(r.NormFloat64())
	}
	loss := func(v []float64) float64 {
		sum := 0.0
		for c := range n {
			d := make([]float64, k)
			for j := range k {
				i := c*k + j
				up := min(max(stretch/(1+math.Exp(-v[i]))-margin, 0), 1)
				q := min(max(math.Floor(float64(target[i]))+up, float64(x.lo[c])), float64(x.hi[c]))
				d[j] = (float64(target[i]) - q) * float64(rel[i])
				sum += push * (1 - math.Pow(math.Abs(2*up-1), beta))
			}
			sum += quadratic(h, d, d) / mean
		}
		return sum
	}
	at := make([]float64, n*k)
	for i, v := range x.v {
		at[i] = float64(v)
	}
	want := make([]float64, n*k)
	for i := range at {
		const e = 1e-5
		keep := at[i]
		at[i] = keep + e
		above := loss(at)
		at[i] = keep - e
		want[i] = (above - loss(at)) / (2 * e)
		at[i] = keep
	}
	if err := x.step(1, push, beta); err != nil {
		t.Fatal(err)
	}
	for i, g := range want {
		if got := float64(x.first[i]) / 0.1; math.Abs(got-g) > 1e-3*(1+math.Abs(g)) {
			t.Errorf("gradient %d is %v, want %v", i, got, g)
		}
	}
}

// TestAdaRoundIsNearTheBruteForce: with six columns every choice of up and down can be tried.
func TestAdaRoundIsNearTheBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const k, s = 6, 0.4
	ada, brute, nearest := 0.0, 0.0, 0.0
	for range 20 {
		h := hessian(r, k)
		mean := 0.0
		for i := range k {
			mean += h[i*k+i] / k
		}
		half, target := make([]float32, k*k), make([]float32, k)
		for i, v := range h {
			half[i] = float32(v / mean)
		}
		for i := range target {
			target[i] = float32(r.NormFloat64() / s)
		}
		times, err := product(half, 1, k)
		if err != nil {
			t.Fatal(err)
		}
		x := newRelaxed(target, []float32{1, 1, 1, 1, 1, 1}, []float32{-8}, []float32{7}, k, times)
		if err := x.run(context.Background(), 500, time.Time{}); err != nil {
			t.Fatal(err)
		}
		cost := func(q func(i int) float64) float64 {
			d := make([]float64, k)
			for i := range d {
				d[i] = float64(target[i]) - q(i)
			}
			return quadratic(h, d, d)
		}
		got := x.rounded(0)
		ada += cost(func(i int) float64 { return got[i] })
		nearest += cost(func(i int) float64 { return math.RoundToEven(float64(target[i])) })
		least := math.Inf(1)
		for n := range 1 << k {
			least = math.Min(least, cost(func(i int) float64 { return math.Floor(float64(target[i])) + float64(n>>i&1) }))
		}
		brute += least
	}
	if ada > 1.5*brute || nearest < 1.5*brute {
		t.Errorf("sum of losses: %v, the least possible %v, nearest %v", ada, brute, nearest)
	}
}

// TestAdaRound: each layer's error is below that of nearest rounding, also on items held out; auto is no worse than either method.
func TestAdaRound(t *testing.T) {
	m := parse(t, net)
	fresh, _ := optimizer.RandomInputs(m, 16, 99)
	errorOf := func(options map[string]any) (float64, []optimizer.Finding) {
		out, found := apply(t, m, options)
		p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, fresh, optimizer.Scored)
		if err != nil {
			t.Fatal(err)
		}
		return p.MaxRel, found
	}
	for _, weights := range []string{"int4", "int3", "int2"} {
		o := map[string]any{"weights": weights, "activations": "none"}
		near, _ := errorOf(o)
		o["rounding"], o["rounds"] = "adaround", 300
		ada, found := errorOf(o)
		if ada*1.2 > near {
			t.Errorf("%s: error %v, %v with nearest rounding", weights, ada, near)
		}
		last := found[len(found)-1]
		if last.Label != "rounding adaround" || last.Outcome != optimizer.Applied || !strings.Contains(last.Reason, "held-out items") {
			t.Errorf("%s: %+v", weights, last)
		}
		o["rounding"] = "auto"
		if _, found = errorOf(o); !strings.Contains(found[0].Reason, ", by ") {
			t.Errorf("%s: %+v", weights, found[0])
		}
	}
	// Blocks have fixed scales.
	if out, _ := apply(t, m, map[string]any{"weights": "int4", "activations": "none", "block": 16, "rounding": "adaround", "rounds": 100}); count(out, "DequantizeLinear") == 0 {
		t.Error("no integer weights")
	}
}

func TestAdaRoundTimeAndCancel(t *testing.T) {
	m := parse(t, net)
	in, _ := optimizer.RandomInputs(m, 12, 3)
	run := func(ctx context.Context, options map[string]any) ([]optimizer.Finding, error) {
		p := New()
		if err := spec.Decode(p.Options(), options); err != nil {
			t.Fatal(err)
		}
		_, found, err := p.Apply(ctx, &optimizer.Env{Data: items(in)}, m)
		return found, err
	}
	o := map[string]any{"weights": "int4", "activations": "none", "rounding": "adaround", "minutes": 1e-9}
	found, err := run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(found[0].Reason, ", by gptq") {
		t.Errorf("no time: %+v", found[0])
	}
	o["minutes"], o["rounds"] = 0, 20000
	ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer stop()
	begin := time.Now()
	if _, err := run(ctx, o); !fail.Is(err, fail.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("it took %v to stop", d)
	}
}
