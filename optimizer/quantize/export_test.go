package quantize

import (
	"context"
	"math"
	"strings"
	"testing"

	"fettle/internal/spec"
	"fettle/model"
	"fettle/ops"
	"fettle/optimizer"
)

func count(m *model.Model, op string) (n int) {
	for _, x := range m.Graph.Nodes {
		if x.Op == op {
			n++
		}
	}
	return n
}

// TestOperatorsAreThePairs: the spelling with operators gives what the pairs give, and no float layer is left.
func TestOperatorsAreThePairs(t *testing.T) {
	m := parse(t, net)
	pairs, _ := apply(t, m, map[string]any{"correct_bias": false})
	out, found := apply(t, m, map[string]any{"correct_bias": false, "export": "qoperator"})
	for op, want := range map[string]int{"QLinearConv": 2, "QLinearAdd": 1, "QGemm": 1, "QLinearGlobalAveragePool": 1, "MaxPool": 2, "Concat": 1,
		"Conv": 0, "Gemm": 0, "Add": 0, "Relu": 0, "QuantizeLinear": 1, "DequantizeLinear": 0} {
		if got := count(out, op); got != want {
			t.Errorf("%d %s, want %d", got, op, want)
		}
	}
	in, _ := optimizer.RandomInputs(m, 16, 9)
	p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, pairs, out, in, optimizer.Scored)
	if err != nil || p.MaxRel > 0.01 {
		t.Errorf("%v %+v", err, p)
	}
	if last := found[len(found)-1]; !strings.Contains(last.Reason, "operators on integers") {
		t.Errorf("%+v", last)
	}
	for _, n := range out.Graph.Nodes {
		if len(n.Origin) == 0 {
			t.Errorf("%s stands for nothing", n.Label())
		}
	}
	// A Clip that the integers do not do is kept.
	c := parse(t, `g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) <float[2, 2, 1, 1] w = random(1), float[] lo = {-0.5}> {
  a = Conv (x, w)
  b = Clip (a, lo)
  d = Conv (b, w)
  y = Relu (d)
}`)
	kept, found := apply(t, c, map[string]any{"export": "qoperator", "calibration": "minmax"})
	if count(kept, "QLinearConv")+count(kept, "Conv") != 2 || count(kept, "Conv") == 0 && count(kept, "Clip") == 0 && !strings.Contains(found[len(found)-1].Reason, "2 nodes") {
		t.Errorf("%+v", found)
	}
}

func TestSixteenBitsAreCloserThanEight(t *testing.T) {
	m := parse(t, net)
	in, _ := optimizer.RandomInputs(m, 16, 9)
	var e [2]float64
	for i, a := range []string{"int8", "int16"} {
		out, _ := apply(t, m, map[string]any{"activations": a, "correct_bias": false})
		p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, in, optimizer.Scored)
		if err != nil {
			t.Fatal(err)
		}
		e[i] = p.MaxRel
		for _, in := range out.Graph.Inits {
			if i == 1 && in.Tensor.DType == model.Int16 && in.Tensor.Int64At(0) != 0 {
				t.Errorf("zero %s is %d", in.Name, in.Tensor.Int64At(0))
			}
		}
	}
	if e[1] >= e[0] {
		t.Errorf("errors %v", e)
	}
}

// TestDynamic needs no data, takes the scale from each input, and stays finite with one huge value.
func TestDynamic(t *testing.T) {
	m := parse(t, net)
	p := New()
	if err := spec.Decode(p.Options(), map[string]any{"activations": "dynamic"}); err != nil {
		t.Fatal(err)
	}
	out, found, err := p.Apply(context.Background(), &optimizer.Env{}, m)
	if err != nil {
		t.Fatal(err)
	}
	if count(out, "ConvInteger") != 2 || count(out, "MatMulInteger") != 1 || count(out, "DynamicQuantizeLinear") != 3 || count(out, "DequantizeLinear") != 0 {
		t.Errorf("%+v", found)
	}
	in, _ := optimizer.RandomInputs(m, 4, 9)
	for _, scale := range []float32{1e-3, 1, 1e4} { // static scales would fail at either end
		for _, it := range in {
			for i := range model.Data[float32](it["x"]) {
				model.Data[float32](it["x"])[i] *= scale
			}
		}
		p, err := optimizer.Prove(context.Background(), optimizer.Reference{}, m, out, in, optimizer.Scored)
		if err != nil || p.MaxRel > 0.04 {
			t.Errorf("scale %v: %v %+v", scale, err, p)
		}
	}
	model.Data[float32](in[0]["x"])[0] = 1e30
	y, err := ops.Evaluate(context.Background(), out, in[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range y[0].Len() {
		if v := y[0].Float64At(i); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("output %d is %v", i, v)
		}
	}
}
