package quantize

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"fettle/internal/fail"
	"fettle/internal/spec"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

func gaussian(seed uint64, shape ...int) *model.Tensor {
	r := rand.New(rand.NewPCG(seed, 9))
	w := model.NewTensor(model.Float32, shape...)
	for i := range model.Data[float32](w) {
		model.Data[float32](w)[i] = float32(r.NormFloat64() * math.Exp(r.NormFloat64()))
	}
	return w
}

// TestGrid: every integer is in range, is the nearest but for the end of the range, and each group of weights that
// shares a scale reaches the end of the range, so that no step is given away.
func TestGrid(t *testing.T) {
	for _, c := range []struct {
		weights string
		shape   []int
		axis    int
		block   int
		scales  []int
	}{
		{"int4", []int{6, 5, 3, 3}, 0, 0, []int{6}},
		{"int3", []int{40, 7}, 1, 0, []int{7}},
		{"int4", []int{6, 40, 3, 3}, 0, 16, []int{6, 3, 3, 3}},
		{"int4", []int{40, 7}, 1, 32, []int{2, 7}},
		{"int3", []int{7, 40}, 0, 16, []int{7, 3}},
		{"int8", []int{7, 33}, 0, 16, []int{7, 3}},
		{"int4", []int{7, 16}, 0, 16, []int{7}},
	} {
		t.Run(fmt.Sprintf("%s %v block %d", c.weights, c.shape, c.block), func(t *testing.T) {
			p, w := precisions[c.weights], gaussian(1, c.shape...)
			g := newGrid(w, p, c.axis, 1-c.axis, c.block, true, nil)
			if fmt.Sprint(g.shape) != fmt.Sprint(c.scales) {
				t.Fatalf("scales %v, want %v", g.shape, c.scales)
			}
			q := g.round(w)
			ends := make([]bool, len(g.scale))
			for i, x := range model.Data[float32](w) {
				k := g.index(i)
				s := float64(g.scale[k])
				if d := math.Abs(float64(x) - s*float64(q[i])); d > 0.5001*s || int(q[i]) < p.lo || int(q[i]) > p.hi {
					t.Fatalf("element %d: %v became %d of %v", i, x, q[i], s)
				}
				ends[k] = ends[k] || int(q[i]) == p.lo || int(q[i]) == p.hi
			}
			for k, e := range ends {
				if !e {
					t.Errorf("scale %d is too large", k)
				}
			}
			stored := p.pack(q, w.Shape)
			for i, v := range q {
				if stored.Int64At(i) != int64(v) {
					t.Fatalf("element %d is stored as %d, want %d", i, stored.Int64At(i), v)
				}
			}
		})
	}
}

// TestWeightOnly: the outputs stay as near as the bits allow, the constants shrink, and the operators are those promised.
func TestWeightOnly(t *testing.T) {
	m := parse(t, net)
	in, err := optimizer.RandomInputs(m, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		weights, op string
		block       int
		dtype       model.DType
		least, most float64 // difference of the largest output
		opset       int
	}{
		{"int4", "DequantizeLinear", 0, model.Int4, 1e-3, 0.2, 21},
		{"int3", "DequantizeLinear", 0, model.Int4, 1e-2, 0.4, 21},
		{"int8", "DequantizeLinear", 0, model.Int8, 1e-5, 0.01, 17},
		{"fp8", "DequantizeLinear", 0, model.Float8E4M3FN, 1e-4, 0.05, 19},
		{"e5m2", "DequantizeLinear", 0, model.Float8E5M2, 1e-4, 0.15, 19},
		{"fp16", "Cast", 0, model.Float16, 1e-7, 1e-3, 17},
		{"bf16", "Cast", 0, model.BFloat16, 1e-5, 1e-2, 17},
	} {
		t.Run(c.weights, func(t *testing.T) {
			p := New()
			if err := spec.Decode(p.Options(), map[string]any{"weights": c.weights, "activations": "none", "block": c.block}); err != nil {
				t.Fatal(err)
			}
			out, found, err := p.Apply(context.Background(), &optimizer.Env{}, m)
			if err != nil {
				t.Fatal(err)
			}
			if out.Opset("") < c.opset {
				t.Errorf("opset %d, want %d", out.Opset(""), c.opset)
			}
			if _, _, err := ops.Infer(out, nil); err != nil {
				t.Error(err)
			}
			for _, n := range out.Graph.Nodes {
				if !is(n, "Conv", "Gemm") {
					continue
				}
				made := out.Graph.Producer(n.Inputs[1])
				if made == nil || made.Op != c.op || out.Graph.Init(made.Inputs[0]).DType != c.dtype {
					t.Errorf("the weight of %s is not %s behind %s", n.Label(), c.dtype, c.op)
				}
			}
			for _, f := range found {
				if f.Outcome != optimizer.Applied || f.Gain.Bytes <= 0 {
					t.Errorf("%+v", f)
				}
			}
			proof, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, in, optimizer.Scored)
			if err != nil {
				t.Fatal(err)
			}
			if proof.MaxRel > c.most || proof.MaxRel < c.least {
				t.Errorf("off by %v of the largest output, want %v to %v", proof.MaxRel, c.least, c.most)
			}
		})
	}
}

func TestWeightOnlyRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]any
		kind    fail.Kind
	}{
		{"narrow weights between integers", map[string]any{"weights": "int4"}, fail.Unsupported},
		{"a block of 24", map[string]any{"weights": "int4", "activations": "none", "block": 24}, fail.Invalid},
		{"blocks of casts", map[string]any{"weights": "fp16", "activations": "none", "block": 32}, fail.Unsupported},
		{"blocks between integers", map[string]any{"block": 32}, fail.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := New()
			if err := spec.Decode(p.Options(), c.options); err != nil {
				t.Fatal(err)
			}
			if _, _, err := p.Apply(context.Background(), &optimizer.Env{}, parse(t, net)); !fail.Is(err, c.kind) {
				t.Error(err)
			}
		})
	}
	p := New()
	if err := spec.Decode(p.Options(), map[string]any{"weights": "fp16", "activations": "none"}); err != nil {
		t.Fatal(err)
	}
	m := parse(t, `g (float[1, 2] x) => (float[1, 2] y) <float[2, 2] w = {1.0, 2.0, 70000.0, 3.0}> { [mm] y = MatMul (x, w) }`)
	out, found, err := p.Apply(context.Background(), &optimizer.Env{}, m)
	if err != nil || out != m || found[0].Outcome != optimizer.Refused {
		t.Errorf("%v %+v", err, found)
	}
}
