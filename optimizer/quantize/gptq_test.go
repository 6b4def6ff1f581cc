package quantize

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

// hessian makes a positive definite matrix with strong ties between columns.
func hessian(r *rand.Rand, k int) []float64 {
	x := mat.NewDense(3*k, k, nil)
	common := 0.0
	for i := range 3 * k {
		common = r.NormFloat64()
		for j := range k {
			x.Set(i, j, r.NormFloat64()+2*common)
		}
	}
	var h mat.Dense
	h.Mul(x.T(), x)
	return damped(h.RawMatrix().Data, k, damping)
}

// byInverse is the method as published: each column's error is spread over later columns by the inverse of the Hessian of
// the columns that are left.
func byInverse(h, w []float64, s, lo, hi float64) []float64 {
	k := len(w)
	left := append([]float64(nil), w...)
	q := make([]float64, k)
	for j := range k {
		var inv mat.Dense
		sub := mat.NewDense(k-j, k-j, nil)
		for a := range k - j {
			for b := range k - j {
				sub.Set(a, b, h[(a+j)*k+b+j])
			}
		}
		if err := inv.Inverse(sub); err != nil {
			panic(err)
		}
		q[j] = min(max(math.RoundToEven(left[j]/s), lo), hi)
		e := (left[j] - q[j]*s) / inv.At(0, 0)
		for b := 1; b < k-j; b++ {
			left[j+b] -= e * inv.At(0, b)
		}
	}
	return q
}

func TestRoundingEqualsThePublishedMethod(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for try := range 50 {
		k := 2 + r.IntN(9)
		h := hessian(r, k)
		natural, _ := orders(h, k)
		f := newFactor(h, k, natural)
		w, q, d := make([]float64, k), make([]float64, k), make([]float64, k)
		st := steps{s: make([]float64, k), lo: -4, hi: 3}
		for i := range w {
			w[i], st.s[i] = r.NormFloat64(), 0.5
		}
		loss := f.round(w, st, q, d, math.Inf(1))
		for i, want := range byInverse(h, w, 0.5, -4, 3) {
			if q[i] != want {
				t.Fatalf("try %d: column %d is %v, want %v", try, i, q[i], want)
			}
		}
		direct := quadratic(h, d, d)
		if math.Abs(loss-direct) > 1e-9*direct || math.Abs(f.loss(d)-direct) > 1e-9*direct {
			t.Fatalf("try %d: loss %v and %v, want %v", try, loss, f.loss(d), direct)
		}
	}
}

// TestBestIsNearTheBruteForce: with six columns of four steps every choice can be tried.
func TestBestIsNearTheBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const k, s = 6, 0.75
	gptq, brute, nearest := 0.0, 0.0, 0.0
	for range 40 {
		h := hessian(r, k)
		natural, falling := orders(h, k)
		w, d := make([]float64, k), make([]float64, k)
		for i := range w {
			w[i] = r.NormFloat64() / 2
		}
		c := choice{lo: -2, hi: 1, scale: s}
		got := c.best([]*factor{newFactor(h, k, natural), newFactor(h, k, falling)}, w)
		gptq += got.loss
		least := math.Inf(1)
		for n := range 4096 {
			for i := range d {
				d[i] = w[i] - s*float64(n>>(2*i)&3-2)
			}
			least = math.Min(least, quadratic(h, d, d))
		}
		brute += least
		for i := range d {
			d[i] = w[i] - s*min(max(math.RoundToEven(w[i]/s), -2), 1)
		}
		nearest += quadratic(h, d, d)
		if got.loss < least*(1-1e-9) {
			t.Fatalf("loss %v is below the least possible %v", got.loss, least)
		}
	}
	if gptq > 1.5*brute || nearest < 3*brute {
		t.Errorf("sum of losses: %v, the least possible %v, nearest %v", gptq, brute, nearest)
	}
}

