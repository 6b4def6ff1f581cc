package distill

import (
	"context"
	"math"
	"strings"
	"testing"

	"fettle/model"
	"fettle/optimizer"
)

// quantized is m, normalisations folded, with weights of 4 bits, values of 8 and biases of 32 around every layer; steps are coarse on purpose.
func quantized(t *testing.T, m *model.Model, in []map[string]*model.Tensor) *model.Model {
	t.Helper()
	twin, _, err := fold(m)
	if err != nil {
		t.Fatal(err)
	}
	g := twin.Graph
	out := &model.Graph{Name: g.Name, Inputs: g.Inputs, Outputs: g.Outputs}
	add := func(name string, x *model.Tensor) string {
		out.Inits = append(out.Inits, &model.Init{Name: name, Tensor: x})
		return name
	}
	node := func(op, id string, inputs []string, attrs ...model.Attr) string {
		out.Nodes = append(out.Nodes, &model.Node{ID: model.NodeID(id), Name: id, Op: op, Inputs: inputs, Outputs: []string{id + ".y"}, Attrs: attrs})
		return id + ".y"
	}
	pairs := map[string]string{}
	for _, n := range g.Nodes {
		c := *n
		c.Raw = nil
		if n.Op == "Conv" || n.Op == "Gemm" {
			x := n.Inputs[0]
			if pairs[x] == "" {
				s := add(x+".s", model.Float32s([]float32{0.03}, 1).Reshaped())
				z := model.NewTensor(model.Uint8)
				z.SetInt64(0, 120)
				add(x+".z", z)
				pairs[x] = node("DequantizeLinear", x+".dq", []string{node("QuantizeLinear", x+".q", []string{x, s, x + ".z"}), s, x + ".z"})
			}
			w := g.Init(n.Inputs[1])
			rows := w.Shape[0]
			q, sw, b := model.NewTensor(model.Int4, w.Shape...), model.NewTensor(model.Float32, rows), model.NewTensor(model.Int32, rows)
			sb := model.NewTensor(model.Float32, rows)
			each := w.Len() / rows
			for r := range rows {
				top := 0.0
				for _, v := range model.Data[float32](w)[r*each : (r+1)*each] {
					top = math.Max(top, math.Abs(float64(v)))
				}
				s := float32(max(top, 0.01) / 7)
				model.Data[float32](sw)[r], model.Data[float32](sb)[r] = s, s*0.03
				for i := r * each; i < (r+1)*each; i++ {
					q.SetFloat64(i, math.RoundToEven(float64(model.Data[float32](w)[i]/s)))
				}
				b.SetFloat64(r, math.RoundToEven(float64(model.Data[float32](g.Init(n.Inputs[2]))[r]/(s*0.03))))
			}
			id := string(n.ID)
			c.Inputs = []string{pairs[x], node("DequantizeLinear", id+".w", []string{add(id+".w4", q), add(id+".sw", sw)}, model.IntAttr("axis", 0)),
				node("DequantizeLinear", id+".b", []string{add(id+".b32", b), add(id+".sb", sb)}, model.IntAttr("axis", 0))}
		}
		out.Nodes = append(out.Nodes, &c)
	}
	q := twin.WithGraph(out)
	q.Opsets = []model.Opset{{Version: 21}}
	if err := out.Check(nil); err != nil {
		t.Fatal(err)
	}
	if d := apart(t, m, q, in); d < 1e-3 {
		t.Fatalf("the quantized network is only %g apart: nothing to learn", d)
	}
	return q
}

// TestQuantizedIsTrainedAsExported: integers and their steps are learned, and what is scored is the exported integers.
func TestQuantizedIsTrainedAsExported(t *testing.T) {
	base, _, env, rest := setup(t)
	q := quantized(t, base, rest)
	twin, list, err := thaw(q)
	if err != nil || len(list) != 8 {
		t.Fatalf("%d constants, %v", len(list), err)
	}
	if d := apart(t, q, twin, rest); d > 1e-9 {
		t.Errorf("with floats the network is %g apart", d)
	}
	back, err := freeze(q, twin, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range q.Graph.Inits {
		for i := range in.Tensor.Len() {
			if a, b := in.Tensor.Float64At(i), back.Graph.Init(in.Name).Float64At(i); a != b && math.Abs(a-b) > 1e-7*math.Abs(a) {
				t.Fatalf("%s[%d]: %g came back as %g", in.Name, i, a, b)
			}
		}
	}
	out, found, err := options(func(o *Options) { o.Epochs, o.Rate = 10, 0.01 }).Apply(context.Background(), env, q)
	if err != nil || found[0].Outcome != optimizer.Applied || !strings.Contains(found[0].Reason, "trained as exported") {
		t.Fatalf("%v: %v", found, err)
	}
	before, after := apart(t, base, q, rest), apart(t, base, out, rest)
	if !(after < 0.5*before) {
		t.Errorf("squared distance of the quantized network %.3g, trained %.3g", before, after)
	}
	changed := map[string]bool{}
	for _, in := range out.Graph.Inits {
		old := q.Graph.Init(in.Name)
		if old == nil || old.DType != in.Tensor.DType {
			t.Fatalf("%s is new, or of another type", in.Name)
		}
		for i := range old.Len() {
			changed[in.Name] = changed[in.Name] || old.Float64At(i) != in.Tensor.Float64At(i)
		}
	}
	for _, name := range []string{"two.w4", "two.sw", "two.b32", "x.s"} {
		if !changed[name] {
			t.Errorf("%s did not change", name)
		}
	}
	sx, sw, sb := out.Graph.Init("relu1.y.s"), out.Graph.Init("two.sw"), out.Graph.Init("two.sb")
	for i := range sw.Len() {
		if sx != nil && float32(sx.Float64At(0))*float32(sw.Float64At(i)) != float32(sb.Float64At(i)) {
			t.Errorf("the bias %d is not in the units of the sums", i)
		}
	}
}