// TestPatches: rows times weights are the outputs of the layer.
func TestPatches(t *testing.T) {
	for _, c := range []struct{ name, model string }{
		{"padded, strided", `g (float[2, 3, 7, 6] x) => (float[N, 4, A, B] y) <float[4, 3, 3, 2] w = random(1)> { y = Conv <pads = [1, 0, 2, 1], strides = [2, 1]> (x, w) }`},
		{"depthwise", `g (float[2, 4, 5, 5] x) => (float[N, 8, A, B] y) <float[8, 1, 3, 3] w = random(1)> { y = Conv <group = 4, pads = [1, 1, 1, 1]> (x, w) }`},
		{"groups, dilated", `g (float[1, 4, 9, 9] x) => (float[N, 6, A, B] y) <float[6, 2, 3, 3] w = random(1)> { y = Conv <group = 2, dilations = [2, 3]> (x, w) }`},
		{"same upper", `g (float[1, 2, 6, 5] x) => (float[N, 2, A, B] y) <float[2, 2, 4, 2] w = random(1)> { y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w) }`},
		{"same lower", `g (float[1, 2, 6, 5] x) => (float[N, 2, A, B] y) <float[2, 2, 4, 2] w = random(1)> { y = Conv <auto_pad = "SAME_LOWER"> (x, w) }`},
		{"one dimension", `g (float[2, 3, 11] x) => (float[N, 4, A] y) <float[4, 3, 5] w = random(1)> { y = Conv <strides = [3], pads = [2, 1]> (x, w) }`},
		{"product", `g (float[2, 3, 5] x) => (float[2, 3, 4] y) <float[5, 4] w = random(1)> { y = MatMul (x, w) }`},
		{"transposed", `g (float[6, 5] x) => (float[6, 4] y) <float[4, 5] w = random(1)> { y = Gemm <transB = 1> (x, w) }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, c.model)
			in, err := optimizer.RandomInputs(m, 1, 5)
			if err != nil {
				t.Fatal(err)
			}
			out, err := ops.Evaluate(context.Background(), m, in[0])
			if err != nil {
				t.Fatal(err)
			}
			n, w, x := m.Graph.Nodes[0], m.Graph.Init("w"), in[0]["x"]
			p, why := newPatches(n, w, x.Shape)
			if why != "" {
				t.Fatal(why)
			}
			s, err := selectNodes(&optimizer.Env{}, m, Options{Weights: "int8", Activations: "none"}, plan{})
			if err != nil || s.layers[n.ID] == nil {
				t.Fatal(err, s.found)
			}
			l := s.layers[n.ID]
			lot := &lot{p: &placed{l: l}, weight: w, width: p.width}
			channels := w.Shape[l.axis]
			rows, per := p.count(x), channels/p.groups
			row := make([]float32, p.width)
			inner := rows
			if is(n, "Conv") {
				inner = rows / x.Shape[0]
			}
			for at := range rows {
				for ch := range channels {
					p.row(row, model.Data[float32](x), at, ch/per)
					sum := 0.0
					for k, v := range lot.weights(ch) {
						sum += v * float64(row[k])
					}
					e := at*channels + ch
					if is(n, "Conv") {
						e = (at/inner*channels+ch)*inner + at%inner
					}
					if want := out[0].Float64At(e); math.Abs(sum-want) > 1e-4 {
						t.Fatalf("row %d channel %d: %v, want %v", at, ch, sum, want)
					}
				}
			}
		})
	}
}

// TestWalkGivesWhatTheWholeModelGives at every node, whatever was stopped at before.
func TestWalkGivesWhatTheWholeModelGives(t *testing.T) {
	m, _ := apply(t, parse(t, net), nil)
	in, _ := optimizer.RandomInputs(m, 3, 5)
	w, err := newWalk(&optimizer.Env{}, m, in)
	if err != nil {
		t.Fatal(err)
	}
	for pos := 0; pos <= len(m.Graph.Nodes); pos += 3 {
		if err := w.to(context.Background(), min(pos, len(m.Graph.Nodes))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.to(context.Background(), len(m.Graph.Nodes)); err != nil {
		t.Fatal(err)
	}
	for i := range in {
		out, err := ops.Evaluate(context.Background(), m, in[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(w.have[i]) != 1 || string(w.have[i]["y"].Raw) != string(out[0].Raw) {
			t.Errorf("item %d: %v", i, w.have[i])
		}
	}
}

// TestGPTQ: in every layer the error is below that of nearest rounding, and the whole model is closer on items that the
// rounding never saw.
func TestGPTQ(t *testing.T) {
	m := parse(t, net)
	fresh, _ := optimizer.RandomInputs(m, 16, 99)
	for _, c := range []struct {
		name    string
		options map[string]any
		gain    float64 // of the largest output error over nearest
	}{
		{"int4", map[string]any{"weights": "int4", "activations": "none"}, 1.3},
		{"int3", map[string]any{"weights": "int3", "activations": "none"}, 1.3},
		{"int3, one zero", map[string]any{"weights": "int3", "activations": "none", "asymmetric": false}, 1.3},
		{"int3, one scale", map[string]any{"weights": "int3", "activations": "none", "per_channel": false}, 1.0},
		{"int8 with values", map[string]any{"weights": "int8"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, _ := apply(t, m, c.options)
			c.options["rounding"] = "gptq"
			out, found := apply(t, m, c.options)
			var e [2]float64
			for i, q := range []*model.Model{near, out} {
				p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, q, fresh, optimizer.Scored)
				if err != nil {
					t.Fatal(err)
				}
				e[i] = p.MaxRel
			}
			if c.gain > 0 && e[1]*c.gain > e[0] {
				t.Errorf("error %v, %v with nearest rounding", e[1], e[0])
			}
			last := found[len(found)-1]
			if last.Label != "rounding gptq" || !strings.Contains(last.Reason, "held-out items") {
				t.Errorf("%+v", last)
			}
			if last.Outcome == optimizer.Refused {
				if out.Hash() != near.Hash() {
					t.Error("what was refused is not nearest rounding")
				}
				return
			}
			for _, f := range found[:len(found)-1] {
				if f.Label != "pairs of weights" && !strings.Contains(f.Reason, "% of that of nearest rounding") {
					t.Errorf("%s: %s", f.Label, f.Reason)
				}
			}
			again, _ := apply(t, m, c.options)
			if again.Hash() != out.Hash() {
				t.Error("the same data gave another model")
			}
			for _, in := range out.Graph.Inits {
				if strings.HasSuffix(in.Name, "_q") && in.Tensor.DType == model.Int4 && c.name != "int4" {
					for i := range in.Tensor.Len() {
						if v := in.Tensor.Int64At(i); v < -4 || v > 3 {
							t.Fatalf("%s holds %d", in.Name, v)
						}
					}
				}
			}
		})
	}
}

func TestGPTQSaysWhatItLeaves(t *testing.T) {
	m := parse(t, `g (float[1, 2, 4, 4] x) => (float[1, 2, 5, 5] y) <float[2, 2, 2, 2] w = random(1)> { y = ConvTranspose (x, w) }`)
	_, found := apply(t, m, map[string]any{"weights": "int4", "activations": "none", "rounding": "gptq"})
	if !strings.Contains(found[0].Reason, "rounded to nearest: the operator has no rows") {
		t.Errorf("%+v", found)
	}
	p := New()
	if err := spec.Decode(p.Options(), map[string]any{"weights": "int4", "activations": "none", "rounding": "gptq"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Apply(context.Background(), &optimizer.Env{}, parse(t, net)); !fail.Is(err, fail.Usage) {
		t.Errorf("no data: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	in, _ := optimizer.RandomInputs(parse(t, net), 4, 3)
	if _, _, err := p.Apply(ctx, &optimizer.Env{Data: items(in)}, parse(t, net)); !fail.Is(err, fail.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
}
